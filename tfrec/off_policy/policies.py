"""Scores → the probabilities of a policy that chooses by them."""

from __future__ import annotations

import numpy as np

from tfrec.errors import ConfigError


def softmax_policy(scores: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """π(a) = exp(s_a / T) / Σ_b exp(s_b / T) over the last axis; −inf is never taken.

    Args:
        scores: float [..., actions]
        temperature: T > 0; small is greedy, large is uniform.

    """
    require_temperature(temperature)
    shifted = (scores - scores.max(axis=-1, keepdims=True)) / temperature
    odds = np.exp(shifted)
    probabilities: np.ndarray = odds / odds.sum(axis=-1, keepdims=True)
    return probabilities


def epsilon_greedy_policy(scores: np.ndarray, epsilon: float) -> np.ndarray:
    """ε / actions for each, and 1 − ε more for the best, the first of equals; over the last axis."""
    require_epsilon(epsilon)
    probabilities = np.full(scores.shape, epsilon / scores.shape[-1])
    best = np.expand_dims(scores.argmax(axis=-1), -1)
    np.put_along_axis(probabilities, best, np.take_along_axis(probabilities, best, -1) + 1 - epsilon, -1)
    return probabilities


def softmax_policy_of_groups(scores: np.ndarray, groups: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    """`softmax_policy` where each row's choices are the rows of its group.

    Args:
        scores: float [rows]
        groups: int [rows], from 0; any order.
        temperature: T > 0.

    """
    require_temperature(temperature)
    best = _group_best(scores, groups)
    odds = np.exp((scores - best[groups]) / temperature)
    probabilities: np.ndarray = odds / np.bincount(groups, weights=odds)[groups]
    return probabilities


def epsilon_greedy_policy_of_groups(scores: np.ndarray, groups: np.ndarray, epsilon: float) -> np.ndarray:
    """`epsilon_greedy_policy` where each row's choices are the rows of its group; the first of equals is the best."""
    require_epsilon(epsilon)
    order = np.lexsort((np.arange(len(scores)), -scores, groups))
    is_first = np.concatenate([[True], np.diff(groups[order]) != 0]) if len(order) else np.zeros(0, bool)
    probabilities = epsilon / np.bincount(groups)[groups]
    probabilities[order[is_first]] += 1 - epsilon
    return probabilities


def require_temperature(temperature: float) -> None:
    if not temperature > 0 or not np.isfinite(temperature):
        raise ConfigError(f"temperature: got {temperature:g}; allowed: above 0")


def require_epsilon(epsilon: float) -> None:
    if not 0 <= epsilon <= 1:
        raise ConfigError(f"epsilon: got {epsilon:g}; allowed: 0 to 1")


def _group_best(scores: np.ndarray, groups: np.ndarray) -> np.ndarray:
    best = np.full(int(groups.max(initial=-1)) + 1, -np.inf)
    np.maximum.at(best, groups, scores)
    return best
