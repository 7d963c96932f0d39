"""A log of slates (ranked lists that were shown together), as the estimators read it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from tfrec.errors import DataError
from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.log import require_column, require_probabilities

AXES = ("slate", "position")


@dataclass(frozen=True)
class LoggedSlates:
    """One row per slate, one column per position, the first position first. Leading axes are separate logs.

    A policy's probability of the item at position k comes in two kinds. Given the items above it: their product is
    the probability of the slate. Over all slates (marginal): what that item at that position has, whatever is above.
    Where positions are drawn independently of each other the two are one.

    Attributes:
        rewards: of each position; 0 past the end of a short slate. float [..., slates, positions]
        propensities: of the logging policy, given the items above; 1 past the end. In (0, 1], same shape.
        target_probabilities: of the policy to be judged, given the items above; 1 past the end. In [0, 1], same shape.
        position_propensities, position_target_probabilities: the marginal ones; None where they are not known.
        is_shown: whether the slate has this position; None for slates of full length. bool, same shape.
        position_weights: α_k, what a reward at each position counts; None for 1. float [positions]
        labels: slates with one label (a user) may depend on each other; None for independent slates. [slates]
        logged_predictions: Q̂_k(x, a_1…a_k), a model's Σ_{l≥k} α_l r_l given the items down to k. Same shape.
        target_predictions: Σ_a π(a|x, a_1…a_{k−1}) Q̂_k(x, a_1…a_{k−1}, a). Same shape.

    Raises:
        DataError: shapes differ, a value is not finite, a probability is outside its range, one of a pair is given
            without the other, or the target policy shows none of the logged items first.

    """

    rewards: np.ndarray
    propensities: np.ndarray
    target_probabilities: np.ndarray
    position_propensities: np.ndarray | None = None
    position_target_probabilities: np.ndarray | None = None
    is_shown: np.ndarray | None = None
    position_weights: np.ndarray | None = None
    labels: np.ndarray | None = None
    logged_predictions: np.ndarray | None = None
    target_predictions: np.ndarray | None = None

    def __post_init__(self) -> None:
        shape = np.shape(self.rewards)
        if len(shape) < 2 or not shape[-1] or not shape[-2]:
            raise DataError(f"rewards: got the shape {shape}; wanted [slates, positions], one of each at least")
        for pair in (
            ("rewards",),
            ("propensities", "target_probabilities"),
            ("position_propensities", "position_target_probabilities"),
            ("logged_predictions", "target_predictions"),
        ):
            given = [name for name in pair if getattr(self, name) is not None]
            if given and len(given) < len(pair):
                raise DataError(f"{' and '.join(pair)} go together; give both or none")
            for name in given:
                values = np.asarray(getattr(self, name), np.float64)
                require_column(name, values, shape, AXES)
                if name.endswith(("propensities", "probabilities")):
                    zero_is_allowed = name.endswith("target_probabilities")
                    require_probabilities(name, values, zero_is_allowed=zero_is_allowed, axes=AXES)
                object.__setattr__(self, name, values)
        if not (self.target_probabilities[..., 0] > 0).any(axis=-1).all():
            raise DataError(
                "no overlap: the target policy shows none of the logged items at the first position, so the log says "
                "nothing about it; log with a policy that explores, or judge one that does"
            )
        if self.is_shown is not None and np.shape(self.is_shown) != shape:
            raise DataError(f"is_shown: got the shape {np.shape(self.is_shown)}; wanted that of the rewards, {shape}")

    @cached_property
    def clusters(self) -> Clusters:
        return Clusters.of(self.labels, self.rewards.shape[-2])

    @cached_property
    def shown(self) -> np.ndarray:
        """Whether the slate has the position: bool [..., slates, positions]"""
        return np.ones(self.rewards.shape, bool) if self.is_shown is None else np.asarray(self.is_shown, bool)

    @cached_property
    def weighted_rewards(self) -> np.ndarray:
        """α_k r_k, 0 past the end. float [..., slates, positions]"""
        weights = np.ones(self.rewards.shape[-1]) if self.position_weights is None else self.position_weights
        return np.where(self.shown, self.rewards * weights, 0.0)

    @cached_property
    def prefix_weights(self) -> np.ndarray:
        """Π_{j≤k} π(a_j|x, a_1…a_{j−1}) / p(a_j|x, a_1…a_{j−1}). float [..., slates, positions]"""
        ratios = np.where(self.shown, self.target_probabilities / self.propensities, 1.0)
        return np.cumprod(ratios, axis=-1)

    @cached_property
    def position_weights_of_actions(self) -> np.ndarray:
        """π_k(a_k|x) / p_k(a_k|x), of the marginal probabilities. float [..., slates, positions]"""
        if self.position_propensities is None or self.position_target_probabilities is None:
            raise DataError(
                "independent IPS needs the marginal probabilities of each position: give position_propensities and "
                "position_target_probabilities"
            )
        return np.where(self.shown, self.position_target_probabilities / self.position_propensities, 1.0)
