"""Click predictions → AUC and log loss, with intervals over users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec.metrics import auc, log_loss

LEAST_PROBABILITY = 1e-7  # float32 libraries round to 0 and 1
MOST_WEIGHTS = 1 << 18  # events × resamples at once, which fit the cache


@dataclass(frozen=True)
class Clicks:
    """Predictions of the events of a split; events by user and then by item, for all sides alike. All [events].

    Attributes:
        users: indices. int64
        labels: 0 or 1. float64
        logits: before the sigmoid. float64

    """

    users: np.ndarray
    labels: np.ndarray
    logits: np.ndarray

    @classmethod
    def of(cls, users: np.ndarray, items: np.ndarray, labels: np.ndarray, logits: np.ndarray) -> Clicks:
        order = np.lexsort((items, users))
        return cls(users[order], labels[order].astype(np.float64), logits[order].astype(np.float64))

    def write(self, path: Path) -> None:
        np.savez_compressed(path, users=self.users, labels=self.labels, logits=self.logits)

    @classmethod
    def read(cls, path: Path) -> Clicks:
        with np.load(path) as found:
            return cls(found["users"], found["labels"], found["logits"])

    def metrics(self) -> dict[str, float]:
        return {"auc": auc(self.labels, self.logits), "log_loss": log_loss(self.labels, self.logits)}


def logits_of(probabilities: np.ndarray) -> np.ndarray:
    """log(p / (1 − p))"""
    p = np.clip(np.asarray(probabilities, np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.log(p / (1 - p))


def resampled(runs: list[Clicks], resamples: int = 500, seed: int = 0) -> dict[str, np.ndarray]:
    """Both metrics, mean over the runs, in resamples of the users with all their events: metric → float64 [resamples].

    The n-th resample counts the same users for every model of the same events, so differences of two models are paired.
    """
    users, place = np.unique(runs[0].users, return_inverse=True)
    drawn = np.random.default_rng(seed).poisson(1.0, (resamples, len(users))).astype(np.float64)
    found = {
        "auc": [_aucs(run, drawn, place) for run in runs],
        "log_loss": [_losses(run, drawn, place) for run in runs],
    }
    return {name: np.mean(of_runs, axis=0) for name, of_runs in found.items()}


def _aucs(run: Clicks, drawn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """`tfrec.metrics.auc` for every row of weights of the users `drawn`; events are sorted once. float64 [resamples]"""
    order = np.argsort(run.logits)
    user, is_positive = place[order], run.labels[order] > 0
    starts = np.flatnonzero(np.diff(run.logits[order], prepend=-np.inf))
    found = []
    at_once = max(1, MOST_WEIGHTS // max(len(order), 1))
    for begin in range(0, len(drawn), at_once):
        some = drawn[begin : begin + at_once]
        weights = some[:, user]
        up, down = (np.add.reduceat(weights * of_class, starts, axis=1) for of_class in (is_positive, ~is_positive))
        pairs = up.sum(axis=1) * down.sum(axis=1)
        above = np.einsum("rs,rs->r", up, np.cumsum(down, axis=1) - down / 2)
        found.append(np.divide(above, pairs, out=np.full(len(some), np.nan), where=pairs > 0))
    return np.concatenate(found)


def _losses(run: Clicks, drawn: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Log loss, likewise."""
    of_event = np.logaddexp(0.0, run.logits) - run.labels * run.logits
    total = drawn @ np.bincount(place)
    sums = drawn @ np.bincount(place, of_event)
    found: np.ndarray = np.divide(sums, total, out=np.full(len(drawn), np.nan), where=total > 0)
    return found
