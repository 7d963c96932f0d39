"""Random numbers without a generator: each is a function of the seed and of what it is for.

Two policies that show the same item to the same user at the same moment meet the same luck (common random numbers), so
that their difference is the policies' alone; and no draw depends on how many were drawn before it.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

_GAMMA = np.uint64(0x9E3779B97F4A7C15)  # 2⁶⁴ / golden ratio
_ONE = np.uint64(1)


class Stream(IntEnum):
    """What a draw is for: the numbers of one stream say nothing of another's."""

    GENRE = 1
    QUALITY = 2
    ARRIVAL = 3
    CONTEXT_TASTE = 4
    SEGMENT = 5
    SEGMENT_TASTE = 6
    TASTE = 7
    DRIFT = 8
    ACTIVITY = 9
    NOVELTY = 10
    CHURN = 11
    VISIT = 12
    CONTEXT = 13
    EXAMINATION = 14
    ATTRACTION = 15
    MISTAKE = 16
    RATING = 17
    POLICY_KIND = 18
    POLICY_ITEM = 19
    PAIRS = 20


def uniforms(seed: int, stream: Stream, *keys: ArrayLike) -> np.ndarray:
    """Independent uniform draws on (0, 1), one per combination of the keys, which are whole numbers and broadcast.

    The finaliser of SplitMix64 (Steele, Lea and Flood 2014), applied once per key.
    """
    state = _mix(np.asarray([seed], np.uint64) * _GAMMA + np.uint64(stream))
    for key in keys:
        state = _mix(state ^ ((np.atleast_1d(key).astype(np.uint64) + _ONE) * _GAMMA))  # arrays wrap without a warning
    shape = np.broadcast_shapes(*(np.shape(key) for key in keys))
    return ((state >> np.uint64(11)).astype(np.float64) + 0.5).reshape(shape) * 2.0**-53


def normals(seed: int, stream: Stream, *keys: ArrayLike) -> np.ndarray:
    """Independent standard normal draws, one per combination of the keys."""
    return np.asarray(ndtri(uniforms(seed, stream, *keys)))


def _mix(state: np.ndarray) -> np.ndarray:
    state = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    state = (state ^ (state >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return state ^ (state >> np.uint64(31))
