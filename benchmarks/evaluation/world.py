"""Scores, what users have and what they should find: drawn once, read by every side with NumPy alone."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

KS = (5, 10, 20, 50, 100)
TOP = max(KS)


@dataclass(frozen=True)
class World:
    """A catalogue with skewed popularity, and scores that know a little of what users like.

    Attributes:
        scores: float32 [users, items]
        seen_splits: user u has `seen_items[seen_splits[u] : seen_splits[u + 1]]`. int64 [users + 1]
        seen_items: int64 [pairs]
        relevant_splits: the same of what users should find, at least one each. int64 [users + 1]
        relevant_items: ascending within a user. int64 [pairs]
        vectors: of the items, such as genres. float32 [items, 19]

    """

    scores: np.ndarray
    seen_splits: np.ndarray
    seen_items: np.ndarray
    relevant_splits: np.ndarray
    relevant_items: np.ndarray
    vectors: np.ndarray

    @classmethod
    def draw(cls, users: int, items: int, seed: int) -> World:
        """Users take 20 to 190 items, one in five of them to be found, as in MovieLens-100K (106 on average)."""
        rng = np.random.default_rng(seed)
        likely = rng.lognormal(0, 1.3, items)
        counts = np.minimum(rng.integers(20, 191, users), items // 2)
        taken = [rng.choice(items, count, replace=False, p=likely / likely.sum()) for count in counts]
        wanted = [np.sort(row[: max(1, len(row) // 5)]) for row in taken]
        seen = [row[max(1, len(row) // 5) :] for row in taken]
        scores = rng.normal(size=(users, items)) + 0.5 * np.log(likely)
        for row, found in enumerate(wanted):
            scores[row, found] += 1
        vectors = (rng.random((items, 19)) < 0.1).astype(np.float32)
        return cls(scores.astype(np.float32), *_ragged(seen), *_ragged(wanted), vectors)

    def write(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        for field in fields(self):
            np.save(directory / f"{field.name}.npy", getattr(self, field.name))

    @classmethod
    def read(cls, directory: Path) -> World:
        return cls(**{field.name: np.load(directory / f"{field.name}.npy") for field in fields(cls)})


def _ragged(rows: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    return np.cumsum([0, *map(len, rows)]), np.concatenate(rows).astype(np.int64)
