"""Vectors to search in: clusters that a partition finds, and such that it hardly does."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

ITEMS_PER_CLUSTER = 500
SETS = {"clustered": 0.5, "hard": 3.0}  # spread of the items around their centre, whose coordinates have spread 1
DEEPEST = 100


class VectorSet(NamedTuple):
    """Items, queries, and the scores of each query's nearest items, from a search in float64 blocks.

    Attributes:
        items: float32 [num_items, dim].
        queries: float32 [num_queries, dim].
        nearest: scores, largest first. float32 [num_queries, DEEPEST]

    """

    items: np.ndarray
    queries: np.ndarray
    nearest: np.ndarray

    @classmethod
    def draw(cls, kind: str, num_items: int, dim: int, num_queries: int, seed: int) -> VectorSet:
        """Items around centres; queries as items are where these are `clustered`, from anywhere where `hard`."""
        rng = np.random.default_rng(seed)
        centres = rng.standard_normal((num_items // ITEMS_PER_CLUSTER + 1, dim), dtype=np.float32)
        total = num_items + num_queries
        points = rng.standard_normal((total, dim), dtype=np.float32)
        points *= SETS[kind]
        points += centres[rng.integers(0, len(centres), total)]
        items, queries = points[:num_items], points[num_items:]
        if kind == "hard":
            queries = rng.standard_normal((num_queries, dim), dtype=np.float32)
        return cls(items, np.ascontiguousarray(queries), _nearest(items, queries))

    @classmethod
    def read(cls, place: Path) -> VectorSet:
        return cls(*(np.load(place / f"{name}.npy") for name in cls._fields))

    def write(self, place: Path) -> None:
        place.mkdir(parents=True, exist_ok=True)
        for name, values in zip(self._fields, self, strict=True):
            np.save(place / f"{name}.npy", values)


def _nearest(items: np.ndarray, queries: np.ndarray) -> np.ndarray:
    best = []
    for query in np.array_split(queries, max(1, len(queries) // 16)):
        scores = query @ items.T
        best.append(-np.sort(-np.partition(scores, -DEEPEST, axis=1)[:, -DEEPEST:], axis=1))
    return np.concatenate(best)


def recall(found: np.ndarray, nearest: np.ndarray) -> float:
    """Mean share of the places filled with an item as near as the true one; both are scores [queries, DEEPEST]."""
    worst = nearest[:, -1:]
    return float(np.mean(found >= worst - 1e-5 * np.abs(worst)))
