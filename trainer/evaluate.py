"""`python -m trainer.evaluate`: the metrics of a trained job, again or on another dataset with the same ids."""

from __future__ import annotations

import json
import sys

from tfrec.command_line import ArgumentParser, run_command

EXAMPLE = """\
example: python -m trainer.evaluate --job-dir JOB
         python -m trainer.evaluate --job-dir JOB --dataset OTHER --json

Evaluates the best weights of a job; nothing is written.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.evaluate", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of python -m trainer.task")
    flags.add_argument("--dataset", help="another dataset with the same vocabularies and items")
    flags.add_argument("--json", action="store_true", help="print the metrics to stdout")
    chosen = flags.parse(arguments)

    from rich.console import Console

    from trainer.evaluation.metrics import evaluate_job, print_metrics
    from trainer.job import JobDirectory
    from trainer.model import load_model

    model, data, config = load_model(JobDirectory(chosen.job_dir), chosen.dataset)
    metrics = evaluate_job(model, data)
    print_metrics(Console(stderr=True), config.model_name, metrics)
    if chosen.json:
        json.dump(metrics, sys.stdout, indent=2)


if __name__ == "__main__":
    sys.exit(run_command(main))
