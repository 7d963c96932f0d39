"""`python -m serving.impressions`: join what was shown with what came of it."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError

_EXAMPLE = """\
example: python -m serving.impressions --log impressions/ --output impressions-joined.parquet --window-minutes 30
         python -m transforms.run --config impressions --input-dir . --output DATASET

Joins the log of a service with its outcomes, one row per shown item, and says what each model version showed.
"""


def main(arguments: list[str]) -> None:
    """Write the rows; the table goes to stderr, with --json to stdout."""
    flags = _parser().parse(arguments)
    if not flags.output.endswith(".parquet"):
        raise ConfigError(f"--output: got {flags.output!r}; expected a name that ends in .parquet")

    from serving.impressions.feedback import Feedback
    from serving.impressions.join import ImpressionJoin, write_parquet

    until_ms = time.time_ns() // 1_000_000 if flags.until_ms is None else flags.until_ms
    join = ImpressionJoin(flags.log, round(flags.window_minutes * 60_000), until_ms, context=flags.context)
    feedback = Feedback()
    write_parquet(flags.output, feedback.watch(join.tables()), join.schema)
    if flags.json:
        shown = [
            {
                "model": one.model,
                "version": one.version,
                "impressions": one.impressions,
                "items": len(one.items),
                "top_share": one.top_share,
                "certain_share": one.certain_share,
                "reward_rate": one.reward_rate,
            }
            for one in feedback.versions()
        ]
        print(json.dumps({"counts": dataclasses.asdict(join.counts), "versions": shown}))
        return
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(title=", ".join(f"{name} {count:,}" for name, count in dataclasses.asdict(join.counts).items()))
    for name in ("model", "version", "impressions", "items", "top tenth's share", "shown for certain", "mean reward"):
        of_a_word = max(map(len, name.split()))  # names are broken between words alone
        table.add_column(name, justify="left" if name == "model" else "right", min_width=of_a_word)
    for one in feedback.versions():
        certain = "unknown" if one.certain_share is None else f"{one.certain_share:.1%}"
        shares = (f"{one.top_share:.1%}", certain, f"{one.reward_rate:.4f}")
        table.add_row(Text(one.model), str(one.version), f"{one.impressions:,}", f"{len(one.items):,}", *shares)
    Console(stderr=True).print(table)


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m serving.impressions", example=_EXAMPLE)
    add = parser.add_argument
    add("--log", required=True, help="the directory of an ImpressionLog")
    add("--output", required=True, help="a .parquet file, one row per shown item")
    add("--window-minutes", type=_minutes, default=30.0, help="how long after it was shown an item may be taken (30)")
    add(
        "--context",
        action="append",
        default=[],
        metavar="NAME",
        help="a column of the requests' context; again for more",
    )
    add("--until-ms", type=int, help="Unix time in ms up to which outcomes are known (now)")
    add("--json", action="store_true", help="print the counts as JSON")
    return parser


def _minutes(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: above 0")
    return value


if __name__ == "__main__":
    sys.exit(run_command(main))
