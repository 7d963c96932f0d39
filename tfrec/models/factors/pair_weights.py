"""How much each (user, item) pair of the training events weighs, as a matrix and looked up in the graph."""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from scipy import sparse

from tfrec.dataset.interactions import Interactions
from tfrec.models.learning import frozen_variable
from tfrec.models.neighbours.item_to_item import user_item_counts


def taken_weights(train: Interactions, weighting: str) -> sparse.csr_array:
    """Weigh what each user took, by 1 ("binary") or by the events ("events"); float32 [num_users, num_items]

    What was taken by events of weight 0 alone is an entry of 0.
    """
    found = user_item_counts(train)
    if weighting == "binary":
        found.data[:] = 1
    elif train.weights is not None:
        found = sparse.csr_array((train.weights, train.items, train.row_splits), shape=found.shape, copy=True)
        found.sum_duplicates()
    return found


class PairWeights(tf.Module):
    """Pairs in ascending order of user and item, found by bisection."""

    def __init__(self, matrix: sparse.csr_array) -> None:
        """`matrix`: float32 [num_users, num_items], its entries sorted."""
        super().__init__(name="pair_weights")
        self._num_users, self._num_items = matrix.shape
        users = np.repeat(np.arange(self._num_users, dtype=np.int64), np.diff(matrix.indptr))
        # Behind the last pair stands one that is never asked for.
        keys = np.append(users * self._num_items + matrix.indices, np.iinfo(np.int64).max)
        self._keys = frozen_variable(keys, "pair_keys")
        self._weights = frozen_variable(np.append(matrix.data, 0).astype(np.float32), "pair_weights")

    @property
    def state(self) -> list[tf.Variable]:
        return [self._keys, self._weights]

    def __call__(self, users: tf.Tensor, items: tf.Tensor) -> tf.Tensor:
        """Weights of pairs of user index and item index, 1 for a pair that is not there; [n] → float32 [n]"""
        wanted = users * self._num_items + items
        places = tf.searchsorted(self._keys, wanted)
        is_known = (users >= 0) & (users < self._num_users) & tf.equal(tf.gather(self._keys, places), wanted)
        return tf.where(is_known, tf.gather(self._weights, places), 1.0)
