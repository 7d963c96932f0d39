"""`python -m trainer.simulate`: a recommender in closed loop with simulated users → its log, and what was true."""

from __future__ import annotations

import argparse
import json
import sys
from typing import TYPE_CHECKING

from tfrec.command_line import ArgumentParser, at_least, run_command

if TYPE_CHECKING:
    from tfrec.simulation.loop import LoopConfig

EXAMPLE = """\
example: python -m trainer.simulate --policy greedy --rounds 10 --output LOOP
         python -m trainer.simulate --policy softmax --weights inverse_propensity --output LOOP --json
         python -m trainer.simulate --config loop.yaml --set world.users=5000 --output LOOP

Serves simulated users, trains on the log, serves by what was learnt, and so on. Writes the log (with propensities),
the dataset.yaml that reads it, and rounds.csv: what the log says each round, and what is true.
"""
POLICIES = ("greedy", "epsilon_greedy", "softmax", "uniform")  # as tfrec.simulation.policies has them
MAX_SEED = 2**31 - 1


def main(arguments: list[str]) -> None:
    chosen = _flags().parse(arguments)
    config = _config(chosen)

    from pathlib import Path

    from tfrec.console import people_console
    from tfrec.simulation.loop import run_loop
    from tfrec.simulation.loop_files import as_rows, require_free, write_loop
    from tfrec.simulation.loop_table import heading, line

    console, output = people_console(), Path(chosen.output)
    require_free(output)
    console.print(heading(), soft_wrap=True)
    result = run_loop(config, chosen.seed, lambda figures: console.print(line(figures), soft_wrap=True))
    write_loop(output, config, chosen.seed, result, file_format=chosen.format)
    console.print(f"{len(result.log):,} impressions in {output}", soft_wrap=True)
    if chosen.json:
        json.dump(
            {"seed": chosen.seed, "impressions": len(result.log), "rounds": as_rows(result)}, sys.stdout, indent=2
        )


def _flags() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.simulate", example=EXAMPLE)
    flags.add_argument("--output", required=True, help="a new directory")
    flags.add_argument("--config", help="a YAML file of the settings that differ from the defaults")
    flags.add_argument("--policy", choices=POLICIES, help="how slates are chosen by the scores (default: greedy)")
    flags.add_argument("--scores", choices=("learnt", "popularity", "oracle"), help="what the policy ranks by")
    flags.add_argument("--rounds", type=at_least(1), help="times to serve and to learn (default: 10)")
    flags.add_argument("--weights", choices=("none", "inverse_propensity"), help="of impressions in training")
    flags.add_argument("--train-on", choices=("all", "random"), help="all traffic, or only the random part")
    flags.add_argument(
        "--validate-on",
        choices=("all", "random"),
        help="traffic of the offline metric; random: of epsilon_greedy, uniform",
    )
    flags.add_argument("--seed", type=at_least(0, MAX_SEED), default=1, help="of world, users and policy (default: 1)")
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="any setting")
    flags.add_argument("--format", choices=("csv", "jsonl"), default="csv", help="of the log (default: csv)")
    flags.add_argument("--json", action="store_true", help="print the figures of all rounds to stdout")
    return flags


def _config(chosen: argparse.Namespace) -> LoopConfig:
    """The file's settings, overruled by the flags, overruled by --set."""
    from tfrec.config_file import load_config, parse_config
    from tfrec.simulation.loop import LoopConfig

    given = {
        "policy": chosen.policy and f"{{kind: {chosen.policy}}}",
        "scores": chosen.scores,
        "rounds": chosen.rounds,
        "training.weights": chosen.weights,
        "training.rows": chosen.train_on,
        "training.validation_rows": chosen.validate_on,
    }
    overrides = [f"{key}={value}" for key, value in given.items() if value is not None] + chosen.set
    if chosen.config:
        return load_config(chosen.config, LoopConfig, overrides)
    return parse_config("", LoopConfig, overrides, source="defaults")


if __name__ == "__main__":
    sys.exit(run_command(main))
