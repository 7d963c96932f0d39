"""Random weights that belong to a user: the same in any order, and in any split of the users into parts.

The draw of user u in resample r is a hash of (seed, u, r): SplitMix64 (Steele, Lea & Flood 2014), seeded by the user's
hashed key. Nothing is stored, blocks of users can be added in any order, and two models judged on the same users get
the same resamples.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import numpy as np
from scipy.stats import poisson

from tfrec.errors import DataError

GAMMA = 0x9E3779B97F4A7C15  # the golden ratio in 64 bits: SplitMix64's step
USERS_IN_BLOCK, DRAWS_IN_BLOCK = 1024, 256  # weights that stay in the processor's cache
COUNTS_IN_HASH = 4  # Poisson counts from 16 bits each
SIGNS_IN_HASH = 64

Draw = Callable[[np.ndarray, int, int], np.ndarray]


def user_keys(users: np.ndarray, seed: int) -> np.ndarray:
    """Return the seeds of these users' draws. uint64 [users]

    Args:
        users: distinct whole numbers, such as user indices. int [users]
        seed: another seed draws other weights for all users

    Raises:
        DataError: users are not whole numbers.

    """
    if not np.issubdtype(np.asarray(users).dtype, np.integer):
        raise DataError(f"users: got {np.asarray(users).dtype}; allowed: whole numbers, such as user indices")
    start = np.array([seed % 2**64], np.uint64)
    return _mixed(np.asarray(users).astype(np.uint64) ^ _mixed(start + np.uint64(GAMMA)))


def poisson_counts(keys: np.ndarray, first_hash: int, hashes: int) -> np.ndarray:
    """How often each resample holds each user: Poisson(1). float64 [users, 4 × hashes]

    Probabilities are rounded to 1/65,536 and counts end at 8: mean 0.99998 and variance 0.9997 of what they should be.
    """
    bits = _hashes(keys, first_hash, hashes).view(np.uint16)
    counts = np.zeros(bits.shape, np.uint8)
    is_above = np.empty(bits.shape, bool)
    for threshold in _poisson_thresholds():
        np.greater_equal(bits, threshold, out=is_above)
        counts += is_above.view(np.uint8)
    return counts.astype(np.float64)


def random_signs(keys: np.ndarray, first_hash: int, hashes: int) -> np.ndarray:
    """+1 or −1 with the same probability. float64 [users, 64 × hashes]"""
    bits = np.unpackbits(_hashes(keys, first_hash, hashes).view(np.uint8), axis=1)
    return 2.0 * bits - 1.0


def resampled_sums(draw: Draw, draws_in_hash: int, columns: np.ndarray, keys: np.ndarray, resamples: int) -> np.ndarray:
    """Return Σ over users of weight × column in each resample, in bounded memory. float64 [resamples, columns]"""
    hashes, hashes_in_block = -(-resamples // draws_in_hash), DRAWS_IN_BLOCK // draws_in_hash
    sums = np.zeros((hashes * draws_in_hash, columns.shape[1]))
    for first in range(0, len(keys), USERS_IN_BLOCK):
        users = slice(first, first + USERS_IN_BLOCK)
        for first_hash in range(0, hashes, hashes_in_block):
            weights = draw(keys[users], first_hash, min(hashes_in_block, hashes - first_hash))
            rows = slice(first_hash * draws_in_hash, first_hash * draws_in_hash + weights.shape[1])
            sums[rows] += weights.T @ columns[users]
    return sums[:resamples]


@cache
def _poisson_thresholds() -> np.ndarray:
    """Where 16 random bits begin to count 1, 2, … 8."""
    return np.round(poisson.cdf(np.arange(8), 1) * 2**16).astype(np.uint16)


def _hashes(keys: np.ndarray, first: int, count: int) -> np.ndarray:
    steps = np.arange(first, first + count, dtype=np.uint64) * np.uint64(GAMMA)
    return _mixed(keys[:, None] + steps)


def _mixed(states: np.ndarray) -> np.ndarray:
    """Return SplitMix64's output of each state; overflow is meant."""
    states ^= states >> np.uint64(30)
    states *= np.uint64(0xBF58476D1CE4E5B9)
    states ^= states >> np.uint64(27)
    states *= np.uint64(0x94D049BB133111EB)
    states ^= states >> np.uint64(31)
    return states
