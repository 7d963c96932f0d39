"""`python -m trainer.refresh`: new users and items into the next version of a model, with the weights that it has."""

from __future__ import annotations

import sys

from tfrec.command_line import ArgumentParser, run_command
from trainer.job import JobDirectory
from trainer.release.checks import CHECKS
from trainer.release.refresh import refresh_job

EXAMPLE = """\
example: python -m trainer.refresh --job-dir JOB --dataset NEXT
         python -m trainer.refresh --job-dir JOB --dataset NEXT --output EXPORT/two_tower --filter genres

Nothing is trained. Users and items are those of the other dataset, which has the same features;
python -m transforms.run --base writes one that goes on from the first. A server that watches the directory swaps.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.refresh", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of python -m trainer.task")
    flags.add_argument("--dataset", required=True, help="whose users and items are served from now on")
    flags.add_argument("--output", help="base path of the versions; JOB/export/<model> by default")
    flags.add_argument(
        "--filter", action="append", default=[], metavar="FEATURE", help="as of python -m trainer.export; repeat it"
    )
    flags.add_argument("--checks", choices=CHECKS, default="all", help="as of python -m trainer.export")
    chosen = flags.parse(arguments)
    print(refresh_job(JobDirectory(chosen.job_dir), chosen.dataset, chosen.output, chosen.filter, chosen.checks))


if __name__ == "__main__":
    sys.exit(run_command(main))
