"""Plackett–Luce: slates drawn item by item without replacement, each in proportion to exp(score / temperature).

A slate may be seen as a race: item i arrives at T_i ~ Exp(w_i), the first arrivals are the slate. So the probability
that i stands at position p, over all slates, is an integral over i's time of arrival,

    P(i at p) = ∫ w_i exp(−w_i t) · P(exactly p − 1 of the others arrived before t) dt,

which is computed by the trapezoidal rule in a double-exponential substitution (Takahasi and Mori 1974). Luce 1959,
Plackett 1975.
"""

from __future__ import annotations

import numpy as np

_STEP = 0.35  # 3e-10 beside the sum over all slates; 0.25 gives 1e-14, 0.5 1e-6
_START = -3.3  # t = exp(s − exp(−s)) is 1e-13 there
_LAST_ARRIVAL = 40.0  # mean times of the slate's slowest item, after which nothing is left: exp(−40)
_NODES_AT_ONCE = 4096  # keeps the working arrays in the processor's cache


def draw(log_weights: np.ndarray, uniforms: np.ndarray, size: int) -> np.ndarray:
    """Draw one slate per request, by the Gumbel trick. int64 [requests, size]

    Args:
        log_weights: −inf for what may not be drawn. float64 [requests, items]
        uniforms: on (0, 1). float64 [requests, items]
        size: items of a slate.

    """
    return top(log_weights - np.log(-np.log(uniforms)), size)


def top(scores: np.ndarray, size: int) -> np.ndarray:
    """Items of the highest scores, best first; of equal ones the lower index first. int64 [requests, size]"""
    number = scores.shape[1]
    last = np.partition(scores, number - size, axis=1)[:, number - size, None]
    above, level = scores > last, scores == last
    room = size - above.sum(axis=1, keepdims=True)
    chosen = above | (level & (level.cumsum(axis=1) <= room))
    items = np.nonzero(chosen)[1].reshape(len(scores), size)
    order = np.argsort(-np.take_along_axis(scores, items, axis=1), axis=1, kind="stable")
    return np.take_along_axis(items, order, axis=1)


def prefix_probabilities(log_weights: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Of the first 1, 2, … items of slates int64 [requests, slate], in their order. float64 [requests, slate]

    Π w_i / (weight of what was left) over the prefix; the last is the probability of the slate.
    """
    weights = _shares(log_weights)
    chosen = np.take_along_axis(weights, items, axis=1)
    # Weights of what was left are summed from the small ones up: subtracting from 1 would lose them.
    rest = weights.copy()
    np.put_along_axis(rest, items, 0.0, axis=1)
    left = rest.sum(axis=1, keepdims=True) + np.cumsum(chosen[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(np.cumprod(chosen / left, axis=1))


def position_probabilities(log_weights: np.ndarray, items: np.ndarray) -> np.ndarray:
    """Probability of each of `items` at each position of a slate, over all slates that could have been drawn.

    Args:
        log_weights: −inf for what may not be drawn. float64 [requests, catalogue]
        items: distinct items of each request. int64 [requests, slate]

    Returns:
        float64 [requests, slate items, slate positions]

    """
    weights, size = _shares(log_weights), items.shape[1]
    chosen = np.take_along_axis(weights, items, axis=1)
    others = weights.copy()
    np.put_along_axis(others, items, 0.0, axis=1)
    slowest = np.partition(weights, weights.shape[1] - size, axis=1)[:, weights.shape[1] - size]
    end = np.log(_LAST_ARRIVAL / np.maximum(slowest, 1e-300))
    found = np.empty((len(items), size, size))
    for rows in _chunks(end):
        s = np.arange(_START, end[rows].max() + _STEP, _STEP)
        time = np.exp(s - np.exp(-s))
        measure = _STEP * time * (1 + np.exp(-s))
        before = _arrivals(others[rows], time, size)
        found[rows] = _integrate(before, chosen[rows], time, measure)
    return found


def _shares(log_weights: np.ndarray) -> np.ndarray:
    weights = np.exp(log_weights - log_weights.max(axis=1, keepdims=True))
    return np.asarray(weights / weights.sum(axis=1, keepdims=True))


def _chunks(end: np.ndarray) -> list[np.ndarray]:
    """Requests that need about as many nodes, together."""
    order = np.argsort(end)
    nodes = (end.max(initial=1.0) - _START) / _STEP
    return np.array_split(order, max(1, int(np.ceil(len(order) * nodes / _NODES_AT_ONCE))))


def _arrivals(weights: np.ndarray, time: np.ndarray, size: int) -> np.ndarray:
    """P(exactly m of the items arrived before t), m = 0 … size − 1. float64 [size, requests, times]"""
    count = np.zeros((size, len(weights), len(time)))
    count[0] = 1.0
    scratch = np.empty_like(count)
    for column in weights.T:
        if column.any():
            _add_item(count, scratch, column[:, None] * time)
    return count


def _add_item(count: np.ndarray, scratch: np.ndarray, rate: np.ndarray) -> None:
    """Let one more item take part: count_m ← count_m (1 − q) + count_{m−1} q, with q = 1 − exp(−rate)."""
    late = np.exp(-rate)
    np.multiply(count, 1.0 - late, out=scratch)
    count *= late
    count[1:] += scratch[:-1]


def _integrate(before: np.ndarray, chosen: np.ndarray, time: np.ndarray, measure: np.ndarray) -> np.ndarray:
    """Over the time of arrival of each chosen item, with the other chosen ones among the arrivals before it."""
    size = chosen.shape[1]
    found = np.empty((len(chosen), size, size))
    for place in range(size):
        count = before.copy()
        scratch = np.empty_like(count)
        for other in range(size):
            if other != place:
                _add_item(count, scratch, chosen[:, other, None] * time)
        own = chosen[:, place, None]
        found[:, place] = np.einsum("prt,rt->rp", count, own * np.exp(-own * time) * measure)
    return found
