"""`python -m trainer.ab_test`: what a served log says about the variants that users were shown."""

from __future__ import annotations

import argparse
import json
import math
import sys
from typing import Any

from tfrec.command_line import ArgumentParser, at_least, run_command
from tfrec.errors import ConfigError

EXAMPLE = """\
example: python -m trainer.ab_test --log served.parquet --metric ctr=clicks/impressions --metric 'buyers=max(bought)'
         python -m trainer.ab_test --log LOGS --metric revenue --covariate revenue_before --time time --window-days 14

Compares the users of each variant with those of the control. The log (CSV, JSONL, Parquet; a file or a directory) has
a row per user or several; a metric is a user's total of a column, or sum(), mean(), max() of it, or a ratio of two.
"""


def main(arguments: list[str]) -> None:
    chosen = _flags().parse(arguments)

    from tfrec.console import people_console
    from tfrec.experiment import LogColumns, Settings, analyse, parse_metric, read_log, users_of
    from trainer.ab_table import print_analysis

    if chosen.window_days is not None and chosen.time is None:
        raise ConfigError("--window-days needs the times of rows; add --time COLUMN")
    metrics = [parse_metric(text) for text in chosen.metric]
    covariates: dict[str, tuple[str, ...]] = {}
    for text in chosen.covariate:
        metric, _, column = text.rpartition("=")
        covariates[metric] = (*covariates.get(metric, ()), column)
    names = [column for some in covariates.values() for column in some]
    columns = LogColumns(chosen.user, chosen.variant, chosen.time, chosen.window_days, chosen.max_crossed)
    settings = Settings(
        control=chosen.control,
        covariates=covariates,
        split=chosen.split,
        winsorise=chosen.winsorise,
        alpha=chosen.alpha,
        correction=chosen.correction,
        planned_users=chosen.planned_users,
        looks=chosen.looks,
    )
    users = users_of(read_log(chosen.log, columns.needed(metrics, names)), columns, metrics, names)
    analysis = analyse(users, metrics, settings)
    print_analysis(people_console(), analysis, alpha=chosen.alpha)
    if chosen.json:
        json.dump(as_json(analysis), sys.stdout, indent=2)
        print()


def _flags() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.ab_test", example=EXAMPLE)
    flags.add_argument("--log", required=True, help="a file of .csv, .jsonl or .parquet, or a directory of them")
    flags.add_argument(
        "--metric", required=True, action="append", help="[NAME=]COLUMN, sum|mean|max(COLUMN), A/B; `rows` counts rows"
    )
    flags.add_argument("--control", default="control", help="variant that others are compared with (control)")
    flags.add_argument("--user", default="user", help="column of the unit that was randomised (user)")
    flags.add_argument("--variant", default="variant", help="column of what it was served (variant)")
    flags.add_argument(
        "--covariate", action="append", default=[], help="[METRIC=]COLUMN from before the experiment, for CUPED"
    )
    flags.add_argument("--time", help="column of the row's time: orders the looks, and needed for a window")
    flags.add_argument(
        "--window-days", type=_positive, help="count a user's rows of so many days, and whole windows only"
    )
    flags.add_argument("--split", type=_split, help="planned shares, such as control=50,treatment=50 (equal)")
    flags.add_argument("--winsorise", type=float, help="cut users' values at this quantile, such as 0.999 (not cut)")
    flags.add_argument("--alpha", type=float, default=0.05, help="level of tests and intervals (0.05)")
    flags.add_argument("--correction", default="holm", help="for several metrics and variants: holm, bh, none (holm)")
    flags.add_argument(
        "--planned-users",
        type=at_least(1),
        default=10_000,
        help="of two variants, where always-valid intervals are tightest; set it before the start (10000)",
    )
    flags.add_argument("--looks", type=at_least(1, 1000), default=20, help="along the path, with --time (20)")
    flags.add_argument("--max-crossed", type=float, default=0.01, help="share of users in several variants (0.01)")
    flags.add_argument("--json", action="store_true", help="print the analysis to stdout")
    return flags


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: numbers above 0")
    return value


def _split(text: str) -> dict[str, float]:
    shares = {}
    for entry in text.split(","):
        name, _, share = entry.rpartition("=")
        try:
            shares[name.strip()] = float(share)
        except ValueError:
            raise ConfigError(f"--split: got {text!r}; allowed: NAME=SHARE,NAME=SHARE") from None
    return shares


def as_json(value: Any) -> Any:
    """Return dataclasses as dicts, and numbers that JSON does not know as null."""
    from dataclasses import fields, is_dataclass

    if is_dataclass(value):
        return {field.name: as_json(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, dict):
        return {name: as_json(entry) for name, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [as_json(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


if __name__ == "__main__":
    sys.exit(run_command(main))
