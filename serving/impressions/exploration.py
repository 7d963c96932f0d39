"""What is shown of the recommended items, drawn with known probabilities: what off-policy evaluation needs."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

import numpy as np
from pydantic import Field

from serving.client.results import ScoredItems
from tfrec.config_file import Config
from tfrec.errors import ConfigError

Floats = np.ndarray[Any, np.dtype[np.float64]]


@dataclasses.dataclass(frozen=True)
class Shown:
    """Items in the order of their places.

    Attributes:
        items: what is shown, with the model's scores.
        propensities: the probability with which each place was filled by its item, given the items above it; None
            where nobody knows it.
        num_candidates: how many items could have been drawn; None likewise.

    """

    items: ScoredItems
    propensities: tuple[float, ...] | None
    num_candidates: int | None

    @classmethod
    def as_answered(cls, items: ScoredItems) -> Shown:
        """The list as the model put it: for one that explores by itself, with the propensities that it says.

        A cascade with `exploration.kind=epsilon` says them. What says none may have drawn its list (`thompson`) or not:
        it is logged without.
        """
        return cls(items, items.propensities, items.num_candidates)


class Exploration(Config):
    """How `draw` chooses k of the candidates, place after place, without repetition.

    - `softmax`: Plackett–Luce, p(i) ∝ exp(score_i / temperature) among the items left (Plackett 1975). Drawn by
      sorting scores / temperature + Gumbel noise.
    - `epsilon_greedy`: the best item left with probability 1 − ε, else any of those left, all alike.
    - `none`: the best k. Every propensity is 1: such a log says nothing of the items that were not shown.
    """

    kind: Literal["softmax", "epsilon_greedy", "none"] = "softmax"
    temperature: float = Field(1.0, gt=0, description="of the softmax; towards 0 the best, above it more at random")
    epsilon: float = Field(0.1, ge=0, le=1)

    def draw(self, items: ScoredItems, k: int, generator: np.random.Generator) -> Shown:
        """Draw up to `k` of `items`: ask the model for more than are shown, and draw from all of them.

        Raises ConfigError for a k below 1.
        """
        if k < 1:
            raise ConfigError(f"k: got {k}; allowed: whole numbers from 1")
        scores = np.array(items.scores, dtype=np.float64)
        if self.kind == "softmax":
            order, propensities = self._softmax(scores / self.temperature, generator)
        else:
            order, propensities = self._greedy(scores, self.epsilon if self.kind != "none" else 0.0, k, generator)
        shown = dataclasses.replace(
            items,
            ids=tuple(items.ids[i] for i in order[:k]),
            scores=tuple(items.scores[i] for i in order[:k]),
        )
        return Shown(shown, tuple(propensities[:k].tolist()), len(items))

    @staticmethod
    def _softmax(logits: Floats, generator: np.random.Generator) -> tuple[list[int], Floats]:
        order = np.argsort(-(logits + generator.gumbel(size=len(logits))))
        drawn = logits[order]
        # log Σ exp over the items from each place on: those that were left when it was filled.
        left = np.logaddexp.accumulate(drawn[::-1])[::-1] if len(drawn) else drawn
        return order.tolist(), np.exp(drawn - left)

    @staticmethod
    def _greedy(scores: Floats, epsilon: float, k: int, generator: np.random.Generator) -> tuple[list[int], Floats]:
        left = np.argsort(-scores, kind="stable").tolist()
        order: list[int] = []
        propensities: list[float] = []
        while left and len(order) < k:
            place = int(generator.integers(len(left))) if generator.random() < epsilon else 0
            propensities.append((1 - epsilon) * (place == 0) + epsilon / len(left))
            order.append(left.pop(place))
        return order, np.array(propensities)
