"""What an index of items is: vectors in, the items with the largest inner products out, without those left out."""

from __future__ import annotations

import abc
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.errors import DataError

NO_ITEM = -1
LANES = 16  # float32 values in 64 bytes: a slice of rows that begins at such a border is no copy


class Excluded(NamedTuple):
    """Items that rows of a batch may not get: row `rows[i]` not item `items[i]`, in any order, repeated or not.

    Attributes:
        rows: int64 [pairs].
        items: those outside of the catalogue stand for nothing. int64 [pairs]

    """

    rows: tf.Tensor
    items: tf.Tensor


class Neighbours(NamedTuple):
    """Items by inner product, the largest first.

    Attributes:
        scores: float32 [batch, width]; −inf where none is left.
        items: int32 [batch, width]; `NO_ITEM` where none is left.

    """

    scores: tf.Tensor
    items: tf.Tensor


class ItemIndex(tf.Module, abc.ABC):
    """The vectors of a catalogue, arranged so that a query's nearest ones are found soon."""

    num_items: int

    @abc.abstractmethod
    def search(
        self,
        queries: tf.Tensor,
        k: tf.Tensor | int,
        excluded: Excluded | None = None,
        allowed: tf.Tensor | None = None,
    ) -> Neighbours:
        """Find the k items of each query with the largest inner products.

        Limits act before the cut to k: k items come back wherever the catalogue has k that are neither excluded nor
        not allowed.

        Args:
            queries: float32 [batch, dim].
            k: int scalar, at least 0.
            excluded: items by row; none by default.
            allowed: which items may be found; all by default. bool [batch or 1, num_items]

        Returns:
            Scores and items [batch, min(k, num_items)].

        """


def checked_vectors(vectors: np.ndarray) -> np.ndarray:
    """Vectors as float32 [num_items, dim].

    Raises:
        DataError: there are none, or some are not finite.

    """
    vectors = np.ascontiguousarray(vectors, np.float32)
    if vectors.ndim != 2 or not vectors.size:
        raise DataError(f"index: vectors of shape {list(vectors.shape)}; needed is [num_items, dim] with some of each")
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if len(bad):
        raise DataError(f"index: the vectors of {len(bad)} items are not finite, first item {bad[0]}; train again")
    return vectors


def padded(vectors: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """Zeros below and beside [num_items, dim], up to multiples of `rows` and `columns`."""
    below, beside = -vectors.shape[0] % rows, -vectors.shape[1] % columns
    return np.pad(vectors, [(0, below), (0, beside)]) if below or beside else vectors


def found(scores: tf.Tensor, items: tf.Tensor) -> Neighbours:
    """Items where the score says that there is one."""
    return Neighbours(scores, tf.where(scores > -float("inf"), tf.cast(items, tf.int32), NO_ITEM))
