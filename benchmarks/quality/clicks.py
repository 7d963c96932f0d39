"""Click predictions → AUC and log loss, with intervals over users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec.metrics import auc, log_loss

LEAST_PROBABILITY = 1e-7  # float32 libraries round to 0 and 1


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

    def metrics(self, weights: np.ndarray | None = None) -> dict[str, float]:
        """AUC and log loss; `weights` float [events] says how often each event counts."""
        return {
            "auc": auc(self.labels, self.logits, weights=weights),
            "log_loss": log_loss(self.labels, self.logits, weights=weights),
        }


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
    each = [[run.metrics(counts[place]) for run in runs] for counts in drawn]
    return {name: np.array([np.mean([run[name] for run in runs]) for runs in each]) for name in ("auc", "log_loss")}
