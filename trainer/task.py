"""`python -m trainer.task`: a dataset → a trained, evaluated, exported model."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.models.registry import model_names

EXAMPLE = """\
example: python -m trainer.task --dataset DATASET --model two_tower --job-dir JOB
         python -m trainer.task --dataset DATASET --model deepfm --job-dir JOB --set train.epochs=5 --seed 2

Trains the model, evaluates it beside a baseline and exports it. The same command again goes on with an unfinished job.
"""


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.task", example=EXAMPLE)
    flags.add_argument("--dataset", required=True, help="a dataset directory, written by python -m transforms.run")
    flags.add_argument("--model", required=True, help=", ".join(model_names()))
    flags.add_argument(
        "--job-dir", required=True, help="checkpoints, logs, metrics and export; an unfinished job goes on"
    )
    flags.add_argument("--config", help="YAML with the sections 'model' and 'train'")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the config")
    flags.add_argument("--seed", type=int, default=1)
    flags.add_argument("--no-export", action="store_true", help="stop after the evaluation")
    flags.add_argument("--json", action="store_true", help="print the metrics to stdout")
    return flags


def main(arguments: list[str]) -> None:
    flags = parser().parse(arguments)
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


if __name__ == "__main__":
    sys.exit(run_command(main))
