"""All files of a deployment by name, the same for the same input."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jinja2
import yaml

from serving.deploy import server_files
from serving.deploy.config import GRPC_PORT, REST_PORT
from serving.deploy.docker import compose, context_name, dockerfile, remarks
from serving.deploy.kubernetes import manifests
from serving.deploy.plan import Plan

_TEMPLATES = Path(__file__).parent / "templates"


def deployment_files(plan: Plan, out: Path) -> dict[str, str]:
    """Path below `out` → content."""
    of_server = {
        server_files.MODELS_CONFIG: server_files.models_config(plan),
        server_files.BATCHING_CONFIG: server_files.batching_config(plan.config.batching),
        server_files.MONITORING_CONFIG: server_files.monitoring_config(),
    }
    found = {
        **of_server,
        "Dockerfile": dockerfile(plan),
        "compose.yaml": "".join(f"# {line}\n" for line in remarks(plan)) + _yaml(compose(plan)),
        "smoke_test.sh": _rendered("smoke_test.sh.jinja", plan, out),
        "README.md": _rendered("README.md.jinja", plan, out),
    }
    found |= {f"kubernetes/{name}": _yaml(content) for name, content in manifests(plan, of_server).items()}
    for model in plan.models:
        for version in model.versions:
            found[f"requests/{model.name}-{version}.json"] = _request(plan.facts[model.name][version].request)
    return found


def _yaml(content: dict[str, Any]) -> str:
    return yaml.safe_dump(content, sort_keys=False, width=120)


def _rendered(template: str, plan: Plan, out: Path) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=False,  # shell and Markdown; names are checked by their patterns, paths are quoted
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    written_by = {name: ", ".join(sorted({one.tensorflow for one in of.values()})) for name, of in plan.facts.items()}
    return environment.get_template(template).render(
        config=plan.config,
        models=plan.models,
        image=plan.image,
        is_image_derived=plan.is_image_derived,
        image_with_models=plan.image_with_models,
        memory=plan.memory,
        foreign_ops=plan.foreign_ops,
        written_by=written_by,
        build=_build_command(plan, out),
        promote=_promote_command(plan, out),
        again=_command(plan, out),
        out=shlex.quote(str(out)),
        grpc_port=GRPC_PORT,
        rest_port=REST_PORT,
        metrics_path=server_files.METRICS_PATH,
    )


def _build_command(plan: Plan, out: Path) -> str:
    contexts = [
        f"--build-context {context_name(index)}={shlex.quote(str(model.base_path))}"
        for index, model in enumerate(plan.models)
    ]
    return f"docker build {' '.join(contexts)} --tag {plan.image_with_models} {shlex.quote(str(out))}"


def _promote_command(plan: Plan, out: Path) -> str | None:
    """What makes the canaries stable; None where each model has one version."""
    canaries = [model for model in plan.models if model.canary != model.stable]
    chosen = " ".join(f"--stable {model.name}={model.canary}" for model in canaries)
    return f"{_command(plan, out)} {chosen}" if canaries else None


def _command(plan: Plan, out: Path) -> str:
    jobs = dict.fromkeys(str(model.base_path.parents[1]) for model in plan.models)
    named = " ".join(f"--job {shlex.quote(job)}" for job in jobs)
    return f"python -m serving.deploy {named} --out {shlex.quote(str(out))}"


def _request(body: Mapping[str, Any]) -> str:
    """A body for REST as JSON, an input on each line."""
    inputs = ",\n".join(f"    {json.dumps(name)}: {json.dumps(value)}" for name, value in body["inputs"].items())
    signature = json.dumps(body["signature_name"])
    return f'{{\n  "signature_name": {signature},\n  "inputs": {{\n{inputs}\n  }}\n}}\n'
