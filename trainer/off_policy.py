"""`python -m trainer.off_policy`: what another policy would have earned on a log, from its propensities."""

from __future__ import annotations

import argparse
import json
import math
import sys

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError

EXAMPLE = """\
example: python -m trainer.off_policy --job-dir JOB --split test --temperature 0.5
         python -m trainer.off_policy --log log.csv --job-dir JOB --user user_id --item item_id
         python -m trainer.off_policy --log log.csv --target-probability pi --cluster user_id --json
         python -m trainer.off_policy --log log.csv --target-probability pi --request request_id --position position

The target policy is a job (softmax of its scores, or epsilon-greedy) or a column of probabilities. Nothing is written.
"""


def _flags() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.off_policy", example=EXAMPLE)
    flags.add_argument("--log", help="a .csv, .jsonl or .parquet file with one row per shown item")
    flags.add_argument("--job-dir", help="a job of python -m trainer.task: the target policy")
    flags.add_argument("--dataset", help="another dataset than the job's own, with the same ids")
    flags.add_argument("--split", default="test", choices=("validation", "test", "train"), help="of the dataset")
    flags.add_argument("--temperature", type=float, default=None, help="of the softmax over the scores (default: 1)")
    flags.add_argument("--epsilon", type=float, help="epsilon-greedy instead of softmax")
    flags.add_argument("--candidates", choices=("catalogue", "request"), help="what the job chooses from")
    for name, default, what in (
        ("reward", "reward", "what came of the row"),
        ("propensity", "propensity", "the logging policy's probability (of slates: given the items above)"),
        ("target-probability", None, "the target policy's probability, where there is no job"),
        ("cluster", None, "rows with one value depend on each other, such as the user's id (of a job: the user)"),
        ("user", None, "the user's id (default: its name in the dataset)"),
        ("item", None, "the item's id (default: its name in the dataset)"),
        ("request", None, "the request's id"),
        ("position", None, "the place in the request: judges whole slates"),
        ("position-propensity", None, "of slates: the logging policy's marginal probability of the item there"),
        ("position-target-probability", None, "of slates: the target policy's"),
        ("predicted", None, "a reward model's value of the logged item"),
        ("predicted-target", None, "its mean value under the target policy"),
    ):
        flags.add_argument(f"--{name}", metavar="COLUMN", default=default, help=f"column of --log: {what}")
    flags.add_argument("--json", action="store_true", help="print the result to stdout")
    return flags


def _require_consistent(chosen: argparse.Namespace) -> None:
    if chosen.job_dir is None and chosen.log is None:
        raise ConfigError("nothing to judge; give --job-dir, or --log with --target-probability")
    if chosen.job_dir is None and chosen.target_probability is None:
        raise ConfigError("--log needs a target policy; give --job-dir or --target-probability COLUMN")
    if chosen.job_dir is not None and chosen.target_probability is not None:
        raise ConfigError("--job-dir and --target-probability are two target policies; give one")
    if chosen.temperature is not None and chosen.epsilon is not None:
        raise ConfigError("--temperature and --epsilon are two policies; give one")
    if chosen.temperature is not None and not 0 < chosen.temperature < math.inf:
        raise ConfigError(f"--temperature: got {chosen.temperature:g}; allowed: above 0")
    if chosen.epsilon is not None and not 0 <= chosen.epsilon <= 1:
        raise ConfigError(f"--epsilon: got {chosen.epsilon:g}; allowed: 0 to 1")
    if chosen.position is not None and (chosen.job_dir is not None or chosen.request is None):
        raise ConfigError("--position judges slates: it needs --request and --target-probability, and no --job-dir")
    needs = {
        "cluster": chosen.job_dir is None,
        "user": chosen.job_dir is not None and chosen.log is not None,
        "item": chosen.job_dir is not None and chosen.log is not None,
        "predicted": chosen.job_dir is None and chosen.position is None,
        "predicted_target": chosen.job_dir is None and chosen.position is None,
        "position_propensity": chosen.position is not None,
        "position_target_probability": chosen.position is not None,
        "temperature": chosen.job_dir is not None,
        "epsilon": chosen.job_dir is not None,
        "candidates": chosen.job_dir is not None,
        "dataset": chosen.job_dir is not None,
        "request": chosen.log is not None and (chosen.job_dir is not None or chosen.position is not None),
    }
    for name, is_used in needs.items():
        if getattr(chosen, name) is not None and not is_used:
            raise ConfigError(f"--{name.replace('_', '-')} has no meaning with these flags; leave it out (see --help)")
    for one, other in (("predicted", "predicted_target"), ("position_propensity", "position_target_probability")):
        if (getattr(chosen, one) is None) != (getattr(chosen, other) is None):
            flags = " and ".join(f"--{name.replace('_', '-')}" for name in (one, other))
            raise ConfigError(f"{flags} go together; give a column to both, or to none")


def main(arguments: list[str]) -> None:
    chosen = _flags().parse(arguments)
    _require_consistent(chosen)

    from tfrec.console import people_console
    from tfrec.errors import DataError
    from trainer.logged_policy.judge import judge
    from trainer.logged_policy.report import print_evaluation

    try:
        title, units, found = judge(chosen)
    except DataError as error:
        where = str(chosen.log or chosen.dataset or chosen.job_dir)
        raise error if where in str(error) else DataError(f"{where}: {error}") from None
    print_evaluation(people_console(), title, found, units)
    if chosen.json:
        json.dump({"policy": title, "log": units, **found.as_dict()}, sys.stdout, indent=2)


if __name__ == "__main__":
    sys.exit(run_command(main))
