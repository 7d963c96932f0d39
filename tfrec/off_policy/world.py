"""A bandit world whose every expectation is known: logs are drawn from it, and estimates compared with its truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from tfrec.off_policy.log import LoggedActions
from tfrec.off_policy.policies import softmax_policy

RewardKind = Literal["binary", "normal", "exponential"]


@dataclass(frozen=True)
class BanditWorld:
    """Users of several types; a type decides what an action is worth and how often each policy takes it.

    Attributes:
        expected: E[r|type, action]. float [types, actions]
        logging: p(action|type). float [types, actions]
        target: π(action|type). float [types, actions]
        predicted: q̂(type, action), a reward model that is not quite right. float [types, actions]
        reward_kind: Bernoulli, normal with standard deviation 1, or exponential.
        user_effect: a user's rewards all lie this much above or below, with probability ½ each.

    """

    expected: np.ndarray
    logging: np.ndarray
    target: np.ndarray
    predicted: np.ndarray
    reward_kind: RewardKind = "binary"
    user_effect: float = 0.0

    @classmethod
    def planted(
        cls,
        seed: int,
        *,
        distance: float,
        reward_kind: RewardKind = "binary",
        user_effect: float = 0.0,
        types: int = 50,
        num_actions: int = 20,
    ) -> BanditWorld:
        """Softmax policies over one taste; `distance` is how far the target's scores are from the logging policy's."""
        rng = np.random.default_rng(seed)
        taste = rng.normal(size=(types, num_actions))
        rate = 0.02 + user_effect + (0.5 - 2 * user_effect) / (1 + np.exp(2 - taste))
        expected = rate if reward_kind == "binary" else 5 * rate
        logging = softmax_policy(0.5 * rng.normal(size=taste.shape) + 0.3 * taste)
        target = softmax_policy(np.log(logging) + distance * rng.normal(size=taste.shape))
        predicted = expected * np.exp(0.3 * rng.normal(size=taste.shape))
        return cls(expected, logging, target, predicted, reward_kind, user_effect)

    @property
    def value(self) -> float:
        """V(π), exactly: all types and actions summed."""
        return float((self.target * self.expected).sum(axis=-1).mean())

    def draw(self, seed: int, rows_of_users: np.ndarray, runs: int | None = None) -> LoggedActions:
        """Logs in which user u has `rows_of_users[u]` rows, all of the user's type.

        Args:
            seed: of the draw.
            rows_of_users: int [users]
            runs: number of logs, the leading axis; None for one log without that axis.

        """
        rng = np.random.default_rng(seed)
        users = np.repeat(np.arange(len(rows_of_users)), rows_of_users)
        leading = () if runs is None else (runs,)
        user_types = rng.integers(0, len(self.expected), (*leading, len(rows_of_users)))
        effects = self.user_effect * rng.choice([-1.0, 1.0], user_types.shape)
        types = user_types[..., users]
        chosen = self._choose(types, rng.random(types.shape))
        rewards = self._rewards(self.expected[types, chosen] + effects[..., users], rng)
        return LoggedActions(
            rewards,
            self.logging[types, chosen],
            self.target[types, chosen],
            users if (rows_of_users > 1).any() else None,
            self.predicted[types, chosen],
            (self.target * self.predicted).sum(axis=-1)[types],
        )

    def _choose(self, types: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Inverse of the cumulative probability: type t's thresholds lie between t and t + 1."""
        thresholds = (np.cumsum(self.logging, axis=-1) + np.arange(len(self.logging))[:, None]).ravel()
        at = np.searchsorted(thresholds, types + uniform, side="right")
        actions = self.logging.shape[1]
        chosen: np.ndarray = np.clip(at - types * actions, 0, actions - 1)
        return chosen

    def _rewards(self, expected: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        if self.reward_kind == "binary":
            return (rng.random(expected.shape) < expected).astype(np.float64)
        if self.reward_kind == "normal":
            return expected + rng.normal(size=expected.shape)
        return rng.exponential(expected)
