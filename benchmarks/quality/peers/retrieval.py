"""What all retrieval peers have in common: flags, timing, and one list per user for each query set."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.lists import (
    LISTED,
    asked_users,
    best_unseen,
    named,
    taken,
    without_seen,
    write_raw_lists,
)
from benchmarks.quality.splits import QUERY_SETS, QuerySet, Splits, read_splits
from benchmarks.training.peers.clock import print_result


@dataclass(frozen=True)
class Request:
    """One fit of one model.

    Attributes:
        splits: what to learn from; only `train` may be learnt.
        model: of this library.
        settings: the library's own names.
        seed: of everything random.
        output: where the lists go.

    """

    splits: Splits
    model: str
    settings: dict[str, Any]
    seed: int
    output: Path


def request(description: str | None, models: tuple[str, ...]) -> Request:
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--data", type=Path, required=True, help="split files of benchmarks.quality.export_splits")
    flags.add_argument("--output", type=Path, required=True, help="a directory for the lists")
    flags.add_argument("--model", choices=models, required=True)
    flags.add_argument("--settings", type=json.loads, default={}, help="JSON, the library's own names")
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    output = chosen.output.resolve()
    return Request(read_splits(chosen.data), chosen.model, chosen.settings, chosen.seed, output)


class FitClock:
    """Wall and CPU seconds of the fit alone."""

    def __init__(self) -> None:
        self._begun, self._begun_cpu = time.perf_counter(), time.process_time()

    def said(self) -> dict[str, float]:
        wall, cpu = time.perf_counter() - self._begun, time.process_time() - self._begun_cpu
        return {"fit_seconds": wall, "fit_cpu_seconds": cpu}


def write_scored(asked: Request, scores: Callable[[QuerySet, np.ndarray], np.ndarray]) -> None:
    """Write the lists of a model that scores the catalogue: (query set, users) → float [users, items]."""

    def ranked(of: QuerySet, users: np.ndarray, seen: np.ndarray) -> np.ndarray:
        return best_unseen(scores(of, users), seen)

    _write(asked, ranked)


def write_listed(asked: Request, lists: Callable[[QuerySet, np.ndarray, int], np.ndarray]) -> None:
    """Write the lists of a model that ranks by itself: (query set, users, length) → item indices, −1 for none.

    A library leaves out what the model reads of a user, so lists must be longer by what the user has seen beside that.
    """

    def ranked(of: QuerySet, users: np.ndarray, seen: np.ndarray) -> np.ndarray:
        beside = (seen & ~taken(asked.splits, of.read, users)).sum(axis=1)
        length = min(LISTED + int(beside.max(initial=0)), len(asked.splits.items))
        return without_seen(lists(of, users, length), seen)

    _write(asked, ranked)


def _write(asked: Request, ranked: Callable[[QuerySet, np.ndarray, np.ndarray], np.ndarray]) -> None:
    for of in QUERY_SETS:
        users = asked_users(asked.splits, of)
        parts = [
            ranked(of, some, taken(asked.splits, of.seen, some))
            for some in np.array_split(users, max(1, -(-len(users) // 1024)))
        ]
        write_raw_lists(asked.output / f"{of.name}.npz", named(asked.splits, users, np.concatenate(parts)))


def finish(clock_said: dict[str, float], own_ndcg: float | None, **more: Any) -> None:
    """Print what this fit took, and what the library says of its own validation NDCG@10."""
    print_result(**clock_said, own_validation_ndcg_at_10=own_ndcg, **more)
