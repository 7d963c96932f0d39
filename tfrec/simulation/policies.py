"""Policies: scores of the candidates → a slate, with the probability with which each item came to its place."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Protocol

import numpy as np
from pydantic import Field

from tfrec.config_file import Config
from tfrec.simulation import plackett_luce
from tfrec.simulation.draws import Stream, uniforms
from tfrec.simulation.state import Requests


@dataclass(frozen=True)
class Propensities:
    """Probabilities that a policy gives to slates, whoever drew them.

    Attributes:
        at_position: that the item stands at this position, over all slates. float64 [requests, slate]
        in_slate: that it stands in the slate at all. float64 [requests, slate]
        of_prefix: of the items down to this position, in their order. float64 [requests, slate]

    """

    at_position: np.ndarray
    in_slate: np.ndarray
    of_prefix: np.ndarray

    @property
    def of_slate(self) -> np.ndarray:
        """Of the whole slate, in its order. float64 [requests]"""
        return self.of_prefix[:, -1]

    @property
    def given_above(self) -> np.ndarray:
        """Of each item at its position, given the items above it; 0 below what cannot be. float64 [requests, slate]"""
        above = np.concatenate([np.ones((len(self.of_prefix), 1)), self.of_prefix[:, :-1]], axis=1)
        return np.divide(self.of_prefix, above, out=np.zeros_like(above), where=above > 0)

    def mixed_with(self, other: Propensities, share: float) -> Propensities:
        """What a request has that is answered by `other` with probability `share`."""
        return Propensities(
            *(
                (1 - share) * mine + share * theirs
                for mine, theirs in (
                    (self.at_position, other.at_position),
                    (self.in_slate, other.in_slate),
                    (self.of_prefix, other.of_prefix),
                )
            )
        )


@dataclass(frozen=True)
class Slates:
    """What was chosen: items int64 [requests, slate]; whether at random, whatever the scores: bool [requests]."""

    items: np.ndarray
    is_random: np.ndarray


class Policy(Protocol):
    """A way to choose `size` of the candidates bool [requests, items] by their scores float64 [requests, items]."""

    def choose(
        self, scores: np.ndarray, candidates: np.ndarray, size: int, requests: Requests, seed: int
    ) -> Slates: ...

    def propensities(self, scores: np.ndarray, candidates: np.ndarray, items: np.ndarray) -> Propensities: ...


class Greedy(Config):
    """The items of the highest scores, always; of equal ones the lower index."""

    kind: Literal["greedy"] = "greedy"

    @property
    def has_random_requests(self) -> bool:
        return False

    def choose(self, scores: np.ndarray, candidates: np.ndarray, size: int, requests: Requests, seed: int) -> Slates:
        items = plackett_luce.top(np.where(candidates, scores, -np.inf), size)
        return Slates(items, np.zeros(len(items), bool))

    def propensities(self, scores: np.ndarray, candidates: np.ndarray, items: np.ndarray) -> Propensities:
        best = plackett_luce.top(np.where(candidates, scores, -np.inf), items.shape[1])
        same = items == best
        return Propensities(
            same.astype(float),
            (items[:, :, None] == best[:, None, :]).any(axis=2).astype(float),
            np.logical_and.accumulate(same, axis=1).astype(float),
        )


class Uniform(Config):
    """Every slate of candidates is as probable as any other."""

    kind: Literal["uniform"] = "uniform"

    @property
    def has_random_requests(self) -> bool:
        return True

    def choose(self, scores: np.ndarray, candidates: np.ndarray, size: int, requests: Requests, seed: int) -> Slates:
        keys = _item_draws(candidates, requests, seed)
        return Slates(plackett_luce.top(np.where(candidates, keys, -np.inf), size), np.ones(len(keys), bool))

    def propensities(self, scores: np.ndarray, candidates: np.ndarray, items: np.ndarray) -> Propensities:
        number, size = candidates.sum(axis=1).astype(float), items.shape[1]
        allowed = np.take_along_axis(candidates, items, axis=1)
        in_turn = allowed / (number[:, None] - np.arange(size))
        return Propensities(allowed / number[:, None], allowed * size / number[:, None], np.cumprod(in_turn, axis=1))


class Softmax(Config):
    """Plackett–Luce: each place is drawn in proportion to exp(score / temperature) of what is left."""

    kind: Literal["softmax"] = "softmax"
    temperature: float = Field(0.1, gt=0)

    @property
    def has_random_requests(self) -> bool:
        return False

    def choose(self, scores: np.ndarray, candidates: np.ndarray, size: int, requests: Requests, seed: int) -> Slates:
        items = plackett_luce.draw(self._log_weights(scores, candidates), _item_draws(candidates, requests, seed), size)
        return Slates(items, np.zeros(len(items), bool))

    def propensities(self, scores: np.ndarray, candidates: np.ndarray, items: np.ndarray) -> Propensities:
        weights = self._log_weights(scores, candidates)
        at = plackett_luce.position_probabilities(weights, items)
        return Propensities(
            np.diagonal(at, axis1=1, axis2=2).copy(),
            at.sum(axis=2),
            plackett_luce.prefix_probabilities(weights, items),
        )

    def _log_weights(self, scores: np.ndarray, candidates: np.ndarray) -> np.ndarray:
        return np.where(candidates, scores / self.temperature, -np.inf)


class EpsilonGreedy(Config):
    """A share of the requests gets a random slate, the others the best one; so it is hold-out traffic too."""

    kind: Literal["epsilon_greedy"] = "epsilon_greedy"
    epsilon: float = Field(0.1, ge=0, le=1)

    @property
    def has_random_requests(self) -> bool:
        return self.epsilon > 0

    def choose(self, scores: np.ndarray, candidates: np.ndarray, size: int, requests: Requests, seed: int) -> Slates:
        best = Greedy().choose(scores, candidates, size, requests, seed).items
        any_ = Uniform().choose(scores, candidates, size, requests, seed).items
        is_random = uniforms(seed, Stream.POLICY_KIND, requests.moment, requests.user_ids) < self.epsilon
        return Slates(np.where(is_random[:, None], any_, best), is_random)

    def propensities(self, scores: np.ndarray, candidates: np.ndarray, items: np.ndarray) -> Propensities:
        best = Greedy().propensities(scores, candidates, items)
        return best.mixed_with(Uniform().propensities(scores, candidates, items), self.epsilon)


POLICIES = {"greedy": Greedy, "uniform": Uniform, "softmax": Softmax, "epsilon_greedy": EpsilonGreedy}
PolicyConfig = Annotated[Greedy | Uniform | Softmax | EpsilonGreedy, Field(discriminator="kind")]


def _item_draws(candidates: np.ndarray, requests: Requests, seed: int) -> np.ndarray:
    """One draw per request and item, the same for all policies. float64 [requests, items]"""
    items = np.arange(candidates.shape[1])
    return uniforms(seed, Stream.POLICY_ITEM, requests.moment, requests.user_ids[:, None], items)
