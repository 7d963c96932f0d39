"""A metric that is computed within groups of rows, such as users or requests, and then averaged."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from tfrec.errors import DataError


@dataclass(frozen=True)
class GroupedMetric:
    """One value per group.

    Attributes:
        groups: distinct, ascending. [groups]
        values: NaN where the metric is not defined. float64 [groups]
        weights: of the groups in the mean. float64 [groups]

    """

    groups: NDArray
    values: NDArray[np.float64]
    weights: NDArray[np.float64]

    @property
    def mean(self) -> float:
        """Σ weight · value / Σ weight over the groups that have a value; NaN if none has."""
        is_defined = ~np.isnan(self.values)
        total = float(self.weights[is_defined].sum())
        return float(self.weights[is_defined] @ self.values[is_defined]) / total if total else float("nan")

    @property
    def left_out(self) -> int:
        """Groups without a value."""
        return int(np.isnan(self.values).sum())


def sums_by_group(values: NDArray, group: NDArray, groups: int) -> NDArray[np.float64]:
    """Sum of the rows of each group. float64 [groups]"""
    return np.bincount(group, weights=values, minlength=groups).astype(np.float64, copy=False)


def weights_of(rows: int, weights: ArrayLike | None) -> NDArray[np.float64]:
    """Weights of the rows, 1 where none are given. Raises ValueError unless there is one for each, none below 0."""
    if weights is None:
        return np.ones(rows)
    given = np.asarray(weights, np.float64)
    if given.shape != (rows,) or not (given >= 0).all():
        raise ValueError(f"weights {given.shape} for {rows} rows: one for each row, none negative or NaN")
    return given


def checked_values(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """As float64. Raises DataError if one is NaN, which has no place in an order."""
    found = np.asarray(values, np.float64)
    if np.isnan(found).any():
        raise DataError(
            f"{name}: {int(np.isnan(found).sum()):,} of {found.size:,} are NaN; allowed: numbers and infinities; "
            "if a model gave them, it has diverged: lower train.learning_rate or clip gradients"
        )
    return found
