"""A metric of each user, of all that was asked of them or of some items only: what intervals and tests are made of."""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tfrec.dataset.records import Arrays
from tfrec.metrics import ranking_metrics
from tfrec.metrics.lists import RankedLists
from tfrec.metrics.ranking import RANKING_METRICS
from tfrec.models.base import Task
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX, WEIGHT

PREDICTION = "prediction"  # column of the events' predictions
_NEEDED = (USER_INDEX, ITEM_INDEX, LABEL, WEIGHT, PREDICTION)

_ERRORS: dict[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "log_loss": lambda labels, logits: np.logaddexp(0.0, logits) - labels * logits,
    "rmse": lambda labels, values: (values - labels) ** 2,
    "mae": lambda labels, values: np.abs(values - labels),
}
ERROR_METRICS = tuple(_ERRORS)


def event_errors(metric: str, labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """What each event adds to a metric of `ERROR_METRICS`; for RMSE its squared error. float64 [events]"""
    return _ERRORS[metric](labels.astype(np.float64), predicted.astype(np.float64))


def event_weights(events: Mapping[str, np.ndarray]) -> np.ndarray:
    """What each event counts: its weight where the log has one, else 1. float64 [events]"""
    return events[WEIGHT].astype(np.float64) if WEIGHT in events else np.ones(len(events[LABEL]))


def is_per_user(metric: str, task: Task) -> bool:
    """Whether each user has a value of the metric, as `Outcome.per_user` computes it; tests need that."""
    if task == "ranking":
        return metric in ERROR_METRICS
    base, _, k = metric.partition("_at_")
    return base in RANKING_METRICS and k.isdecimal()


@dataclass(frozen=True)
class PerUser:
    """Values of a metric.

    Attributes:
        users: user indices, ascending. int64 [users]
        values: of the metric; for RMSE mean squared errors. float64 [users]
        weights: what each user counts in the mean. float64 [users]

    """

    users: np.ndarray
    values: np.ndarray
    weights: np.ndarray

    def __len__(self) -> int:
        return len(self.users)

    def of(self, is_member: np.ndarray) -> PerUser:
        """The users for whom `is_member` bool [num_users] holds."""
        rows = is_member[self.users]
        return PerUser(self.users[rows], self.values[rows], self.weights[rows])

    def at(self, users: np.ndarray) -> PerUser:
        """These users alone, which must be among the own ones, in their order."""
        rows = np.searchsorted(self.users, users)
        return PerUser(self.users[rows], self.values[rows], self.weights[rows])


class Outcome(abc.ABC):
    """What a model, or a baseline, answered on one query set."""

    @abc.abstractmethod
    def per_user(self, metric: str, items: np.ndarray | None = None) -> PerUser:
        """A metric of each user.

        Args:
            metric: name without its set.
            items: only these are asked for. bool [num_items]

        """


class ListOutcome(Outcome):
    """Ranked lists."""

    def __init__(self, lists: RankedLists) -> None:
        order = np.argsort(lists.users, kind="stable")
        self.lists = lists.of(order)
        self._computed: dict[int, dict[str, np.ndarray]] = {}

    def per_user(self, metric: str, items: np.ndarray | None = None) -> PerUser:
        k = int(metric.partition("_at_")[2])
        if items is None:
            if k not in self._computed:
                self._computed[k] = ranking_metrics(self.lists.hits, self.lists.relevant_counts, [k])
            return _each_once(self.lists.users, self._computed[k][metric])
        wanted = np.concatenate([[0], np.cumsum(items[self.lists.relevant_items])])
        counts = np.diff(wanted[self.lists.relevant_splits])
        rows = np.flatnonzero(counts)
        listed = np.maximum(self.lists.items[rows], 0)  # a place past the end of a list is no hit
        found = ranking_metrics(self.lists.hits[rows] & items[listed], counts[rows], [k])[metric]
        return _each_once(self.lists.users[rows], found)

    def curve(self, base: str, ks: Sequence[int]) -> np.ndarray:
        """One metric at several cuts: float64 [users, len(ks)]."""
        found = ranking_metrics(self.lists.hits, self.lists.relevant_counts, ks)
        return np.stack([found[f"{base}_at_{k}"] for k in ks], axis=1)


class EventOutcome(Outcome):
    """One prediction per event; a user's value is the mean over the user's events by weight, and weighs as much."""

    def __init__(self, events: Arrays) -> None:
        self.events = events

    def per_user(self, metric: str, items: np.ndarray | None = None) -> PerUser:
        asked = self if items is None else self.of(items[self.events[ITEM_INDEX]])
        return asked.means(event_errors(metric, asked.events[LABEL], asked.events[PREDICTION]))

    def of(self, is_chosen: np.ndarray) -> EventOutcome:
        """Some of the events alone. bool [events]"""
        rows = np.flatnonzero(is_chosen)
        return EventOutcome({name: self.events[name][rows] for name in _NEEDED if name in self.events})

    def means(self, values: np.ndarray) -> PerUser:
        """Each user's mean of something that every event has. float [events]"""
        weights = event_weights(self.events)
        counted = np.flatnonzero(weights > 0)
        users, rows = np.unique(self.events[USER_INDEX][counted], return_inverse=True)
        total = np.bincount(rows, weights=weights[counted], minlength=len(users))
        sums = np.bincount(rows, weights=(weights * values)[counted], minlength=len(users))
        return PerUser(users, sums / total, total)


def common(first: PerUser, second: PerUser) -> tuple[PerUser, PerUser]:
    """Both on the users that both have."""
    users = np.intersect1d(first.users, second.users)
    return first.at(users), second.at(users)


def mean_of(several: Sequence[PerUser]) -> PerUser:
    """Each user's mean over runs (seeds) that were asked of the same users."""
    return replace(several[0], values=np.mean([one.values for one in several], axis=0))


def _each_once(users: np.ndarray, values: np.ndarray) -> PerUser:
    return PerUser(users, values, np.ones(len(users)))
