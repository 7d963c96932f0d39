r"""Items in lists of like direction: spherical k-means (Dhillon and Modha 2001), with no list much longer than others.

.. math:: \max \sum_i \frac{x_i}{|x_i|} \cdot \frac{c_{l(i)}}{|c_{l(i)}|}
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from tfrec.errors import ConfigError

SAMPLE_PER_LIST = 32  # items that the centres are learnt from
PASSES = 8
ITEMS_AT_ONCE = 4096
MOVES = 8  # to a next list, before any with room will do
CAPACITY = 3.0  # of a list, in means: bounds the slowest query; half of it sent items to lists where few look


class Partition(NamedTuple):
    """Which item stands in which list.

    Attributes:
        order: items, list by list, and by index in each. int32 [num_items]
        starts: where each list begins in `order`, and where the last one ends. int32 [lists + 1]
        centres: mean vector of each list; what lists are chosen by. float32 [lists, dim]

    """

    order: np.ndarray
    starts: np.ndarray
    centres: np.ndarray


def partition(vectors: np.ndarray, lists: int, seed: int = 1) -> Partition:
    """Put vectors float32 [num_items, dim] into so many lists; the same ones for the same seed.

    Raises:
        ConfigError: fewer items than lists, or no list.

    """
    if not 1 <= lists <= len(vectors):
        raise ConfigError(f"index: {lists} lists of {len(vectors)} items; choose from 1 to the number of items")
    rng = np.random.default_rng(seed)
    sample = rng.permutation(len(vectors))[: lists * SAMPLE_PER_LIST]
    centres = _learn(_directions(vectors[np.sort(sample)]), lists, rng)
    of_item = _within_capacity(vectors, centres)
    order = np.argsort(of_item, kind="stable").astype(np.int32)
    sizes = np.bincount(of_item, minlength=lists)
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)
    # Means of the vectors as they are: a list of longer vectors has the larger products.
    means = _sums(vectors[order], starts) / np.maximum(sizes, 1)[:, None]
    return Partition(order, starts, means.astype(np.float32))


def _learn(points: np.ndarray, lists: int, rng: np.random.Generator) -> np.ndarray:
    """Unit vectors float32 [lists, dim] in the middle of the points that are nearest to them."""
    centres = points[np.sort(rng.permutation(len(points))[:lists])]
    for _ in range(PASSES):
        nearest, similarity = _nearest(points, centres)
        sizes = np.bincount(nearest, minlength=lists)
        ordered = points[np.argsort(nearest, kind="stable")]
        centres = _directions(_sums(ordered, np.concatenate([[0], np.cumsum(sizes)])))
        empty = np.flatnonzero(sizes == 0)
        # An empty list begins anew where the others fit worst.
        centres[empty] = points[np.argsort(similarity, kind="stable")[: len(empty)]]
    return centres


def _within_capacity(vectors: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """The nearest list of each item, int64 [num_items]; what is furthest out of a full one goes to its next list."""
    capacity = max(1, int(np.ceil(CAPACITY * len(vectors) / len(centres))))
    of_item = np.empty(len(vectors), np.int64)
    similarity = np.empty(len(vectors), np.float32)
    homeless, sizes = np.arange(len(vectors)), np.zeros(len(centres), np.int64)
    for _ in range(MOVES):
        lists = np.flatnonzero(sizes < capacity)
        nearest, similarity[homeless] = _nearest(_directions(vectors[homeless]), centres[lists])
        of_item[homeless] = lists[nearest]
        sizes = np.bincount(of_item, minlength=len(centres))
        ranked = np.lexsort((-similarity, of_item))
        rank = np.arange(len(vectors)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        homeless = np.sort(ranked[rank >= capacity])
        if not len(homeless):
            return of_item
        sizes = np.minimum(sizes, capacity)
    # Masses of items that are alike, such as those that nobody took: any list is as good.
    of_item[homeless] = np.repeat(np.arange(len(centres)), capacity - sizes)[: len(homeless)]
    return of_item


def _nearest(points: np.ndarray, centres: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The centre with the largest inner product, and that product; int64 and float32 [points]."""
    nearest, similarity = np.empty(len(points), np.int64), np.empty(len(points), np.float32)
    for first in range(0, len(points), ITEMS_AT_ONCE):
        block = slice(first, first + ITEMS_AT_ONCE)
        products = points[block] @ centres.T
        nearest[block] = products.argmax(axis=1)
        similarity[block] = np.take_along_axis(products, nearest[block, None], axis=1)[:, 0]
    return nearest, similarity


def _sums(ordered: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Sums of the rows between starts, float32 [len(starts) − 1, dim]; zeros of no rows."""
    total = np.zeros((len(starts) - 1, ordered.shape[1]), np.float32)
    has_rows = np.flatnonzero(np.diff(starts))
    if len(has_rows):
        total[has_rows] = np.add.reduceat(ordered, starts[has_rows], axis=0)
    return total


def _directions(vectors: np.ndarray) -> np.ndarray:
    """Vectors of length 1; those of length 0 stay."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.where(lengths > 0, lengths, 1)
