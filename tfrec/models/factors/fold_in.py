r"""Users whom training never saw, from the items that their request brings along.

.. math:: \hat p = A\, \bar q, \quad \bar q = \sum_j w_j q_j \Big/ \sum_j w_j, \quad
          A = \arg\min_A \sum_u \lVert p_u - A \bar q_u \rVert^2 + \lambda \lVert A \rVert^2

A turns the mean of the item vectors of a profile into the user's vector; it is fitted to the users of training, whose
vectors are known, whenever the model is refreshed. So a new user is answered without training, as two-tower models
answer one whose id they do not know.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.user_profiles import Profiles
from tfrec.schema import FIRST_OOV_ID

USERS, LAST_ITEMS = 4096, 50  # that the matrix is fitted to
RIDGE = 1e-3  # λ over the mean diagonal of Σ q̄ q̄ᵀ


class FoldIn(tf.Module):
    """The matrix A, and how it is fitted."""

    def __init__(self, inputs: ModelInputs, dim: int) -> None:
        """Choose the users: at most `USERS` of those with events and an id of their own, spread evenly over them."""
        super().__init__(name="fold_in")
        self.matrix = frozen_variable(tf.zeros([dim, dim]), "fold_in_matrix")
        ids = inputs.encoded_user_ids()
        known = np.flatnonzero((np.diff(inputs.train.row_splits) > 0) & (ids != FIRST_OOV_ID))
        users = known[np.linspace(0, len(known) - 1, min(len(known), USERS)).astype(np.int64)]
        self.user_ids = tf.constant(ids[users])
        self._items = inputs.train.last(users, LAST_ITEMS)

    def fit(self, users: np.ndarray, items: np.ndarray) -> None:
        """Fit the matrix to vectors of `user_ids`, float32 [n, dim], and of all items, float32 [num_items, dim]."""
        if not len(users):
            return
        is_there = self._items >= 0
        with_none = np.vstack([items, np.zeros_like(items[:1])])
        means = with_none[self._items].sum(axis=1) / is_there.sum(axis=1, keepdims=True)
        squares = (means.T @ means).astype(np.float64)
        ridge = RIDGE * np.trace(squares) / len(squares) + 1e-12
        found = np.linalg.solve(squares + ridge * np.eye(len(squares)), means.T.astype(np.float64) @ users)
        self.matrix.assign(found.astype(np.float32))

    def vectors(self, profiles: Profiles, items: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """Vectors of profiles, float32 [batch, dim]; 0 for an empty one. `items` float32 [num_items, dim]"""
        weighted = tf.gather(items, profiles.items) * profiles.weights[:, None]
        total = tf.math.unsorted_segment_sum(weighted, profiles.rows, batch)
        weight = tf.math.unsorted_segment_sum(profiles.weights, profiles.rows, batch)
        return tf.matmul(tf.math.divide_no_nan(total, weight[:, None]), self.matrix)
