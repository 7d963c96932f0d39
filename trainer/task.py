"""`python -m trainer.task`: a dataset → a trained, evaluated, exported model."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from tfrec.commands import run_command
from tfrec.errors import ConfigError, did_you_mean

EXAMPLE = """example:
  python -m trainer.task --dataset DATASET --model two_tower --job-dir JOB
  python -m trainer.task --dataset DATASET --model deepfm --job-dir JOB --set train.epochs=5 --seed 2
"""


def parser() -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(
        prog="python -m trainer.task",
        usage=EXAMPLE + "\nflags:",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    flags.add_argument("--dataset", required=True, help="a dataset directory, written by python -m transforms.run")
    flags.add_argument("--model", required=True, help="two_tower, deepfm, popularity")
    flags.add_argument("--job-dir", required=True, help="checkpoints, logs, metrics and export; an unfinished job goes on")
    flags.add_argument("--config", help="YAML with the sections 'model' and 'train'")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the config")
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--no-export", action="store_true", help="stop after the evaluation")
    flags.add_argument("--json", action="store_true", help="print the metrics to stdout")
    return flags


def main(arguments: list[str]) -> None:
    flags = parse(arguments)
    from rich.console import Console

    from tfrec.dataset.directory import DatasetDirectory
    from trainer.config import resolve_config
    from trainer.export import export_job
    from trainer.job import JobDirectory
    from trainer.run import run_job

    console = Console(stderr=True)
    dataset = DatasetDirectory(flags.dataset)
    config = resolve_config(
        flags.model,
        flags.config,
        flags.set,
        dataset=str(Path(flags.dataset).resolve()),
        dataset_fingerprint=dataset.fingerprint,
        seed=flags.seed,
    )
    job = JobDirectory(flags.job_dir)
    metrics = run_job(config, job, console)
    if not flags.no_export:
        exported = export_job(job)
        console.print(f"exported {exported}", highlight=False)
    if flags.json:
        json.dump(metrics, sys.stdout, indent=2)


def parse(arguments: list[str]) -> argparse.Namespace:
    """Flags; hyphens and underscores alike.

    Raises:
        ConfigError: an unknown flag.
    """
    normal = [a.split("=")[0].replace("_", "-") + a[len(a.split("=")[0]) :] if a.startswith("--") else a for a in arguments]
    flags, unknown = parser().parse_known_args(normal)
    if unknown:
        known = [option for action in parser()._actions for option in action.option_strings]
        raise ConfigError(f"unknown flag {unknown[0]}{did_you_mean(unknown[0], known)}")
    return flags


if __name__ == "__main__":
    sys.exit(run_command(main))
