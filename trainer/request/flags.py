"""The flags of `python -m trainer.task`, those of Google's samples among them, and what they ask for."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from tfrec.command_line import ArgumentParser, at_least
from tfrec.errors import ConfigError, did_you_mean
from tfrec.models.registry import model_names
from trainer.cluster.strategies import SHARD_ROWS, STRATEGIES
from trainer.request.environment import Places, local_path, places_of
from trainer.request.foreign_flags import refuse_foreign_flags

EXAMPLE = """\
example: python -m trainer.task --dataset DATASET --model two_tower --job-dir JOB
         python -m trainer.task --dataset DATASET --model deepfm --job-dir JOB --num-epochs 5 --seed 2 --dry-run
         python -m trainer.task --train-files 'DATASET/train/*' --model deepfm --job-dir JOB --set model.dropout=0.2

Trains the model, evaluates it beside a baseline and exports it. The same command again goes on with an unfinished job.
"""
# Flags that are short for a key of the config.
SHORT_FOR = {
    "num_epochs": "train.epochs",
    "train_steps": "train.steps",
    "batch_size": "train.batch_size",
    "learning_rate": "train.learning_rate",
}


@dataclass(frozen=True)
class TaskRequest:
    """What a command line asks for; `gs://` paths are resolved.

    Attributes:
        dataset: directory; "" where it is to be found from `train_files`.
        model: name of the model.
        job_dir: where the job lies.
        config_file: YAML of settings, or None.
        overrides: `dotted.key=value`, of --set and of the flags that are short for one.
        seed: of everything random.
        train_files, eval_files: patterns of TFRecord files instead of the dataset's splits.
        strategy: one of `STRATEGIES`, or None for what the machine and TF_CONFIG say.
        logical_devices: how many devices the CPU is split into.
        shard_rows: from how many rows on a table is split over parameter servers.
        cluster_timeout_seconds: how long the parts of a cluster wait for each other.
        warm_start_from: job directories whose weights are taken over.
        profile: first and last training step to profile, counted from 1, or None.
        is_dry_run: check everything, run two steps and leave nothing behind.
        must_export: export the trained model.
        wants_json: print the result to stdout.
        places: where a scheduler wants results.

    """

    dataset: str
    model: str
    job_dir: str
    config_file: str | None = None
    overrides: tuple[str, ...] = ()
    seed: int = 1
    train_files: tuple[str, ...] = ()
    eval_files: tuple[str, ...] = ()
    strategy: str | None = None
    logical_devices: int = 1
    shard_rows: int = SHARD_ROWS
    cluster_timeout_seconds: int = 300
    warm_start_from: tuple[str, ...] = ()
    profile: tuple[int, int] | None = None
    is_dry_run: bool = False
    must_export: bool = True
    wants_json: bool = False
    places: Places = field(default_factory=Places)


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.task", example=EXAMPLE)
    data = flags.add_argument_group("data")
    data.add_argument("--dataset", default="", help="a dataset directory, written by python -m transforms.run")
    files: dict[str, Any] = {"nargs": "+", "action": "extend", "default": [], "metavar": "PATTERN"}
    data.add_argument("--train-files", **files, help="TFRecord files instead of DATASET/train/")
    data.add_argument("--eval-files", **files, help="TFRecord files instead of DATASET/validation/")
    job = flags.add_argument_group("job")
    job.add_argument("--model", required=True, help=", ".join(model_names()))
    job.add_argument("--job-dir", required=True, help="checkpoints, logs, metrics, export; an unfinished job goes on")
    warm = "take over the weights of another job, rows by token; once for each part of a model that has several"
    job.add_argument("--warm-start-from", metavar="JOB", action="append", default=[], help=warm)
    add_config_flags(flags)
    run = flags.add_argument_group("run")
    run.add_argument("--strategy", type=one_of(STRATEGIES), help=", ".join(STRATEGIES) + "; what is there")
    run.add_argument("--logical-devices", type=at_least(1, 64), default=1, help="split the CPU, to try mirrored on it")
    run.add_argument(
        "--shard-rows",
        type=at_least(1),
        default=SHARD_ROWS,
        help="tables of so many rows are split over parameter servers",
    )
    run.add_argument("--cluster-timeout", type=at_least(1), default=300, metavar="SECONDS")
    run.add_argument("--dry-run", action="store_true", help="check everything, run two steps, keep nothing")
    run.add_argument("--profile", type=_step_range, metavar="A:B", help="write a profile of training steps A to B")
    run.add_argument("--no-export", action="store_true", help="stop after the evaluation")
    run.add_argument("--json", action="store_true", help="print the metrics (or what a dry run found) to stdout")
    return flags


def add_config_flags(flags: ArgumentParser) -> None:
    """The flags that say how to train; `trainer.tune` has them too."""
    config = flags.add_argument_group("config")
    config.add_argument("--config", help="YAML with the sections 'model' and 'train'")
    config.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="override a key of the config")
    count: dict[str, Any] = {"type": at_least(1), "action": _OneValue}
    config.add_argument("--num-epochs", "--epochs", **count, help="--set train.epochs")
    config.add_argument("--train-steps", "--max-steps", **count, help="--set train.steps; at most so many")
    config.add_argument("--batch-size", "--train-batch-size", **count, help="--set train.batch_size")
    config.add_argument("--learning-rate", "--lr", type=_positive, action=_OneValue, help="--set train.learning_rate")
    config.add_argument("--seed", type=at_least(0, 2**31 - 8), default=1)


class _OneValue(argparse.Action):
    """Keeps a value, and refuses another one under the flag's other name: neither should win in silence."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        before = getattr(namespace, self.dest)
        if before not in (None, values):
            parser.error(f"{option_string} {values} and {' or '.join(self.option_strings)} {before} disagree; keep one")
        setattr(namespace, self.dest, values)


