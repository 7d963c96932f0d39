r"""What a user took as part of the user's vector (Koren 2008, SVD++):

.. math:: |N(u)|^{-1/2} \sum_{j \in N(u)} y_j

N(u) are the distinct items that the user took, and y their second vectors, of what it says to have taken them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.layers.tables import look_up
from tfrec.models.factors.sparse_scores import sums_of_rows
from tfrec.models.factors.tables import FactorTable
from tfrec.models.inputs import ModelInputs
from tfrec.models.profiles.user_profiles import Profiles


class Sums(NamedTuple):
    """Of some users: Σ y float32 [n, dim], |N| float32 [n], and the penalty, a scalar."""

    vectors: tf.Tensor
    counts: tf.Tensor
    penalty: tf.Tensor


class HistorySum(tf.Module):
    """The second vectors, and what the users took in training."""

    def __init__(self, inputs: ModelInputs, make_table: Callable[[np.ndarray], FactorTable]) -> None:
        """Take the training interactions along.

        Args:
            inputs: of the model.
            make_table: from how often each item id is expected to be looked up to the table of the vectors y.

        """
        super().__init__(name="history_sum")
        item_ids = inputs.catalogue.features[inputs.schema.item_id]
        self._item_ids = tf.constant(item_ids, tf.int64)
        pairs = np.unique(inputs.train.users * inputs.num_items + inputs.train.items)
        items = pairs % inputs.num_items
        splits = np.searchsorted(pairs, np.arange(inputs.num_users + 1, dtype=np.int64) * inputs.num_items)
        # Of a user's n events each looks all of the user's items up, with a share of 1 / |N| each.
        of_pairs = np.diff(inputs.train.row_splits) / np.maximum(np.diff(splits), 1)
        shares = np.repeat(of_pairs, np.diff(splits))
        self.table = make_table(np.bincount(item_ids[items], shares, inputs.num_ids[inputs.schema.item_id]))
        # Behind the last user stands one who took nothing.
        splits = tf.constant(np.append(splits, splits[-1]), tf.int64)
        self._taken = tf.RaggedTensor.from_row_splits(tf.constant(items), splits)
        self._num_users = inputs.num_users

    def of_users(self, users: tf.Tensor, shares: tf.Tensor) -> Sums:
        """Sums for training.

        Args:
            users: user indices; what is none took nothing. int64 [n]
            shares: of the users in the events of the batch. float32 [n]

        """
        is_known = (users >= 0) & (users < self._num_users)
        taken = tf.gather(self._taken, tf.where(is_known, users, self._num_users))
        found = self.table.look_up(tf.gather(self._item_ids, taken.values))
        rows, counts = taken.value_rowids(), tf.cast(taken.row_lengths(), tf.float32)
        sums = sums_of_rows(rows, found.places, tf.size(users), found.rows)
        if not self.table.is_whole:
            of_pairs = tf.gather(tf.math.divide_no_nan(shares, counts), rows)
            of_items = tf.math.unsorted_segment_sum(of_pairs, found.places, tf.shape(found.rows)[0])
            found = found._replace(scales=self.table.scales(of_items))
        return Sums(sums, counts, found.penalty)

    def of_items(self, items: tf.Tensor) -> tf.Tensor:
        """Vectors y of items. Item indices int64 [n] → float32 [n, dim]"""
        return look_up(self.table.variable, tf.gather(self._item_ids, items))

    def of_profiles(self, profiles: Profiles, batch: tf.Tensor) -> tf.Tensor:
        """|N|^-1/2 Σ y of profiles, for answers. float32 [batch, dim]"""
        total = tf.math.unsorted_segment_sum(self.of_items(profiles.items), profiles.rows, batch)
        counts = tf.math.unsorted_segment_sum(tf.ones_like(profiles.rows, tf.float32), profiles.rows, batch)
        return scaled(total, counts)


def scaled(total: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Sums by the roots of their counts; a sum of nothing stays 0. float32 [n, dim], float32 [n] → [n, dim]"""
    return total * tf.math.rsqrt(tf.maximum(counts, 1.0))[:, None]
