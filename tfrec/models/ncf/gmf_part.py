r"""Generalised matrix factorisation of a pair (He et al. 2017, equations 8 and 9).

.. math:: s(u, i) = h^\top (p_u \odot q_i) + b = (p_u \odot h) \cdot q_i + b

h begins at 1, where this is plain matrix factorisation, and the model learns how much each coordinate counts.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from tfrec.layers.tables import look_up
from tfrec.models.factors.sparse_scores import sparse_scores
from tfrec.models.inputs import ModelInputs
from tfrec.models.ncf.pair_part import PairLogits, PairPart


class GmfPart(PairPart):
    """Tables, the weights h of the coordinates, and the bias b."""

    def __init__(
        self, inputs: ModelInputs, item_lookups: np.ndarray, dim: int, *, l2: float, stddev: float, seed: int
    ) -> None:
        """As `PairPart`."""
        super().__init__(inputs, item_lookups, dim, l2=l2, stddev=stddev, seed=seed, name="gmf")
        self.output = tf.Variable(tf.ones([dim]), name="gmf/output")
        self.output_bias = tf.Variable(0.0, name="gmf/output_bias")

    @property
    def dropouts(self) -> int:
        return 0

    def pair_logits(
        self, users: tf.Tensor, items: tf.Tensor, seeds: Sequence[tf.Tensor] | None, compute_type: tf.DType
    ) -> PairLogits:
        of_users, of_items = self.users.look_up(users), self.items.look_up(items)
        weighted = of_users.rows * self.output  # once for each user, not for each pair
        logits = sparse_scores(weighted, of_items.rows, of_users.places, of_items.places) + self.output_bias
        return PairLogits(logits, of_users.penalty + of_items.penalty)

    def user_vectors(self, ids: tf.Tensor) -> tf.Tensor:
        """Vectors p ⊙ h, whose inner product with q is the logit less b. int64 [batch] → float32 [batch, dim]"""
        return look_up(self.users.variable, ids) * self.output

    def item_vectors(self, ids: tf.Tensor) -> tf.Tensor:
        """Vectors q. int64 [n] → float32 [n, dim]"""
        return look_up(self.items.variable, ids)

    @property
    def user_state(self) -> list[tf.Variable]:
        """What the user's side and the output need."""
        return [self.users.variable, self.output, self.output_bias]
