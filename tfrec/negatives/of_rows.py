"""Negatives of each row of a batch on its own, as pairwise losses take them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.negatives.item_sampler import ItemSampler

MAX_BITS = 1 << 31  # of the table of who took what: 256 MB


class RowNegatives(NamedTuple):
    """Drawn items of each row, and which of them are negatives.

    Attributes:
        items: int64 [batch, n].
        is_negative: False for what the user is known to have taken. bool [batch, n]

    """

    items: tf.Tensor
    is_negative: tf.Tensor


class TakenItems(tf.Module):
    """Which user took which item, answered in a few nanoseconds a pair: a table of bits, or a sorted list of pairs."""

    def __init__(self, row_splits: np.ndarray, items: np.ndarray, num_items: int) -> None:
        """Remember.

        Args:
            row_splits: of the users. int64 [num_users + 1]
            items: taken by the users, one after the other. int64 [events]
            num_items: size of the catalogue.

        """
        super().__init__(name="taken_items")
        num_users = len(row_splits) - 1
        self._num_items = num_items
        pairs = np.repeat(np.arange(num_users, dtype=np.int64), np.diff(row_splits)) * num_items + items
        self._is_table = num_users * num_items <= MAX_BITS
        if self._is_table:
            table = np.zeros(-(-num_users * num_items // 8) or 1, np.uint8)
            np.bitwise_or.at(table, pairs >> 3, (1 << (pairs & 7)).astype(np.uint8))
            self._known = tf.constant(table)
        else:
            self._known = tf.constant(np.unique(pairs))

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Whether the user of the row took the items. int64 [batch], int64 [batch, n] → bool [batch, n]"""
        pairs = users[:, None] * self._num_items + items
        if self._is_table:
            bits = tf.cast(tf.gather(self._known, tf.bitwise.right_shift(pairs, tf.constant(3, tf.int64))), tf.int64)
            return tf.bitwise.bitwise_and(tf.bitwise.right_shift(bits, pairs & 7), tf.constant(1, tf.int64)) > 0
        flat = tf.reshape(pairs, [-1])
        place = tf.minimum(tf.searchsorted(self._known, flat), tf.size(self._known) - 1)
        return tf.reshape(tf.gather(self._known, place) == flat, tf.shape(pairs))


class RowSampler:
    """Draws n items for each row, uniformly or by popularity; what the user took is drawn once more, then left out.

    Attributes:
        probabilities: of each item in a draw. float64 [num_items]

    """

    def __init__(self, counts: np.ndarray, alpha: float, taken: TakenItems | None) -> None:
        """Make a sampler.

        Args:
            counts: training events of each item. int [num_items]
            alpha: an item is drawn in proportion to its events^alpha; 0: all alike.
            taken: what is no negative of a user; None: only the row's own item is none.

        """
        self._num_items = len(counts)
        powers = np.power(counts.astype(np.float64), alpha)
        self.probabilities = powers / powers.sum()
        self._sampler = ItemSampler(powers) if alpha else None
        self._taken = taken

    def draw(self, users: tf.Tensor, own: tf.Tensor, n: int, seed: tf.Tensor) -> RowNegatives:
        """Draw.

        Args:
            users: user indices of the rows. int64 [batch]
            own: the rows' positives. int64 [batch]
            n: items for each row.
            seed: int32 [2].

        """
        seeds = tf.random.experimental.stateless_split(seed, 2)
        drawn = self._items(tf.size(own), n, seeds[0])
        is_taken = self._is_taken(users, own, drawn)
        drawn = tf.where(is_taken, self._items(tf.size(own), n, seeds[1]), drawn)
        return RowNegatives(drawn, ~self._is_taken(users, own, drawn))

    def _is_taken(self, users: tf.Tensor, own: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        return items == own[:, None] if self._taken is None else self._taken(users, items)

    def _items(self, rows: tf.Tensor, n: int, seed: tf.Tensor) -> tf.Tensor:
        if self._sampler is not None:
            return tf.reshape(self._sampler.draw(rows * n, seed), [rows, n])
        drawn = tf.random.stateless_uniform([rows, n], seed, 0, self._num_items, tf.int32, alg="philox")
        return tf.cast(drawn, tf.int64)
