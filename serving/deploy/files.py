"""All files of a deployment by name, the same for the same input."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import jinja2
import yaml

from serving.deploy import server_files
from serving.deploy.config import GRPC_PORT, REST_PORT
from serving.deploy.docker import compose, context_name, dockerfile
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
        "compose.yaml": _yaml(compose(plan)),
        "smoke_test.sh": _rendered("smoke_test.sh.jinja", plan, out),
        "README.md": _rendered("README.md.jinja", plan, out),
    }
    found |= {f"kubernetes/{name}": _yaml(content) for name, content in manifests(plan, of_server).items()}
    for model in plan.models:
        for version in model.versions:
            body = json.dumps(plan.facts[model.name][version].request, indent=2)
            found[f"requests/{model.name}-{version}.json"] = body + "\n"
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
        image_with_models=plan.image_with_models,
        memory=plan.memory,
        foreign_ops=plan.foreign_ops,
        written_by=written_by,
        build=_build_command(plan, out),
        promote=_promote_command(plan, out),
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


def _promote_command(plan: Plan, out: Path) -> str:
    jobs = dict.fromkeys(str(model.base_path.parents[1]) for model in plan.models)
    model = plan.models[0]
    named = " ".join(f"--job {shlex.quote(job)}" for job in jobs)
    return f"python -m serving.deploy {named} --out {shlex.quote(str(out))} --stable {model.name}={model.canary}"
