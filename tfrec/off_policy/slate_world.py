"""A small world of slates, so small that every slate can be listed and every expectation summed."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import numpy as np

from tfrec.off_policy.policies import softmax_policy
from tfrec.off_policy.slates import LoggedSlates

Users = Literal["independent", "cascade"]


@dataclass(frozen=True)
class SlatePolicy:
    """Plackett–Luce: items are drawn one after the other without replacement, by softmax of their scores.

    Attributes:
        conditional: probability of each slate's item at each position given the items above. [types, slates, positions]
        marginal: of this item at this position over all slates. [types, slates, positions]

    """

    conditional: np.ndarray
    marginal: np.ndarray

    @classmethod
    def of_scores(cls, scores: np.ndarray, slates: np.ndarray) -> SlatePolicy:
        """From scores [types, items] and all slates [slates, positions]."""
        odds = softmax_policy(scores)[:, slates]  # [types, slates, positions]
        taken_above = np.cumsum(odds, axis=-1) - odds
        conditional = odds / (1 - taken_above)
        of_slate = conditional.prod(axis=-1)
        marginal = np.empty_like(conditional)
        for k in range(slates.shape[1]):
            for item in range(scores.shape[1]):
                has_it = slates[:, k] == item
                marginal[:, has_it, k] = of_slate[:, has_it].sum(axis=-1, keepdims=True)
        return cls(conditional, marginal)

    @property
    def of_slate(self) -> np.ndarray:
        """Float [types, slates]"""
        probability: np.ndarray = self.conditional.prod(axis=-1)
        return probability


@dataclass(frozen=True)
class SlateWorld:
    """Users of several types see a slate and take items of it.

    Attributes:
        slates: every ordered choice of items. int [slates, positions]
        expected: E[r_k|type, slate]. float [types, slates, positions]
        logging, target: the policies.

    """

    slates: np.ndarray
    expected: np.ndarray
    logging: SlatePolicy
    target: SlatePolicy

    @classmethod
    def planted(
        cls, seed: int, *, distance: float, users: Users, types: int = 10, items: int = 6, positions: int = 3
    ) -> SlateWorld:
        """With `cascade` users, whoever takes an item takes those below it a tenth as often."""
        rng = np.random.default_rng(seed)
        slates = np.array(list(permutations(range(items), positions)))
        attraction = rng.uniform(0.05, 0.6, (types, items))[:, slates]
        examined = 1 / np.sqrt(1 + np.arange(positions))
        if users == "cascade":
            left = np.cumprod(1 - 0.9 * attraction, axis=-1) / (1 - 0.9 * attraction)
        else:
            left = np.ones_like(attraction)
        logging_scores = 0.5 * rng.normal(size=(types, items))
        target_scores = logging_scores + distance * rng.normal(size=(types, items))
        return cls(
            slates,
            attraction * examined * left,
            SlatePolicy.of_scores(logging_scores, slates),
            SlatePolicy.of_scores(target_scores, slates),
        )

    @property
    def value(self) -> float:
        """V(π) = mean over types of Σ_slates π(slate) Σ_k E[r_k], exactly."""
        return float((self.target.of_slate * self.expected.sum(axis=-1)).sum(axis=-1).mean())

    def draw(self, seed: int, slates_of_users: np.ndarray, runs: int | None = None) -> LoggedSlates:
        """Logs in which user u has `slates_of_users[u]` slates, all of the user's type; `runs` as the leading axis."""
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(len(slates_of_users)), slates_of_users)
        leading = () if runs is None else (runs,)
        types = rng.integers(0, len(self.expected), (*leading, len(slates_of_users)))[..., users]
        size = len(self.slates)
        thresholds = (np.cumsum(self.logging.of_slate, axis=-1) + np.arange(len(self.expected))[:, None]).ravel()
        at = np.searchsorted(thresholds, types + rng.random(types.shape), side="right")
        chosen = np.clip(at - types * size, 0, size - 1)
        expected = self.expected[types, chosen]
        return self.log_of(types, chosen, rng.random(expected.shape) < expected, users)

    def log_of(
        self, types: np.ndarray, chosen: np.ndarray, rewards: np.ndarray, labels: np.ndarray | None = None
    ) -> LoggedSlates:
        """The log in which users of these types were shown these slates. Its reward model knows half of the truth."""
        logged, target = self._predictions()
        return LoggedSlates(
            rewards,
            self.logging.conditional[types, chosen],
            self.target.conditional[types, chosen],
            self.logging.marginal[types, chosen],
            self.target.marginal[types, chosen],
            labels=labels,
            logged_predictions=logged[types, chosen],
            target_predictions=target[types, chosen],
        )

    def _predictions(self) -> tuple[np.ndarray, np.ndarray]:
        """Q̂_k(a_1…a_k) = ½ (a_k's own reward here + its position's mean for each below), and its mean over π."""
        own = self.expected
        below = np.cumsum(own.mean(axis=(0, 1))[::-1])[::-1]
        rest = np.append(below[1:], 0.0)
        logged = 0.5 * (own + rest)
        target = np.empty_like(logged)
        for k in range(self.slates.shape[1]):
            prefixes, group = np.unique(self.slates[:, :k], axis=0, return_inverse=True)
            group = group.ravel()
            for number in range(max(len(prefixes), 1)):
                same = np.flatnonzero(group == number)
                weight = self.target.of_slate[:, same]
                mean = (weight * logged[:, same, k]).sum(axis=-1) / weight.sum(axis=-1)
                target[:, same, k] = mean[:, None]
        return logged, target
