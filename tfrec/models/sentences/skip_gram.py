r"""What item2vec and user2vec share: two vectors for each item, learnt by negative sampling, and how they answer.

.. math:: s(u, i) = q_u \cdot t_i + \pi \log(1 + c_i), \qquad q_u = \frac{\sum_j p_{uj}\, v_j}{\sum_j p_{uj}}

p_u is the profile (`tfrec.models.profiles.user_profiles`), c the training counts, v_j the vector of an item that was
taken and t_i that of a candidate. What these are is `model.similarity`:

- `context`: t is the output vector, so the score is the logit that was trained. With negatives ∝ count^α it is a
  shifted pointwise mutual information (Levy & Goldberg 2014), and π gives back some of the popularity that the
  negatives took out;
- `cosine`: both are input vectors of length 1, and q is made so too (Barkan & Koenigstein 2016);
- `dot`: both are input vectors.

An item without training events was never learnt and stands below all that were.
"""

from __future__ import annotations

import abc
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable, TableConfig, TableShape
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.losses import negative_sampling
from tfrec.models.base import RetrievalModel
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.models.sentences.contexts import Context, Sentences
from tfrec.negatives.item_sampler import ItemSampler
from tfrec.replicas import global_mean
from tfrec.row_sums import sum_rows
from tfrec.schema import USER_INDEX, Schema

CENTRES_SALT, CONTEXT_SALT, NEGATIVES_SALT = 1, 2, 3


class SkipGramConfig(ProfileConfig):
    """Choices that item2vec and user2vec have in common."""

    half_life: float | None = Field(
        2.0, gt=0, description="items after which an item of the profile weighs one half; null: all weigh the same"
    )
    embedding_dim: int = Field(64, ge=1)
    window: int | None = Field(
        3, ge=1, description="events to either side, in the user's order of time, that are an item's context; null: all"
    )
    context_draws: int = Field(
        2, ge=1, description="events drawn from the context, per centre; not where the whole window is read at once"
    )
    num_negatives: int = Field(10, ge=1, description="items drawn against each true one")
    negatives_alpha: float = Field(0.75, ge=0, le=2, description="an item is drawn in proportion to (its events)^alpha")
    subsample: float | None = Field(
        None,
        gt=0,
        description="share of all events above which an item is frequent and counts √(subsample / share) as much; "
        "null: all count the same",
    )
    embedding_stddev: float = Field(0.03, gt=0, description="of the initial input vectors; output vectors start at 0")
    similarity: Literal["context", "cosine", "dot"] = Field(
        "context", description="of the profile's mean vector and a candidate; see tfrec/models/sentences/skip_gram.py"
    )
    popularity_power: float = Field(0.3, ge=0, description="π: what log(1 + training events) adds to a score")


