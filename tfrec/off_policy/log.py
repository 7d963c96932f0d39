"""A log of single actions, as the estimators read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.weights import WeightCheck


@dataclass(frozen=True)
class LoggedActions:
    """One row per action that was taken. Leading axes, if there are any, are separate logs of one layout.

    Attributes:
        rewards: r_i, what came of it. float [..., rows]
        propensities: p(a_i|x_i) of the logging policy, in (0, 1]. float [..., rows]
        target_probabilities: π(a_i|x_i) of the policy to be judged, in [0, 1]. float [..., rows]
        labels: rows with one label (a user, a request) may depend on each other; None for independent rows. [rows]
        logged_predictions: q̂(x_i, a_i), a model's reward for the logged action. float [..., rows]
        target_predictions: Σ_a π(a|x_i) q̂(x_i, a), its reward for the target policy. float [..., rows]

    Raises:
        DataError: shapes differ, a value is not finite, a probability is outside its range, one kind of prediction
            stands without the other, or the target policy takes none of the logged actions.

    """

    rewards: np.ndarray
    propensities: np.ndarray
    target_probabilities: np.ndarray
    labels: np.ndarray | None = None
    logged_predictions: np.ndarray | None = None
    target_predictions: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.rewards)
        if not shape or not shape[-1]:
            raise DataError("the log has no rows; give at least one")
        for name in ("rewards", "propensities", "target_probabilities", "logged_predictions", "target_predictions"):
            values = getattr(self, name)
            if values is None:
                continue
            object.__setattr__(self, name, np.asarray(values, np.float64))
            require_column(name, getattr(self, name), shape)
        require_probabilities("propensities", self.propensities, zero_is_allowed=False)
        require_probabilities("target_probabilities", self.target_probabilities, zero_is_allowed=True)
        if (self.logged_predictions is None) != (self.target_predictions is None):
            raise DataError("logged_predictions and target_predictions go together; give both or none")
        if not (self.target_probabilities > 0).any(axis=-1).all():
            raise DataError(
                "no overlap: the target policy takes none of the logged actions, so the log says nothing about it; "
                "log with a policy that explores, or give the target policy a higher temperature or epsilon"
            )

    @cached_property
    def clusters(self) -> Clusters:
        return Clusters.of(self.labels, self.rewards.shape[-1])

    @cached_property
    def weights(self) -> np.ndarray:
        """w_i = π(a_i|x_i) / p(a_i|x_i). float [..., rows]"""
        return self.target_probabilities / self.propensities

    @cached_property
    def check(self) -> WeightCheck:
        return WeightCheck.of(self.weights, self.clusters)


ROUNDING = 1e-6  # by which a probability may be above 1


def row_name(index: int) -> str:
    """A row as people count: the first one, below a header, is 1."""
    return f"row {index + 1:,} (the first is row 1)"


def place_name(at: np.ndarray, axes: tuple[str, ...]) -> str:
    """The last indices of a value by the names of their axes: `slate 1, position 3 (counted from 1)`."""
    if len(axes) == 1:
        return row_name(int(at[-1]))
    named = zip(axes, at[-len(axes) :].tolist(), strict=True)
    return f"{', '.join(f'{axis} {index + 1:,}' for axis, index in named)} (counted from 1)"


def require_column(name: str, values: np.ndarray, shape: tuple[int, ...], axes: tuple[str, ...] = ("row",)) -> None:
    """Raise DataError for another shape than the rewards', or a value that is not finite."""
    if values.shape != shape:
        raise DataError(f"{name}: got the shape {values.shape}; wanted that of the rewards, {shape}")
    if not np.isfinite(values).all():
        at = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{name}: {place_name(at, axes)} is {values[tuple(at)]}; wanted finite numbers")


def require_probabilities(
    name: str, values: np.ndarray, *, zero_is_allowed: bool, axes: tuple[str, ...] = ("row",)
) -> None:
    """Raise DataError for the first value that is no probability."""
    wrong = (values < 0) | (values > 1 + ROUNDING) | ((values == 0) & (not zero_is_allowed))
    if wrong.any():
        at = np.argwhere(wrong)[0]
        allowed = "0 to 1" if zero_is_allowed else "above 0, up to 1"
        raise DataError(
            f"{name}: {place_name(at, axes)} is {values[tuple(at)]:g}, and {wrong.sum()} in all are wrong; "
            f"allowed: {allowed}"
        )
