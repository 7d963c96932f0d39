"""Hashes that are the same on every machine and in every run."""

from __future__ import annotations

import numpy as np


def mix64(values: np.ndarray, seed: int) -> np.ndarray:
    """uint64 hash of int64 values: the finaliser of SplitMix64 (Steele et al. 2014) over value and seed."""
    with np.errstate(over="ignore"):
        x = values.astype(np.int64).view(np.uint64) + np.uint64(
            (seed * 0x9E3779B97F4A7C15 + 0x632BE59BD9B4E019) % 2**64
        )
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return x ^ (x >> np.uint64(31))
