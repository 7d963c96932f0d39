"""What a closed loop does to users and catalogue."""

from __future__ import annotations

import numpy as np

from tfrec.simulation.draws import Stream, uniforms
from tfrec.simulation.world import World

FAVOURITES = 3


def gini(counts: np.ndarray) -> float:
    """How unevenly impressions fall on items: 0 even, towards 1 all on one. Σ (2 r − n − 1) c_(r) / (n Σ c).

    Args:
        counts: of each item that could have been shown, with those that never were. float [items]

    """
    number, total = len(counts), counts.sum()
    if not total:
        return float("nan")
    ranks = np.arange(1, number + 1)
    return float((2 * ranks - number - 1) @ np.sort(counts) / (number * total))


def jaccard(lists: np.ndarray, first: np.ndarray, second: np.ndarray) -> float:
    """Mean share of common items, |A ∩ B| / |A ∪ B|, between the lists of pairs of users (Chaney et al. 2018).

    Args:
        lists: distinct items. int64 [users, listed]
        first: rows of `lists`. int64 [pairs]
        second: rows of `lists`. int64 [pairs]

    """
    common = (lists[first][:, :, None] == lists[second][:, None, :]).sum(axis=(1, 2))
    return float((common / (2 * lists.shape[1] - common)).mean())


def random_pairs(users: int, seed: int, pairs: int = 5000) -> tuple[np.ndarray, np.ndarray]:
    """Two different users per pair, the same for all policies. int64 [pairs] each"""
    at = np.arange(pairs)
    first = (uniforms(seed, Stream.PAIRS, at, 0) * users).astype(np.int64)
    step = 1 + (uniforms(seed, Stream.PAIRS, at, 1) * (users - 1)).astype(np.int64)
    return first, (first + step) % users


def taste_coverage(world: World, tastes: np.ndarray, lists: np.ndarray) -> float:
    """Share of a user's three favourite genres that are the main genre of an item in the list; mean over users.

    Args:
        world: whose items are listed.
        tastes: float64 [users, genres]
        lists: int64 [users, listed]

    """
    favourites = np.argsort(-tastes, axis=1)[:, :FAVOURITES]
    listed = world.main_genre[lists]
    return float((favourites[:, :, None] == listed[:, None, :]).any(axis=2).mean())