class SkipGramModel(RetrievalModel, GradientModel):
    """Input and output vectors of items; subclasses say which pairs they are learnt from."""

    config: SkipGramConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 2048,
        "learning_rate": 0.01,
        "patience": 4,
        "epochs": 30,
    }

    def __init__(self, config: SkipGramConfig, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config = config
        self.inputs = inputs
        self.seed = seed
        counts = inputs.train.item_counts()
        rows, dim = inputs.num_ids[inputs.schema.item_id], config.embedding_dim
        initial = normal_rows(rows, dim, stddev=config.embedding_stddev, seed=[seed, 0])
        self._input = tf.Variable(initial, shape=[rows, dim], dtype=tf.float32, name="item_input")
        self._output = tf.Variable(tf.zeros([rows, dim]), name="item_output")
        self._item_ids = tf.constant(inputs.catalogue.features[inputs.schema.item_id])
        self._negatives = ItemSampler.by_popularity(counts, config.negatives_alpha)
        self._importance = tf.constant(importance(counts, config.subsample), tf.float32)
        self._sentences = Sentences(inputs.train, config.window)
        self._profiles = UserProfiles(config, inputs)
        size = [inputs.num_items, dim]
        self._profile_vectors = frozen_variable(tf.zeros(size), "profile_vectors")
        self._item_vectors = frozen_variable(tf.zeros(size), "item_vectors")
        # The prior is what is left of a score where π is 0 and nothing is known of the user.
        popularity = config.popularity_power * np.log1p(counts) + popularity_prior(counts)
        self._popularity = frozen_variable(tf.constant(popularity, tf.float32), "popularity")
        self._is_learnt = frozen_variable(tf.constant(counts > 0), "is_learnt")

    def train_columns(self) -> frozenset[str]:
        return frozenset({USER_INDEX})

    def _sampled_loss(self, queries: tf.Tensor, items: tf.Tensor, weights: tf.Tensor, salt: int = 0) -> tf.Tensor:
        """Weighted mean over rows of the loss of true items against drawn ones.

        Args:
            queries: float [rows, dim].
            items: item indices. int64 [rows]
            weights: float [rows].
            salt: tells several losses of one step apart.

        """
        rows, number = tf.shape(items)[0], self.config.num_negatives
        drawn = self._negatives.draw(rows * number, self.draw_seed(NEGATIVES_SALT + salt))
        drawn = tf.reshape(drawn, [rows, number])
        candidates = self._output_of(tf.concat([items[:, None], drawn], axis=1))  # one look-up for both
        logits = tf.linalg.matvec(candidates, queries)
        losses = negative_sampling(logits[:, 0], logits[:, 1:], drawn != items[:, None])
        return global_mean(losses, weights)

    def _pairs_loss(self, items: tf.Tensor, context: Context, salt: int = 0) -> tf.Tensor:
        """Loss of the pairs (item, item of its context); a repeated item is no context of itself."""
        width = self.config.context_draws
        centres, targets = tf.repeat(items, width), tf.reshape(context.items, [-1])
        is_pair = tf.reshape(context.is_there, [-1]) & (centres != targets)
        weights = self._importance_of(centres) * self._importance_of(targets) * tf.cast(is_pair, tf.float32)
        return self._sampled_loss(tf.repeat(self._input_of(items), width, axis=0), targets, weights, salt)

    def _context_sum(self, items: tf.Tensor, context: Context) -> tuple[tf.Tensor, tf.Tensor]:
        """Weighted sums of the context's input vectors, float [rows, dim], and of the weights, float [rows].

        An item itself does not count in its context.
        """
        is_context = context.is_there & (context.items != items[:, None])
        weights = self._importance_of(context.items) * tf.cast(is_context, tf.float32)
        total = tf.linalg.matvec(self._input_of(context.items), weights, transpose_a=True)
        return total, tf.reduce_sum(weights, axis=1)

    def _drawn_context(self, users: tf.Tensor, centres: tf.Tensor) -> Context:
        return self._sentences.draw_context(users, centres, self.config.context_draws, self.draw_seed(CONTEXT_SALT))

    def _context(self, users: tf.Tensor, centres: tf.Tensor) -> Context:
        """The whole window, or events drawn from all of the user's where there is no window."""
        if self.config.window is None:
            return self._drawn_context(users, centres)
        return self._sentences.whole_context(users, centres)

    def _input_of(self, items: tf.Tensor) -> tf.Tensor:
        """Input vectors of items by index, [*items.shape, dim]."""
        return look_up(self._input, tf.gather(self._item_ids, items))

    def _output_of(self, items: tf.Tensor) -> tf.Tensor:
        return look_up(self._output, tf.gather(self._item_ids, items))

    def _importance_of(self, items: tf.Tensor) -> tf.Tensor:
        return tf.gather(self._importance, items)

    def refresh(self) -> None:
        similarity, ids = self.config.similarity, self._item_ids
        taken, candidates = look_up(self._input, ids), look_up(self._output, ids)
        if similarity == "cosine":
            taken = tf.math.l2_normalize(taken, axis=1)
        self._profile_vectors.assign(taken)
        self._item_vectors.assign(candidates if similarity == "context" else taken)

    def _profile_mean(self, features: Tensors) -> tuple[tf.Tensor, tf.Tensor]:
        """Mean vectors of the profiles, float32 [batch, dim], zeros where one is empty; and which are not, bool."""
        profiles = self._profiles(features)
        batch = tf.shape(features[self.inputs.schema.user_id])[0]
        vectors = tf.gather(self._profile_vectors, profiles.items)
        total = sum_rows(vectors, profiles.rows, batch, profiles.weights)
        weight = tf.math.unsorted_segment_sum(profiles.weights, profiles.rows, batch)
        return tf.math.divide_no_nan(total, weight[:, None]), weight > 0

    @abc.abstractmethod
    def _queries(self, features: Tensors) -> tf.Tensor:
        """What the candidates are compared with, float32 [batch, dim]."""

    def scores(self, features: Tensors) -> tf.Tensor:
        queries = self._queries(features)
        if self.config.similarity == "cosine":
            queries = tf.math.l2_normalize(queries, axis=1)
        scores = tf.matmul(queries, self._item_vectors, transpose_b=True) + self._popularity
        return tf.where(self._is_learnt, scores, tf.reduce_min(scores, axis=1, keepdims=True) - 1.0)

    def item_vectors_for_reasons(self) -> tf.Tensor:
        """Input vectors, by which items of one profile and of one context are alike. float32 [num_items, dim]"""
        return self._profile_vectors

    def profiles_for_reasons(self) -> UserProfiles:
        return self._profiles

    def id_tables(self) -> list[IdTable]:
        schema = self.inputs.schema
        plan = plan_rows(self.inputs.num_ids[schema.item_id], TableConfig())
        return [IdTable(table, schema.item_id, 0, plan) for table in (self._input, self._output)]

    @classmethod
    def table_shapes(
        cls, config: SkipGramConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        rows, dim = num_ids[schema.item_id], config.embedding_dim
        trained = [TableShape(name, rows, dim) for name in ("item_input", "item_output")]
        derived = [TableShape(name, num_items, dim, is_trained=False) for name in ("profile_vectors", "item_vectors")]
        return [*trained, *derived]

    @property
    def required_features(self) -> frozenset[str]:
        return self._profiles.required_features

    @property
    def state(self) -> list[tf.Variable]:
        derived = [self._profile_vectors, self._item_vectors, self._popularity, self._is_learnt]
        return [*self.trainable_variables, *derived, *self._profiles.state]


def importance(counts: np.ndarray, subsample: float | None) -> np.ndarray:
    r"""How much an event of each item counts, min(1, √(subsample / share of the item)); float [num_items].

    Mikolov et al. (2013, eq. 5) keep a frequent word with this probability. Counting it that much instead is the same
    in expectation with less noise; a pair counts the product of both.
    """
    if subsample is None:
        return np.ones(len(counts))
    share = counts / max(counts.sum(), 1)
    return np.minimum(np.sqrt(subsample / np.maximum(share, 1e-30)), 1.0)
