"""Examination by EM, from an ordinary log: a regression says how relevant an item is wherever it stands."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
from scipy.special import expit

from tfrec.errors import DataError
from tfrec.off_policy.examination import Examination, clicks_and_positions

MAX_ITERATIONS = 2000
TOLERANCE = 1e-10  # gain of the mean log-likelihood at which EM stops
_EDGE = 1e-9


class Relevance(ABC):
    """γ of every row, refitted in each M step."""

    @abstractmethod
    def start(self, clicks: np.ndarray) -> np.ndarray:
        """First γ, float [rows]. Raises DataError for another number of rows."""

    @abstractmethod
    def fit(self, expected: np.ndarray) -> np.ndarray:
        """γ, float [rows], from the E step's probability that each row was relevant, float [rows]."""


class RelevanceByGroup(Relevance):
    """One γ for all rows of a group (an item, or a query and item), shrunk towards the overall mean.

    Args:
        groups: a label per row. [rows]
        prior: rows at the overall mean that each group is taken to have beside its own.

    """

    def __init__(self, groups: np.ndarray, prior: float = 1.0) -> None:
        _, self._group = np.unique(groups, return_inverse=True)
        self._rows = np.bincount(self._group)
        self._prior = prior

    def start(self, clicks: np.ndarray) -> np.ndarray:
        _require_rows(len(self._group), clicks)
        return self.fit(_first_guess(clicks))

    def fit(self, expected: np.ndarray) -> np.ndarray:
        sums = np.bincount(self._group, weights=expected)
        gamma: np.ndarray = (sums + self._prior * expected.mean()) / (self._rows + self._prior)
        return gamma[self._group]


class LogisticRelevance(Relevance):
    """γ = σ(b + w·x), refitted by a Newton step from the last weights.

    Args:
        features: of the user, item and context, never of the position. float [rows, features]
        penalty: λ of ½ λ |w|².

    """

    def __init__(self, features: np.ndarray, penalty: float = 1.0) -> None:
        self._x = np.concatenate([np.ones((len(features), 1)), np.asarray(features, np.float64)], axis=1)
        self._penalty = penalty * np.append(0.0, np.ones(features.shape[1]))
        self.weights = np.zeros(self._x.shape[1])

    def start(self, clicks: np.ndarray) -> np.ndarray:
        _require_rows(len(self._x), clicks)
        return self._newton(_first_guess(clicks), steps=5)

    def fit(self, expected: np.ndarray) -> np.ndarray:
        return self._newton(expected, steps=1)  # the likelihood climbs with a step as with the whole way

    def _newton(self, expected: np.ndarray, steps: int) -> np.ndarray:
        for _ in range(steps):
            gamma = expit(self._x @ self.weights)
            gradient = self._x.T @ (expected - gamma) - self._penalty * self.weights
            curvature = self._x.T @ (self._x * np.maximum(gamma * (1 - gamma), 1e-6)[:, None])
            self.weights = self.weights + np.linalg.solve(
                curvature + np.diag(self._penalty + 1e-9 * len(gamma)), gradient
            )
        fitted: np.ndarray = expit(self._x @ self.weights)
        return fitted


@dataclass(frozen=True)
class ClickModel:
    """The position-based model of a log.

    Attributes:
        examination: relative to the first position; no interval.
        relevance: γ of each row, times θ of the first position. float [rows]
        log_likelihoods: mean per row, before each step.
        converged: whether the gain fell below the tolerance.

    """

    examination: Examination
    relevance: np.ndarray
    log_likelihoods: np.ndarray
    converged: bool


def fit_click_model(
    clicks: np.ndarray,
    positions: np.ndarray,
    relevance: Relevance,
    *,
    max_iterations: int = MAX_ITERATIONS,
    tolerance: float = TOLERANCE,
) -> ClickModel:
    """Regression EM for P(click | k, x) = θ_k γ(x).

    E step, of a row without a click (with one, both are 1): P(examined) = θ (1 − γ) / (1 − θ γ),
    P(relevant) = γ (1 − θ) / (1 − θ γ). M step: θ_k is the mean of the first at k, γ a regression on the second.
    What tells θ from γ is that like items stand at different positions: features that follow the position closely,
    or groups of one position each, leave it undetermined.

    Args:
        clicks: 0 or 1. [rows]
        positions: int [rows]
        relevance: `LogisticRelevance(features)` or `RelevanceByGroup(items)`.
        max_iterations: EM steps at most.
        tolerance: gain of the mean log-likelihood at which to stop.

    Raises:
        DataError: as `clicks_and_positions`, or relevance of another number of rows.

    Source: Wang et al., "Position bias estimation for unbiased learning to rank in personal search" (2018).

    """
    clicked, known, place = clicks_and_positions(clicks, positions)
    gamma = relevance.start(clicked)
    shown = np.bincount(place)
    theta = np.full(len(known), 0.5)
    found: list[float] = []
    converged = False
    for _ in range(max_iterations):
        examined = theta[place]
        chance = np.clip(examined * gamma, _EDGE, 1 - _EDGE)
        found.append(float(np.where(clicked == 1, np.log(chance), np.log1p(-chance)).mean()))
        if len(found) > 1 and abs(found[-1] - found[-2]) < tolerance:
            converged = True
            break
        was_examined = np.where(clicked == 1, 1.0, examined * (1 - gamma) / (1 - chance))
        was_relevant = np.where(clicked == 1, 1.0, gamma * (1 - examined) / (1 - chance))
        theta = np.bincount(place, weights=was_examined) / shown
        gamma = relevance.fit(was_relevant)
    return ClickModel(Examination(known, theta / theta[0]), gamma * theta[0], np.array(found), converged)


def _first_guess(clicks: np.ndarray) -> np.ndarray:
    guess: np.ndarray = np.minimum(clicks + clicks.mean(), 0.9)
    return guess


def _require_rows(rows: int, clicks: np.ndarray) -> None:
    if rows != len(clicks):
        raise DataError(f"relevance is of {rows} rows, clicks of {len(clicks)}; give one per row")
