"""`python -m trainer.refresh`: new users and items into the next version of a model, with the weights that it has."""

from __future__ import annotations

import sys

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError
from trainer.item_index import add_index_flags, index_config
from trainer.job import JobDirectory
from trainer.release.checks import CHECKS
from trainer.release.refresh import refresh_cascade, refresh_job

EXAMPLE = """\
example: python -m trainer.refresh --job-dir JOB --dataset NEXT
         python -m trainer.refresh --job-dir JOB --dataset NEXT --output EXPORT/two_tower --filter genres --index auto
         python -m trainer.refresh --job-dir JOB --ranker RANKING_JOB --dataset NEXT --output EXPORT/cascade

Nothing is trained. Users and items are those of the other dataset, which has the same features;
python -m transforms.run --base writes one that goes on from the first. Filters, index and settings are those of the
version before, unless said here. A server that watches the directory swaps.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.refresh", example=EXAMPLE)
    flags.add_argument(
        "--job-dir", required=True, action="append", help="a job of python -m trainer.task; several: of a cascade"
    )
    flags.add_argument("--ranker", metavar="JOB", help="the ranking job of a cascade")
    flags.add_argument("--dataset", required=True, help="whose users and items are served from now on")
    flags.add_argument("--output", help="base path of the versions; JOB/export/<model> by default, but of a cascade")
    flags.add_argument("--filter", action="append", metavar="FEATURE", help="as of python -m trainer.export; repeat it")
    flags.add_argument("--checks", choices=CHECKS, default="all", help="as of python -m trainer.export")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the cascade")
    add_index_flags(flags)
    chosen = flags.parse(arguments)
    index = index_config(chosen)
    jobs = [JobDirectory(path) for path in chosen.job_dir]
    if chosen.ranker is None:
        if len(jobs) > 1 or chosen.set:
            raise ConfigError("--set and several --job-dir are for cascades; add --ranker JOB, or refresh each alone")
        print(refresh_job(jobs[0], chosen.dataset, chosen.output, chosen.filter, chosen.checks, index))
        return
    if chosen.output is None:
        raise ConfigError("--ranker: a cascade belongs to no one job; say where to with --output")
    ranker = JobDirectory(chosen.ranker)
    print(refresh_cascade(jobs, ranker, chosen.dataset, chosen.output, chosen.set, chosen.filter, chosen.checks, index))


if __name__ == "__main__":
    sys.exit(run_command(main))
