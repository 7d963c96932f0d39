"""`python -m trainer.compare`: several jobs on one dataset, with paired tests."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

from tfrec.command_line import ArgumentParser, run_command

if TYPE_CHECKING:  # these load TensorFlow, and --help should not
    from rich.console import Console

    from trainer.report.comparison import Comparison

EXAMPLE = """\
example: python -m trainer.compare JOB JOB
         python -m trainer.compare JOB JOB JOB --output compare.html --json

Compares jobs that were evaluated on the same dataset by the same protocol; runs that differ in the seed alone are one.
"""


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.compare", example=EXAMPLE)
    flags.add_argument("jobs", nargs="+", metavar="JOB", help="directories of evaluated jobs")
    flags.add_argument("--metric", help="of the tests, such as recall_at_20; by default the first job's own")
    flags.add_argument("--against", choices=("all", "first", "best"), default="all", help="which pairs are tested")
    flags.add_argument("--output", help="write a page, such as compare.html")
    flags.add_argument("--json", action="store_true", help="print the figures to stdout")
    chosen = flags.parse(arguments)

    from pathlib import Path

    from tfrec.console import people_console
    from trainer.report.comparison import compare_jobs
    from trainer.report.comparison_page import write_comparison
    from trainer.report.comparison_tables import as_json

    console = people_console()
    comparison = compare_jobs(chosen.jobs, metric=chosen.metric, against=chosen.against)
    print_comparison(console, comparison)
    if chosen.output:
        path = write_comparison(comparison, Path(chosen.output))
        console.print(f"wrote {path}", highlight=False, soft_wrap=True)
    if chosen.json:
        json.dump(as_json(comparison), sys.stdout, indent=2)
        print()


def print_comparison(console: Console, comparison: Comparison) -> None:
    """Two tables: the models, and the pairs."""
    from tfrec.console import whole_table
    from trainer.report.comparison_page import in_words
    from trainer.report.comparison_tables import contender_rows, shown_metrics
    from trainer.report.names import interval, metric_name, number, p_value, signed

    metrics = shown_metrics(comparison)
    models = whole_table("model", "seeds", *(metric_name(metric) for metric in metrics))
    for row in contender_rows(comparison):
        cells = [
            f"{number(cell.mean)}{f' ± {number(spread)}' if row.seeds > 1 else ''}\n{interval(cell.low, cell.high, 3)}"
            for cell, spread in zip(row.cells, row.spreads, strict=True)
        ]
        models.add_row(row.name, str(row.seeds), *cells)
    console.print(models)
    if comparison.pairs:
        pairs = whole_table("first", "second", "better by", "95 %", "p", "p, Holm", "wins / ties / losses")
        for pair in comparison.pairs:
            found = pair.found
            counts = f"{found.wins:,} / {found.ties:,} / {found.losses:,}"
            ends = interval(found.low, found.high)
            tests = p_value(found.p_value), p_value(pair.p_holm)
            pairs.add_row(pair.first, pair.second, signed(found.mean), ends, *tests, counts)
        console.print(pairs)
    console.print(in_words(comparison)[1], highlight=False, soft_wrap=True)


if __name__ == "__main__":
    sys.exit(run_command(main))
