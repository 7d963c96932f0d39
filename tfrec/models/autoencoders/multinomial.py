r"""Autoencoders of what a user took, with a multinomial likelihood over the catalogue (Liang et al. 2018).

.. math:: h_u = \mathrm{encode}\Bigl(\mathrm{dropout}\bigl(x_u / \lVert x_u \rVert_2\bigr)\Bigr), \quad
   \pi_u = \mathrm{softmax}\bigl(\mathrm{decode}(z_u)\bigr), \quad
   L = \frac{1}{B} \sum_u \Bigl(-\sum_i x_{ui} \log \pi_{ui} + \mathrm{penalty}_u\Bigr) + \lambda \lVert W \rVert^2

x_u is the profile (`tfrec.models.profiles.user_profiles`), so a user who was never trained is answered from the items
that the request brings. `mult_dae` and `mult_vae` say how z follows from h and what the penalty is. Scores are the
logits.

Training weighs all items of a user alike, whatever the half-life of the profile: what was learnt so, answered by
recency, ranks the next item far better than what was learnt from weighted profiles.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from itertools import pairwise
from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable, TableConfig, TableShape, dropout
from tfrec.layers.tables import normal_rows, plan_rows
from tfrec.models.autoencoders.observed import summed
from tfrec.models.base import RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, TrainingRows, frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior, prior_without_profile
from tfrec.models.profiles.user_profiles import ProfileConfig, Profiles, UserProfiles
from tfrec.replicas import global_mean, share
from tfrec.schema import USER_INDEX, CategoricalFeature, Schema

DROPOUT_SALT, NOISE_SALT = 1, 2


class MultinomialConfig(ProfileConfig):
    """Choices that both autoencoders have; the profile's half-life weighs what answers read."""

    hidden_units: tuple[int, ...] = Field(
        (),
        description="widths from the items to the latent vector, the decoder's in reverse; the paper has (600,) for "
        "100,000 users and more, with some thousand users none is better",
    )
    latent_dim: int = Field(200, ge=1)
    input_dropout: float = Field(0.5, ge=0, lt=1, description="share of a profile's items that a step does not read")
    l2: float = Field(0.0, ge=0, description="λ, of all matrices; beside a loss that is summed over a user's items")


