"""What a training batch asks of a sequence model."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.models.sequences.encoder import Steps
from tfrec.models.sequences.step_context import Context


class Asked(NamedTuple):
    """Steps of a training batch and what is true of them.

    Attributes:
        steps: that the encoder reads.
        ids: encoded item ids that are to be predicted at each step. int64 [rows, length]
        is_asked: where there is something to predict. bool [rows, length]
        context: of the events that are predicted.
        before_ms: Unix time of the latest event known before them; None where no time is read. int64 [rows, length]
        predicted: what is to be predicted of these events beside their items. int64 [rows, length] each

    """

    steps: Steps
    ids: tf.Tensor
    is_asked: tf.Tensor
    context: Context
    before_ms: tf.Tensor | None
    predicted: Tensors
