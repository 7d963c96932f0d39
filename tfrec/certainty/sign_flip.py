"""The randomisation test of paired differences: if two models are the same, every user's sign is a coin."""

from __future__ import annotations

import numpy as np

from tfrec.certainty.draws import SIGNS_IN_HASH, random_signs, resampled_sums, user_keys
from tfrec.errors import ConfigError

EXACT_UP_TO = 16  # users that differ: 65,536 sums


def sign_flip_p_values(differences: np.ndarray, users: np.ndarray, *, flips: int, seed: int) -> np.ndarray:
    """Return the two-sided p-value of each column's sum, by itself. float [columns]

    p = share of sign vectors s with |Σ s d| ≥ |Σ d|; of random ones (1 + count) / (1 + flips), which is never too small
    (Phipson & Smyth 2010).

    Args:
        differences: of a user. float [users, columns]
        users: distinct user indices, to which the signs belong. int [users]
        flips: random sign vectors, where not all are tried
        seed: of them

    Raises:
        ConfigError: fewer than one flip.

    """
    observed = np.abs(differences.sum(axis=0)) - tolerance(differences)
    sums, is_exact = flipped_sums(differences, users, flips=flips, seed=seed)
    counts = (np.abs(sums) >= observed).sum(axis=0)
    return counts / len(sums) if is_exact else (1 + counts) / (1 + len(sums))


def flipped_sums(differences: np.ndarray, users: np.ndarray, *, flips: int, seed: int) -> tuple[np.ndarray, bool]:
    """Return Σ s d under the sign vectors, and whether these are all there are. float [signs, columns]; as above"""
    if flips < 1:
        raise ConfigError(f"flips: got {flips}; allowed: from 1, and from 10000 for p-values near 0.001")
    differs = differences.any(axis=1)  # the sign of a tie changes nothing
    differences, users = differences[differs], users[differs]
    if len(differences) <= EXACT_UP_TO:
        bits = np.arange(2 ** len(differences))[:, None] >> np.arange(len(differences)) & 1
        return (2.0 * bits - 1.0) @ differences, True
    return resampled_sums(random_signs, SIGNS_IN_HASH, differences, user_keys(users, seed), flips), False


def tolerance(differences: np.ndarray) -> np.ndarray:
    """Rounding of such a sum, so that equal sums count as equal. float [columns]"""
    return 1e-12 * np.abs(differences).sum(axis=0)
