"""`python -m transforms.statistics`: what a dataset holds, as one page to look at."""

from __future__ import annotations

import sys
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.dataset.directory import DatasetDirectory

EXAMPLE = """\
example: python -m transforms.statistics DATASET --html statistics.html

Writes one self-contained HTML page: rows, label and time of the splits, popularity, and each feature's values.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m transforms.statistics", example=EXAMPLE)
    flags.add_argument("dataset", metavar="DATASET", help="a directory that transforms.run wrote")
    flags.add_argument("--html", required=True, metavar="PAGE", help="the page to write; an existing one is replaced")
    chosen = flags.parse(arguments)
    dataset = DatasetDirectory(chosen.dataset)
    from transforms.page.write import write_page  # matplotlib takes a second to load; a mistake should not

    write_page(Path(chosen.html), [dataset])
    print(f"{chosen.html}: {len(dataset.schema.features)} features of {dataset.schema.name}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(run_command(main))