class MultinomialAutoencoder(RetrievalModel, GradientModel):
    """Items → latent vector → probabilities of all items."""

    config: MultinomialConfig
    training_rows: TrainingRows = "users"
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 128,
        "learning_rate": 0.002,
        "epochs": 100,
        "patience": 8,
    }

    def __init__(self, config: MultinomialConfig, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.inputs = inputs
        self.seed = seed
        item = inputs.schema.features[inputs.schema.item_id]
        assert isinstance(item, CategoricalFeature)
        # A row per item id, as in every table of items; the catalogue stands in the rows behind unknown ids.
        self._first_item = item.first_token_id
        rows = self._first_item + inputs.num_items
        encoder = [*config.hidden_units, self.code_dim(config)]
        decoder = [config.latent_dim, *reversed(config.hidden_units)]
        self._input = _matrix(rows, encoder[0], inputs.num_items, [seed, 0], "input")
        self._output = _matrix(rows, decoder[-1], inputs.num_items, [seed, 1], "output")
        self._output_bias = tf.Variable(tf.zeros([rows, 1]), name="output_bias")
        self._encoder = [
            _matrix(above, below, above, [seed, 2 + layer], f"encoder_{layer}")
            for layer, (above, below) in enumerate(pairwise(encoder))
        ]
        self._decoder = [
            _matrix(above, below, above, [seed, 1002 + layer], f"decoder_{layer}")
            for layer, (above, below) in enumerate(pairwise(decoder))
        ]
        self._encoder_biases = [
            tf.Variable(tf.zeros([width]), name=f"encoder_bias_{i}") for i, width in enumerate(encoder)
        ]
        self._decoder_biases = [
            tf.Variable(tf.zeros([width]), name=f"decoder_bias_{i}") for i, width in enumerate(decoder[1:])
        ]
        self._profiles = UserProfiles(config, inputs)
        training = UserProfiles(ProfileConfig(profile="training"), inputs)
        # A function and not the module, which Keras would put into every checkpoint.
        self._training_profiles = lambda features: training(features)
        counts = inputs.train.item_counts()
        self._prior = frozen_variable(popularity_prior(counts), "popularity_prior")
        self._is_new_item = frozen_variable(counts == 0, "is_new_item")

    @abc.abstractmethod
    def _latent(self, code: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor]:
        """What the encoder gives, [batch, code_dim] → latent vectors [batch, latent_dim] and penalties [batch]."""

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        user = self.inputs.schema.features[self.inputs.schema.user_id]
        assert isinstance(user, CategoricalFeature)
        batch = tf.size(inputs[USER_INDEX])
        profiles = self._training_profiles({self.inputs.schema.user_id: inputs[USER_INDEX] + user.first_token_id})
        code = self._encode(profiles, batch, self.draw_seed(DROPOUT_SALT) if training else None)
        latent, penalty = self._latent(code, training)
        logits = self._decode(latent, self.compute_type if training else tf.float32)
        own = tf.gather_nd(tf.nn.log_softmax(logits), tf.stack([profiles.rows, profiles.items], axis=1))
        likelihood = tf.math.unsorted_segment_sum(own, profiles.rows, batch)
        loss = global_mean(penalty - likelihood)
        if self.config.l2:
            norms = [tf.reduce_sum(tf.square(matrix)) for matrix in self._matrices]
            loss += share(self.config.l2 * tf.add_n(norms))
        return loss

    def scores(self, features: Tensors) -> tf.Tensor:
        profiles = self._profiles(features)
        code = self._encode(profiles, tf.shape(features[self.inputs.schema.user_id])[0], None)
        logits = self._decode(self._latent(code, training=False)[0], tf.float32)
        return prior_without_profile(logits, self._prior, profiles, self._is_new_item)

    def _encode(self, profiles: Profiles, batch: tf.Tensor, seed: tf.Tensor | None) -> tf.Tensor:
        """Profiles → [batch, code_dim]; with a seed some items are left out."""
        squares = tf.math.unsorted_segment_sum(tf.square(profiles.weights), profiles.rows, batch)
        values = profiles.weights * tf.gather(tf.math.rsqrt(squares), profiles.rows)
        values = dropout(values, self.config.input_dropout, seed)
        items = profiles.items + self._first_item
        hidden = summed(self._input, profiles.rows, items, values, batch, density=0.0) + self._encoder_biases[0]
        for matrix, bias in zip(self._encoder, self._encoder_biases[1:], strict=True):
            hidden = tf.matmul(tf.tanh(hidden), matrix) + bias
        return hidden

    def _decode(self, latent: tf.Tensor, compute_type: tf.DType) -> tf.Tensor:
        """[batch, latent_dim] → logits float32 [batch, num_items]."""
        hidden = latent
        for matrix, bias in zip(self._decoder, self._decoder_biases, strict=True):
            hidden = tf.tanh(tf.matmul(hidden, matrix) + bias)
        output = tf.cast(self._output[self._first_item :], compute_type)
        logits = tf.matmul(tf.cast(hidden, compute_type), output, transpose_b=True)
        return tf.cast(logits, tf.float32) + self._output_bias[self._first_item :, 0]

    @property
    def _matrices(self) -> list[tf.Variable]:
        return [self._input, *self._encoder, *self._decoder, self._output]

    def id_tables(self) -> list[IdTable]:
        item = self.inputs.schema.item_id
        rows = plan_rows(self.inputs.num_ids[item], TableConfig())
        return [IdTable(table, item, 0, rows) for table in (self._input, self._output, self._output_bias)]

    def train_columns(self) -> frozenset[str]:
        return frozenset({USER_INDEX})

    @classmethod
    def table_shapes(
        cls, config: MultinomialConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        item = schema.features[schema.item_id]
        assert isinstance(item, CategoricalFeature)
        rows = item.first_token_id + num_items
        widths = [*config.hidden_units, cls.code_dim(config)]
        outer = [config.latent_dim, *reversed(config.hidden_units)][-1]
        return [
            TableShape("input", rows, widths[0]),
            TableShape("output", rows, outer),
            TableShape("output_bias", rows, 1),
        ]

    @classmethod
    @abc.abstractmethod
    def code_dim(cls, config: Any) -> int:
        """Width of what the encoder gives."""

    @property
    def required_features(self) -> frozenset[str]:
        return self._profiles.required_features

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, *self._profiles.state, self._prior, self._is_new_item]

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return tf.convert_to_tensor(self._output[self._first_item :])

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles


def _matrix(rows: int, columns: int, inputs: int, seed: list[int], name: str) -> tf.Variable:
    """Normal weights of Glorot and Bengio's variance (2010), 2 / (inputs + outputs)."""
    initial = normal_rows(rows, columns, stddev=(2.0 / (inputs + columns)) ** 0.5, seed=seed)
    return tf.Variable(initial, shape=[rows, columns], dtype=tf.float32, name=name)
