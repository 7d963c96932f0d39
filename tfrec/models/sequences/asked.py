"""What a training batch asks of a sequence model."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.sequences.encoder import Steps
from tfrec.models.sequences.step_context import Context


class AskedRows(NamedTuple):
    """Steps that are asked, one after another.

    Attributes:
        queries: float32 [n, dim].
        targets: places of the true items among those that can be predicted. int64 [n]
        weights: 0 where there is nothing to predict. float32 [n]

    """

    queries: tf.Tensor
    targets: tf.Tensor
    weights: tf.Tensor


class Asked(NamedTuple):
    """Steps of a training batch and what is true of them.

    Attributes:
        steps: that the encoder reads.
        past: encoded item ids of the steps. int64 [rows, length]
        ids: encoded item ids that are to be predicted at each step. int64 [rows, length]
        is_asked: where there is something to predict. bool [rows, length]
        context: of the events that are predicted.
        before_ms: Unix time of the latest event known before them; None where no time is read. int64 [rows, length]
        predicted: what is to be predicted of these events beside their items. int64 [rows, length] each

    """

    steps: Steps
    past: tf.Tensor
    ids: tf.Tensor
    is_asked: tf.Tensor
    context: Context
    before_ms: tf.Tensor | None
    predicted: Tensors

    def rows(self, queries: tf.Tensor, first: int, *, is_causal: bool) -> AskedRows:
        """Of the queries [rows, length, dim] those that are asked; all of them where the model is causal.

        Nearly every step is asked then: leaving some out would cost more than their logits. `first`: the encoded id of
        the first item that can be predicted.
        """
        classes = self.ids - first
        is_known = self.is_asked & (classes >= 0)
        if not is_causal:
            targets = tf.boolean_mask(classes, is_known)
            return AskedRows(tf.boolean_mask(queries, is_known), targets, tf.ones_like(targets, tf.float32))
        flat = (tf.where(is_known, classes, 0), tf.cast(is_known, tf.float32))
        return AskedRows(tf.reshape(queries, [-1, queries.shape[-1]]), *(tf.reshape(part, [-1]) for part in flat))
