"""`python -m trainer.report`: the page of one job."""

from __future__ import annotations

import sys

from tfrec.command_line import ArgumentParser, run_command

EXAMPLE = """\
example: python -m trainer.report --job-dir JOB
         python -m trainer.report --job-dir JOB --output report.html

Writes JOB/report.html: what the job is worth, on one page that needs no other file.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.report", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="an evaluated job of python -m trainer.task")
    flags.add_argument("--output", help="another place for the page")
    chosen = flags.parse(arguments)

    from pathlib import Path

    from rich.console import Console

    from trainer.job import JobDirectory
    from trainer.report.write import write_report

    path = write_report(JobDirectory(chosen.job_dir), path=Path(chosen.output) if chosen.output else None)
    Console(stderr=True).print(f"wrote {path} ({path.stat().st_size / 1e6:.2f} MB)", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
