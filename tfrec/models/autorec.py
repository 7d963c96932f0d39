r"""AutoRec: an autoencoder of rating rows whose loss looks at the observed ratings alone (Sedhain et al. 2015).

.. math:: \hat r = f\bigl(W \, g(V r + \mu) + b\bigr), \qquad
   \min \sum_{r} \lVert r - \hat r \rVert^2_{\mathcal O}
   + \frac{\lambda}{2} \bigl(\lVert W \rVert^2 + \lVert V \rVert^2\bigr)

r is the row of an item over the users (`rows: items`, I-AutoRec) or of a user over the items (`rows: users`,
U-AutoRec), 0 where nothing was observed; 𝒪 are its observed entries. The loss is divided by the number of ratings,
which changes no optimum.

Without ratings r is 1 where something was taken, and the loss looks at all entries, zeros weighted by
`unobserved_weight`: a row of ones alone would be rebuilt by the bias.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable, TableShape, dropout
from tfrec.models.autoencoders.observed import Observed, products, summed, whole_products
from tfrec.models.autoencoders.row_model import RowModel, RowModelConfig, row_table_shapes
from tfrec.models.inputs import ModelInputs
from tfrec.replicas import global_mean, share
from tfrec.schema import Schema

Activation = Literal["sigmoid", "tanh", "relu", "identity"]
ACTIVATIONS: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
    "relu": tf.nn.relu,
    "identity": tf.identity,
}
DROPOUT_SALT = 1


class AutoRecConfig(RowModelConfig):
    """Choices of AutoRec."""

    hidden_activation: Activation = Field("sigmoid", description="g")
    output_activation: Literal["identity", "sigmoid"] = Field(
        "identity", description="f; sigmoid keeps predictions between the lowest and the highest rating"
    )
    center: bool = Field(False, description="the encoder reads ratings less their mean; else as they are")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="share of a row's entries that a step does not read")
    unobserved_weight: float = Field(0.1, gt=0, description="without ratings: weight of a zero beside a one")


class AutoRec(RowModel):
    """One hidden layer between a sparse row and its reconstruction."""

    Config = AutoRecConfig
    config: AutoRecConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 256,
        "learning_rate": 0.001,
        "average_decay": 0.97,
        "epochs": 100,
        "patience": 6,
    }
    search_space: ClassVar[dict[str, str]] = {
        "model.rows": "[items, users]",
        "model.hidden_dim": "[200, 500]",
        "model.l2": "log(1, 1000)",
        "model.input_dropout": "uniform(0, 0.7)",
        "train.learning_rate": "log(0.0003, 0.01)",
    }

    def __init__(self, config: AutoRecConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "autorec")
        columns, units = self.matrix.num_columns, config.hidden_dim
        limit = (6.0 / (columns + units)) ** 0.5

        def glorot(salt: int) -> tf.Tensor:
            return tf.random.stateless_uniform([columns, units], [seed, salt], -limit, limit)

        self._encoder = tf.Variable(glorot(0), name="encoder")
        self._encoder_bias = tf.Variable(tf.zeros([units]), name="encoder_bias")
        self.decoder = tf.Variable(glorot(1), name="decoder")
        self.decoder_bias = tf.Variable(self._first_bias()[:, None], name="decoder_bias")
        self._input_offset = self.matrix.mean if self.is_explicit and config.center else 0.0

    def _first_bias(self) -> tf.Tensor:
        """What each column's mean is in the units of the products: training starts from there."""
        deviations = tf.constant(self.matrix.deviations_by_id())
        if not self.is_explicit:
            return tf.zeros_like(deviations)
        if self.config.output_activation == "identity":
            return deviations
        low, high = self.matrix.range
        place = (self.matrix.mean + deviations - low) / max(high - low, 1e-6)
        return -tf.math.log(1.0 / tf.clip_by_value(place, 0.01, 0.99) - 1.0)

    def encode(
        self, observed: Observed, batch: tf.Tensor, *, density: float, is_rated: tf.Tensor | None = None
    ) -> tf.Tensor:
        values = observed.values - self._input_offset  # the mean where a rating is not known
        return self._hidden(observed._replace(values=values), batch, density, tf.float32)

    def _hidden(self, inputs: Observed, batch: tf.Tensor, density: float, compute_type: tf.DType) -> tf.Tensor:
        total = summed(
            self._encoder, inputs.rows, inputs.columns, inputs.values, batch, density=density, compute_type=compute_type
        )
        return ACTIVATIONS[self.config.hidden_activation](total + self._encoder_bias)

    def values_of(self, found: tf.Tensor) -> tf.Tensor:
        found = found[..., 0]
        if self.config.output_activation == "identity":
            return self.matrix.mean + found if self.is_explicit else found
        low, high = self.matrix.range if self.is_explicit else (0.0, 1.0)
        return low + (high - low) * tf.sigmoid(found)

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        index = self.training_index(inputs)
        observed, batch = self.matrix.observed(index), tf.size(index)
        seed = self.draw_seed(DROPOUT_SALT) if training and self.config.input_dropout else None
        values = dropout(observed.values - self._input_offset, self.config.input_dropout, seed)
        compute_type = self.compute_type if training else tf.float32
        hidden = self._hidden(observed._replace(values=values), batch, self.matrix.density, compute_type)
        of_row = self._observed_errors if self.is_explicit else self._all_errors
        # Rows have different numbers of entries: the mean is over rows, each with the sum of its errors.
        loss = global_mean(of_row(observed, hidden, batch, compute_type)) / self.matrix.entries_per_row
        norm = tf.reduce_sum(tf.square(self._encoder)) + tf.reduce_sum(tf.square(self.decoder))
        return loss + share(self.config.l2 / 2 * norm / max(self.matrix.num_entries, 1))

    def _observed_errors(
        self, observed: Observed, hidden: tf.Tensor, batch: tf.Tensor, compute_type: tf.DType
    ) -> tf.Tensor:
        """Sum of squared errors of each row's observed entries. float32 [batch]"""
        found = products(
            hidden,
            self.decoder,
            observed.rows,
            observed.columns,
            density=self.matrix.density,
            compute_type=compute_type,
        )
        predicted = self.values_of(found + tf.gather(self.decoder_bias, observed.columns))
        return tf.math.unsorted_segment_sum(tf.square(observed.values - predicted), observed.rows, batch)

    def _all_errors(self, observed: Observed, hidden: tf.Tensor, batch: tf.Tensor, compute_type: tf.DType) -> tf.Tensor:
        """Weighted sum of squared errors of all columns. float32 [batch]"""
        found = whole_products(hidden, self.decoder, compute_type=compute_type)
        predicted = self.values_of(found + self.decoder_bias)
        weight = self.config.unobserved_weight
        own = tf.gather_nd(predicted, tf.stack([observed.rows, observed.columns], axis=1))
        of_ones = tf.square(1.0 - own) - weight * tf.square(own)
        as_zeros = weight * tf.reduce_sum(tf.square(predicted), axis=1)
        return as_zeros + tf.math.unsorted_segment_sum(of_ones, observed.rows, batch)

    def id_tables(self) -> list[IdTable]:
        return self.column_tables(self._encoder, self.decoder, self.decoder_bias)

    @property
    def encoder_state(self) -> list[tf.Variable]:
        return [self._encoder, self._encoder_bias]

    @classmethod
    def table_shapes(
        cls, config: AutoRecConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        return row_table_shapes(config, schema, num_ids, num_items, levels={"encoder": 1, "decoder": 1})
