"""`python -m serving.deploy`: trained jobs → files that run their models on TensorFlow Serving."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from serving.deploy.config import DeployConfig
from serving.deploy.files import deployment_files
from serving.deploy.plan import make_plan
from serving.deploy.write import write_files
from tfrec.command_line import ArgumentParser, run_command
from tfrec.config_file import load_config, parse_config
from tfrec.errors import ConfigError

EXAMPLE = """\
example: python -m serving.deploy --job JOB --out DEPLOY
         python -m serving.deploy --job JOB --job RANKER --out DEPLOY --stable two_tower=3 --canary two_tower=4
         python -m serving.deploy --job JOB --out DEPLOY --image tensorflow/serving:2.20.0 --set max_replicas=10

Writes models.config with stable and canary labels, batching and monitoring files, a Dockerfile and a Compose file,
Kubernetes manifests, a smoke test, and a README that says how to use them.
"""


def main(arguments: list[str]) -> None:
    parser = ArgumentParser(prog="python -m serving.deploy", example=EXAMPLE)
    add = parser.add_argument
    add("--job", type=Path, action="append", required=True, help="a job with exported versions; again for more models")
    add("--out", type=Path, required=True, help="directory to write to")
    add("--stable", action="append", default=[], metavar="MODEL=VERSION", help="version behind the label stable")
    add("--canary", action="append", default=[], metavar="MODEL=VERSION", help="version behind the label canary")
    add("--image", metavar="NAME:TAG", help="what runs the models; by default tensorflow/serving:<their TensorFlow>")
    add("--config", type=Path, help="YAML file of settings, see docs/deploy.md")
    add("--set", action="append", default=[], metavar="KEY=VALUE", help="one setting, over the file's")
    flags = parser.parse(arguments)
    settings = [*flags.set, *([f"image={flags.image}"] if flags.image is not None else [])]
    if flags.config is not None:
        config = load_config(flags.config, DeployConfig, settings)
    else:
        config = parse_config("", DeployConfig, settings)
    plan = make_plan(flags.job, config, _versions("--stable", flags.stable), _versions("--canary", flags.canary))
    changed = write_files(flags.out, deployment_files(plan, flags.out))
    for model in plan.models:
        print(f"{model.name}: stable {model.stable}, canary {model.canary}", file=sys.stderr)
    if plan.is_image_derived:
        print(f"{plan.image} is the image of their TensorFlow, and was not looked up: see --image", file=sys.stderr)
    print(f"{flags.out}: {len(changed)} files changed; next: {flags.out / 'README.md'}", file=sys.stderr)


def _versions(flag: str, assignments: Sequence[str]) -> dict[str, int]:
    found: dict[str, int] = {}
    for assignment in assignments:
        name, equals, version = assignment.partition("=")
        if not name or not equals or not version.isdecimal():
            raise ConfigError(f"{flag}: got {assignment!r}; expected MODEL=VERSION, such as two_tower=3")
        found[name] = int(version)
    return found


if __name__ == "__main__":
    sys.exit(run_command(main))
