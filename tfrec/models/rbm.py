r"""A restricted Boltzmann machine of rating rows (Salakhutdinov, Mnih & Hinton 2007).

.. math:: F(v) = -\sum_{i \in r} b_{i v_i} - \sum_j \log\Bigl(1 + e^{a_j(v)}\Bigr), \quad
   a_j(v) = c_j + \sum_{i \in r} W_{i v_i j} + \sum_{i \in r} D_{ij}

.. math:: p(h_j = 1 \mid v) = \sigma\bigl(a_j(v)\bigr), \quad
   p(v_i = k \mid h) = \mathrm{softmax}_k\Bigl(b_{ik} + \sum_j h_j W_{ikj}\Bigr)

A row has one softmax unit for each of its rated columns r, which takes one of the K values of the label; the others are
left out of the row's machine. D (the conditional machine) also lets speak that a column was rated, whatever the value:
at an answer these are the items of the history whose rating is not known too. Without ratings the visible units are
binary, one for every column, and D has nothing to say.

Contrastive divergence (Hinton 2002) follows p(h | v) and p(v | h) for k steps from the data v⁰ and takes
∂F(v⁰) − ∂F(vᵏ) for the gradient. Answers are mean fields: p(v_q | ĥ) with ĥ_j = p(h_j = 1 | v), of which a rating is
the mean.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import IdTable, TableShape
from tfrec.layers.tables import normal_rows
from tfrec.models.autoencoders.gibbs import drawn_levels, drawn_units, gibbs_chain
from tfrec.models.autoencoders.observed import Observed, products, summed, whole_products
from tfrec.models.autoencoders.row_model import RowModel, RowModelConfig, row_table_shapes
from tfrec.models.inputs import ModelInputs
from tfrec.replicas import global_mean, share
from tfrec.schema import Schema

GIBBS_SALT = 1


class RBMConfig(RowModelConfig):
    """Choices of the machine."""

    hidden_dim: int = Field(100, ge=1)
    l2: float = Field(10.0, ge=0, description="λ of λ/2 times the squared W and D, beside the sum of all losses")
    conditional: bool = Field(True, description="hidden units also see which columns were rated (D)")
    cd_steps: tuple[Annotated[int, Field(ge=1)], ...] = Field(
        (1,), min_length=1, description="k of contrastive divergence: of the first steps of training, of the next, …"
    )
    cd_stage_steps: int = Field(
        1000, ge=1, description="training steps after which the next of cd_steps holds; the last one holds to the end"
    )
    weight_stddev: float = Field(0.01, gt=0, description="of the initial W")
    max_levels: int = Field(11, ge=2, description="distinct values of the label, at most: each has weights of its own")


class RBM(RowModel):
    """Softmax (or binary) visible units, binary hidden units."""

    Config = RBMConfig
    config: RBMConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 128,
        "learning_rate": 0.005,
        "average_decay": 0.97,
        "epochs": 100,
        "patience": 6,
    }
    search_space: ClassVar[dict[str, str]] = {
        "model.rows": "[items, users]",
        "model.hidden_dim": "[100, 200, 400]",
        "model.l2": "log(0.1, 100)",
        "model.conditional": "[true, false]",
        "train.learning_rate": "log(0.0003, 0.01)",
    }

    def __init__(self, config: RBMConfig, inputs: ModelInputs, seed: int = 1) -> None:
        """Make the units.

        Raises:
            ConfigError: the label has more distinct values than `max_levels`.

        """
        super().__init__(config, inputs, seed, "rbm")
        columns, units = self.matrix.num_columns, config.hidden_dim
        scale = self.matrix.levels() if self.is_explicit else np.ones(1, np.float32)
        if len(scale) > config.max_levels:
            raise ConfigError(
                f"model.max_levels={config.max_levels}: the label has {len(scale):,} distinct values in the training "
                "split, and the machine has weights for each; raise it for ratings in steps, else choose autorec"
            )
        self._scale = tf.constant(scale)
        self._borders = tf.constant((scale[1:] + scale[:-1]) / 2)
        # Visible biases start at what the columns hold on the whole (Hinton 2012, section 8).
        bias = np.log(self.matrix.shares_by_id(scale)) if self.is_explicit else self._log_odds()
        initial = normal_rows(columns, len(scale) * units, stddev=config.weight_stddev, seed=[seed, 0])
        self.decoder = tf.Variable(initial(), name="weights")
        self.decoder_bias = tf.Variable(bias, name="visible_bias")
        self._hidden_bias = tf.Variable(tf.zeros([units]), name="hidden_bias")
        self._rated: tf.Variable | None = None
        if config.conditional and self.is_explicit:
            self._rated = tf.Variable(tf.zeros([columns, units]), name="rated_weights")

    def _log_odds(self) -> np.ndarray:
        rows = max(int(np.count_nonzero(~self.matrix.is_empty_row)), 1)
        taken = (self.matrix.columns_by_id() + 0.5) / (rows + 1)
        return np.asarray(np.log(taken / (1 - taken)), np.float32)[:, None]

    # --- Answers ---

    def encode(
        self, observed: Observed, batch: tf.Tensor, *, density: float, is_rated: tf.Tensor | None = None
    ) -> tf.Tensor:
        weights = None if is_rated is None else tf.cast(is_rated, tf.float32)
        of_levels = self._of_levels(observed, self._level(observed.values), batch, density, weights)
        return tf.sigmoid(self._of_rated(observed, batch, density) + of_levels)

    def values_of(self, found: tf.Tensor) -> tf.Tensor:
        if not self.is_explicit:
            return found[..., 0]  # log-odds, in the order of the probabilities
        return tf.linalg.matvec(tf.nn.softmax(found), self._scale)

    def _level(self, values: tf.Tensor) -> tf.Tensor:
        """The nearest level of each value. int64 [n]"""
        return tf.searchsorted(self._borders, values, out_type=tf.int64)

    def _of_rated(self, observed: Observed, batch: tf.Tensor, density: float) -> tf.Tensor:
        """What a(v) is before any level is known: c and D. float32 [batch or 1, units]"""
        if self._rated is None:
            return self._hidden_bias[None, :]
        ones = tf.ones_like(observed.values)
        return self._hidden_bias + summed(self._rated, observed.rows, observed.columns, ones, batch, density=density)

    def _of_levels(
        self, observed: Observed, levels: tf.Tensor, batch: tf.Tensor, density: float, weights: tf.Tensor | None = None
    ) -> tf.Tensor:
        """What the levels of the entries add to a(v); `weights` 0 for entries of no level. float32 [batch, units]"""
        table = tf.reshape(self.decoder, [-1, self.config.hidden_dim])  # one row for each level of each column
        places = observed.columns * self.levels + levels
        weights = tf.ones_like(observed.values) if weights is None else weights
        return summed(table, observed.rows, places, weights, batch, density=density / self.levels)

    def _of_probabilities(self, observed: Observed, probabilities: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        """The same of entries that take each level with a probability, float32 [entries, levels]."""
        table = tf.reshape(self.decoder, [-1, self.config.hidden_dim])
        rows = tf.repeat(observed.rows, self.levels)
        places = observed.columns[:, None] * self.levels + tf.range(self.levels, dtype=tf.int64)
        weights, places = (tf.reshape(values, [-1]) for values in (probabilities, places))
        return summed(table, rows, places, weights, batch, density=self.matrix.density)

    # --- Training ---

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        index = self.training_index(inputs)
        observed, batch = self.matrix.observed(index), tf.size(index)
        difference = self._of_ratings if self.is_explicit else self._of_taken
        loss = global_mean(difference(observed, batch)) / self.matrix.entries_per_row
        norm = tf.reduce_sum(tf.square(self.decoder))
        if self._rated is not None:
            norm += tf.reduce_sum(tf.square(self._rated))
        return loss + share(self.config.l2 / 2 * norm / max(self.matrix.num_entries, 1))

    # F(v⁰) − F(vᵏ) with vᵏ held fixed is no likelihood: it is what has the gradient of contrastive divergence, with the
    # hidden units' probabilities in place of samples at both ends. So autodiff and any optimiser take it from here.
    # The visible units of the last step are probabilities too (Hinton 2012, section 3): samples would add noise alone.

    def _of_ratings(self, observed: Observed, batch: tf.Tensor) -> tf.Tensor:
        """F(v⁰) − F(vᵏ) of the softmax units. float32 [batch]"""
        density = self.matrix.density
        of_rated = self._of_rated(observed, batch, density)

        def activation(levels: tf.Tensor) -> tf.Tensor:
            return of_rated + self._of_levels(observed, levels, batch, density)

        def logits(hidden: tf.Tensor) -> tf.Tensor:
            found = products(hidden, self.decoder, observed.rows, observed.columns, density=density)
            return found + tf.gather(self.decoder_bias, observed.columns)

        def visible(hidden: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return drawn_levels(logits(hidden), seed)

        levels = self._level(observed.values)
        at_data = activation(levels)
        hidden = gibbs_chain(at_data, visible, activation, self._cd_steps(), self.draw_seed(GIBBS_SALT))
        found = tf.stop_gradient(tf.nn.softmax(logits(hidden)))
        at_chain = of_rated + self._of_probabilities(observed, found, batch)
        # The biases' part of both, entry by entry.
        of_biases = (found - tf.one_hot(levels, self.levels)) * tf.gather(self.decoder_bias, observed.columns)
        biases = tf.math.unsorted_segment_sum(tf.reduce_sum(of_biases, axis=1), observed.rows, batch)
        return biases + tf.reduce_sum(tf.nn.softplus(at_chain) - tf.nn.softplus(at_data), axis=1)

    def _of_taken(self, observed: Observed, batch: tf.Tensor) -> tf.Tensor:
        """F(v⁰) − F(vᵏ) of the binary units. float32 [batch]"""
        bias = self.decoder_bias[:, 0]

        def activation(taken: tf.Tensor) -> tf.Tensor:
            return tf.matmul(taken, self.decoder) + self._hidden_bias

        def logits(hidden: tf.Tensor) -> tf.Tensor:
            return whole_products(hidden, self.decoder)[..., 0] + bias

        def visible(hidden: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
            return drawn_units(logits(hidden), seed)

        shape = tf.stack([tf.cast(batch, tf.int64), self.matrix.num_columns])
        taken = tf.scatter_nd(tf.stack([observed.rows, observed.columns], axis=1), observed.values, shape)
        taken = tf.minimum(taken, 1.0)  # rare items share the id of unknown ones
        at_data = activation(taken)
        hidden = gibbs_chain(at_data, visible, activation, self._cd_steps(), self.draw_seed(GIBBS_SALT))
        found = tf.stop_gradient(tf.sigmoid(logits(hidden)))
        at_chain = activation(found)
        biases = tf.linalg.matvec(found - taken, bias)
        return biases + tf.reduce_sum(tf.nn.softplus(at_chain) - tf.nn.softplus(at_data), axis=1)

    def _cd_steps(self) -> tf.Tensor | int:
        """K of this step of training."""
        stages = self.config.cd_steps
        if len(stages) == 1:
            return stages[0]
        stage = tf.minimum(self.steps_taken // self.config.cd_stage_steps, len(stages) - 1)
        return tf.gather(tf.constant(stages), stage)

    # --- What the trainer asks ---

    def id_tables(self) -> list[IdTable]:
        rated = [] if self._rated is None else [self._rated]
        return self.column_tables(self.decoder, self.decoder_bias, *rated)

    @property
    def encoder_state(self) -> list[tf.Variable]:
        return [self._hidden_bias, *([] if self._rated is None else [self._rated])]

    @classmethod
    def table_shapes(
        cls, config: RBMConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        is_explicit = schema.label is not None and not schema.label.is_binary
        levels = {"weights": config.max_levels if is_explicit else 1}
        if config.conditional and is_explicit:
            levels["rated_weights"] = 1
        return row_table_shapes(config, schema, num_ids, num_items, levels=levels, biases=levels["weights"])
