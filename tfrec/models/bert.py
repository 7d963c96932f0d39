r"""Masked items, read from both sides: BERT4Rec (Sun et al. 2019), with the softmax over all items.

Some steps of each window are replaced by a mask, whose items are predicted from all other steps of the segment, earlier
and later ones. When the model answers, a mask stands behind the history. So that it learns this case too, the last step
of a segment is masked more often than others.

With `objective: permuted` the masked items are put into a drawn order, and each is predicted from the steps that are
not masked and from the items before it in that order (`tfrec.models.sequences.permuted`). Answers are read as before.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.dataset.window_batches import SEGMENT, STEP
from tfrec.errors import ConfigError
from tfrec.models.inputs import ModelInputs
from tfrec.models.sequences.asked import Asked
from tfrec.models.sequences.encoder import Steps
from tfrec.models.sequences.history_rows import HistoryRows
from tfrec.models.sequences.permuted import permuted
from tfrec.models.sequences.sequence_config import SequenceConfig
from tfrec.models.sequences.sequence_model import MASK_SALT, ORDER_SALT, SequenceModel
from tfrec.models.sequences.step_context import Context, times_before
from tfrec.schema import ITEM_INDEX, Schema


class BertConfig(SequenceConfig):
    """Choices of the bidirectional model."""

    objective: Literal["masked", "permuted"] = Field(
        "masked",
        description="masked: the hidden items are predicted each for itself; permuted: one after another in a drawn "
        "order, each from what is not hidden and those before it (XLNet)",
    )
    mask_share: float = Field(0.3, gt=0, lt=1, description="of the steps that are masked")
    mask_last_share: float = Field(0.3, ge=0, le=1, description="of the segments whose last step is masked besides")


class Bert(SequenceModel):
    """Self-attention in both directions over a history with masks."""

    Config = BertConfig
    config: BertConfig
    is_causal: ClassVar[bool] = False
    training_defaults: ClassVar[dict[str, Any]] = {
        **SequenceModel.training_defaults,
        "beta_2": 0.98,
        "epochs": 80,
        "patience": 20,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.01)",
        "model.embedding_dim": "[64, 128, 192]",
        "model.encoder.layers": "[1, 2, 3]",
        "model.mask_share": "uniform(0.1, 0.6)",
    }

    def __init__(self, config: BertConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "bert")
        if self._length < 2:
            raise ConfigError("model.length=1: leaves no step beside the mask; give the history 2 events at least")
        if self._loss.excludes_seen:
            raise ConfigError("model.loss.exclude_seen: masked items stand in the midst of what is seen; leave it out")
        drawn = tf.random.stateless_normal([config.embedding_dim], [seed, 7], stddev=config.embedding_stddev)
        self._mask = tf.Variable(drawn * config.embedding_dim**0.5, name="mask")

    @property
    def history_length(self) -> int:
        return self._length - 1  # the mask takes a place

    def _asked(self, inputs: Tensors, training: bool = False) -> Asked:
        """The items of the masked steps."""
        ids, segments = tf.gather(self._ids, inputs[ITEM_INDEX]), inputs[SEGMENT]
        context = self._context.of_batch(inputs, is_next=False)
        steps = self._window_steps(ids, inputs, context, training)
        is_masked = self._masked(segments)
        before = None if context.times_ms is None else times_before(context.times_ms, inputs[STEP])
        predicted = {name: inputs[name] for name in self._next.names}
        asked = Asked(steps, ids, ids, is_masked, context, before, predicted)
        if self.config.objective == "permuted":
            return permuted(asked, self._order(segments), self._mask)
        return asked._replace(steps=steps._replace(vectors=tf.where(is_masked[:, :, None], self._mask, steps.vectors)))

    @classmethod
    def activations(cls, config: Any, schema: Schema) -> int:
        asked = config.mask_share if config.objective == "permuted" else 0.0  # these stand behind the steps
        return round((1 + asked) * super().activations(config, schema))

    def _order(self, segments: tf.Tensor) -> tf.Tensor:
        return tf.random.stateless_uniform(tf.shape(segments), self.draw_seed(ORDER_SALT), minval=1e-6)

    def _masked(self, segments: tf.Tensor) -> tf.Tensor:
        drawn = tf.random.stateless_uniform([2, *tf.unstack(tf.shape(segments))], self.draw_seed(MASK_SALT))
        after = tf.pad(segments[:, 1:], [[0, 0], [0, 1]])
        is_last = tf.not_equal(segments, after)
        found = (drawn[0] < self.config.mask_share) | (is_last & (drawn[1] < self.config.mask_last_share))
        return found & (segments > 0)

    def _history_steps(self, features: Tensors, rows: HistoryRows, context: Context) -> tuple[Steps, tf.Tensor]:
        """A mask behind the latest step of each row, which is asked for."""
        steps, _ = super()._history_steps(features, rows, context)
        width = tf.shape(rows.segments)[1] + 1
        places = tf.broadcast_to(tf.range(width), [tf.shape(rows.segments)[0], width])
        is_mask = tf.equal(places, rows.counts[:, None])
        vectors = tf.where(is_mask[:, :, None], self._mask, tf.pad(steps.vectors, [[0, 0], [0, 1], [0, 0]]))
        is_step = places <= rows.counts[:, None]
        times, asked = steps.times_ms, self._context.of_requests(features).times_ms
        if times is not None and asked is not None:  # of the mask that of the request
            times = tf.where(is_mask, asked[:, None], tf.pad(times, [[0, 0], [0, 1]]))
        return Steps(vectors, tf.cast(is_step, tf.int32), tf.where(is_step, places, 0), times), rows.counts
