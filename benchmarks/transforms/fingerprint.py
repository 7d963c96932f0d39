"""Hashes of rows whose sum does not depend on the order of the rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SAMPLED_USERS = 64  # of so many users one has its histories compared


def mix(values: np.ndarray) -> np.ndarray:
    """uint64 [n] → uint64 [n], the finaliser of SplitMix64."""
    mixed = values + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))


def row_hashes(columns: Sequence[np.ndarray]) -> np.ndarray:
    """uint64 [rows], over whole numbers."""
    hashes = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        hashes = mix(hashes ^ mix(column.astype(np.int64).view(np.uint64)))
    return hashes


def signs(hashes: np.ndarray) -> np.ndarray:
    """−1 or 1 for each row: a direction to project on."""
    return (hashes & np.uint64(1)).astype(np.float64) * 2 - 1


def total(hashes: np.ndarray) -> int:
    """Sum modulo 2⁶⁴."""
    return int(hashes.sum(dtype=np.uint64))


def is_sampled(users: np.ndarray, unknown_id: int) -> np.ndarray:
    """Bool [rows]: users of the vocabulary whose histories are compared."""
    return (users % SAMPLED_USERS == 0) & (users > unknown_id)


def history_hashes(rows: np.ndarray, items: np.ndarray, lag: np.ndarray) -> np.ndarray:
    """One hash for each item of each history: of its row's hash, the item's id, and how long ago it was (from 1)."""
    return mix(rows ^ row_hashes([items, lag]))
