"""Random numbers that belong to their place: what is drawn for a user depends on no batch, order or process."""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def uniform(seed: int, rows: np.ndarray, columns: np.ndarray | int = 0) -> np.ndarray:
    """Numbers in (0, 1) for every pair of a row and a column.

    SplitMix64's finaliser (Steele, Lea and Flood 2014) over seed, row and column in turn.

    Args:
        seed: other seeds give other numbers.
        rows: whole numbers from 0. [rows]
        columns: the same, [columns], or one number.

    Returns:
        float64 [rows, columns], or [rows] for one column.

    """
    with np.errstate(over="ignore"):
        key = _mixed(np.uint64(seed) + _STEP)
        by_row = _mixed(key + (rows.astype(np.uint64) + np.uint64(1)) * _STEP)
        at = (np.asarray(columns).astype(np.uint64) + np.uint64(1)) * _STEP
        bits = _mixed(by_row[:, None] + at if np.ndim(columns) else by_row + at)
    numbers: np.ndarray = ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53
    return numbers


def _mixed(bits: np.ndarray | np.uint64) -> np.ndarray:
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(bits ^ (bits >> np.uint64(31)))