def task_request(arguments: Sequence[str], environment: Mapping[str, str] = os.environ) -> TaskRequest:
    """Return what the flags and the environment ask for.

    Raises:
        ConfigError: a flag is unknown, has no meaning here, contradicts another one, or a needed one is missing.

    """
    refuse_foreign_flags(arguments)
    flags = parser().parse(arguments)
    if not flags.dataset and not flags.train_files:
        raise ConfigError("the following arguments are required: --dataset (or --train-files of a dataset)")
    return TaskRequest(
        dataset=local_path("--dataset", flags.dataset),
        model=flags.model,
        job_dir=local_path("--job-dir", flags.job_dir),
        config_file=flags.config and local_path("--config", flags.config),
        overrides=overrides_of(flags),
        seed=flags.seed,
        train_files=_patterns("--train-files", flags.train_files),
        eval_files=_patterns("--eval-files", flags.eval_files),
        strategy=flags.strategy,
        logical_devices=flags.logical_devices,
        shard_rows=flags.shard_rows,
        cluster_timeout_seconds=flags.cluster_timeout,
        warm_start_from=tuple(local_path("--warm-start-from", job) for job in flags.warm_start_from),
        profile=flags.profile,
        is_dry_run=flags.dry_run,
        must_export=not flags.no_export,
        wants_json=flags.json,
        places=places_of(environment),
    )


def overrides_of(flags: argparse.Namespace) -> tuple[str, ...]:
    """Overrides of --set, and of the flags that are short for one.

    Raises:
        ConfigError: a flag and --set give one key different values.

    """
    overrides = list(flags.set)
    given = {key: value for override in flags.set for key, value in assignments(override)}
    for name, key in SHORT_FOR.items():
        value = getattr(flags, name)
        if value is None:
            continue
        if key in given and _number(given[key]) != value:
            flag = "--" + name.replace("_", "-")
            raise ConfigError(f"{flag} {value} and --set {key}={given[key]} disagree; keep one of them")
        overrides.append(f"{key}={value!r}")
    return tuple(overrides)


def one_of(allowed: Sequence[str]) -> Callable[[str], str]:
    """Return a parser of one of these words (hyphens and underscores alike), for `type=` of a flag."""

    def parse(text: str) -> str:
        word = text.replace("_", "-")
        if word not in allowed:
            raise argparse.ArgumentTypeError(f"got {text!r}{did_you_mean(word, allowed)}")
        return word

    return parse


def _patterns(flag: str, given: Sequence[str]) -> tuple[str, ...]:
    return tuple(local_path(flag, one) for text in given for one in text.split(",") if one)


def assignments(override: str) -> Iterator[tuple[str, Any]]:
    """(dotted key, value) of everything that `--set override` sets; what is malformed is refused by its reader."""
    key, _, raw = override.partition("=")
    try:
        yield from _leaves(key.strip(), yaml.safe_load(raw))
    except yaml.YAMLError:
        return


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for inner, below in value.items():
            yield from _leaves(f"{key}.{inner}", below)
    else:
        yield key, value


def _number(value: Any) -> Any:
    """What a config makes of it: 1e-3 is a word to YAML."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return value


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: numbers above 0")
    return value


def _step_range(text: str) -> tuple[int, int]:
    first, _, last = text.partition(":")
    try:
        steps = int(first), int(last)
    except ValueError:
        steps = 0, 0
    if not 1 <= steps[0] <= steps[1]:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: two steps A:B, counted from 1, such as 100:110")
    return steps
