"""How a model's scores choose an item."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.off_policy import (
    epsilon_greedy_policy,
    epsilon_greedy_policy_of_groups,
    softmax_policy,
    softmax_policy_of_groups,
)


@dataclass(frozen=True)
class Choice:
    """Softmax of the scores at a temperature or, where `epsilon` is given, ε-greedy."""

    temperature: float = 1.0
    epsilon: float | None = None

    def of_rows(self, scores: np.ndarray) -> np.ndarray:
        """Probabilities of each row's choices: float [rows, choices]."""
        scores = scores.astype(np.float64)
        if self.epsilon is not None:
            return epsilon_greedy_policy(scores, self.epsilon)
        return softmax_policy(scores, self.temperature)

    def of_groups(self, scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
        """Probability of each row, where a row's choices are the rows of its group: float [rows]."""
        scores = scores.astype(np.float64)
        if self.epsilon is not None:
            return epsilon_greedy_policy_of_groups(scores, groups, self.epsilon)
        return softmax_policy_of_groups(scores, groups, self.temperature)

    def __str__(self) -> str:
        if self.epsilon is not None:
            return f"{self.epsilon:g}-greedy"
        return f"softmax at temperature {self.temperature:g}"
