"""Prediction bias: how much is predicted in all, beside what happened; on the whole and in slices."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfrec.certainty import bootstrap_mean
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX
from trainer.report.estimates import FEWEST_USERS, Estimate
from trainer.report.per_user import PREDICTION, EventOutcome, PerUser, event_weights
from trainer.report.results import MAIN_SET, JobResults
from trainer.report.slices import Slice, SliceGroup, event_slice_groups, slice_groups
from trainer.report.tables import Scale

MOST_DRAWN = 3.0  # of ratios: one slice of a few events shall not press the others together


@dataclass(frozen=True)
class BiasRow:
    """Some events. `bias` is mean prediction ÷ mean label (binary labels), or their difference (values)."""

    label: str
    events: int
    predicted: float
    observed: float
    bias: Estimate
    unbiased: float  # what `bias` is of a model that is right on the whole

    @property
    def is_off(self) -> bool:
        """Whether the interval leaves out the unbiased value."""
        return self.bias.low > self.unbiased or self.bias.high < self.unbiased


@dataclass(frozen=True)
class BiasTable:
    """Models on the whole test set, or slices of one property."""

    title: str
    rows: tuple[BiasRow, ...]

    @property
    def unbiased(self) -> float:
        return self.rows[0].unbiased

    @property
    def scale(self) -> Scale:
        """Of the drawn strip: all rows and the unbiased value."""
        unbiased = Estimate(self.unbiased, self.unbiased, self.unbiased, 0)
        found = Scale.around([*(row.bias for row in self.rows), unbiased])
        return Scale(found.low, min(found.high, MOST_DRAWN)) if self.unbiased else found


def bias_tables(results: JobResults) -> list[BiasTable]:
    """The model and its baselines on the whole test set, then the model by parts of users, items and events.

    Nothing where the model's predictions were not kept, or are neither probabilities nor values.
    """
    if not results.predicts_values:
        return []
    names: list[str | None] = [None, *results.baselines]
    outcomes = [(results.label(name), results.outcome(MAIN_SET, name)) for name in names]
    kept = [(label, one) for label, one in outcomes if isinstance(one, EventOutcome) and len(one.events[LABEL])]
    if not kept or kept[0][1] is not outcomes[0][1]:
        return []
    is_binary, ours = results.is_binary, kept[0][1]
    tables = [BiasTable("The whole test set", tuple(bias_row(label, one, is_binary) for label, one in kept))]
    for group in (*slice_groups(results.data), *event_slice_groups(results.data, MAIN_SET)):
        chosen = [(one.label, ours.of(_events_of(ours, group, one))) for one in group.slices]
        rows = tuple(bias_row(label, some, is_binary) for label, some in chosen if len(some.events[LABEL]))
        if len(rows) > 1:
            tables.append(BiasTable(group.title, rows))
    return tables


def bias_row(label: str, outcome: EventOutcome, is_binary: bool) -> BiasRow:
    """The bias of some events, with a 95 % interval by bootstrap over users.

    A ratio is no mean: its interval is that of the linear part of its logarithm (the delta method), so that it stays
    above 0. It is NaN where no event has a label above 0.
    """
    events, unbiased = outcome.events, 1.0 if is_binary else 0.0
    predicted, labels = predicted_values(events[PREDICTION], is_binary), events[LABEL].astype(np.float64)
    weights = event_weights(events)
    if not weights.any():
        return BiasRow(label, 0, np.nan, np.nan, Estimate(np.nan, np.nan, np.nan, 0), unbiased)
    p, y = (float(np.average(values, weights=weights)) for values in (predicted, labels))
    if not is_binary:
        found = _with_interval(outcome.means(predicted - labels))
    elif p > 0 and y > 0:
        found = _with_interval(outcome.means(predicted / p - labels / y), lambda part: p / y * np.exp(part))
    else:
        found = Estimate(np.nan, np.nan, np.nan, len(outcome.means(labels)))
    return BiasRow(label, int((weights > 0).sum()), p, y, found, unbiased)


def predicted_values(predictions: np.ndarray, is_binary: bool) -> np.ndarray:
    """Kept predictions → probabilities for a binary label, values otherwise. float64"""
    values = predictions.astype(np.float64)
    return 1 / (1 + np.exp(-np.clip(values, -700, 700))) if is_binary else values


def _events_of(outcome: EventOutcome, group: SliceGroup, one: Slice) -> np.ndarray:
    """Which events are in a slice. bool [events]"""
    if group.side == "event":
        return one.members
    return one.members[outcome.events[USER_INDEX if group.side == "user" else ITEM_INDEX]]


def _with_interval(parts: PerUser, write: Callable[[float], float] = float) -> Estimate:
    """`write` makes of a mean over users, and of the ends of its interval, what is shown."""
    found = bootstrap_mean(parts.values, weights=parts.weights, users=parts.users)
    low, high = (found.low, found.high) if len(parts) >= FEWEST_USERS else (np.nan, np.nan)
    return Estimate(float(write(found.mean)), float(write(low)), float(write(high)), len(parts))
