"""Explicit feedback: what answers, and how a user's vector and bias follow from the user's ratings."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf

from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import Tensors
from tfrec.models.factors.als_solver import Entries, row_splits_of, solve_rows
from tfrec.models.factors.als_training import Ridge, beside_ones, explicit_items
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.rated_profiles import RatedProfiles
from tfrec.models.profiles.rating_baselines import latest_ratings, require_rated

if TYPE_CHECKING:
    from tfrec.models.als import ALSConfig


class ExplicitFactors(tf.Module):
    """Item vectors with their biases, and the mean and range of the ratings."""

    def __init__(self, config: ALSConfig, ridge: Ridge, inputs: ModelInputs) -> None:
        """Make room.

        Raises:
            ConfigError: the dataset has no ratings.

        """
        super().__init__(name="explicit_factors")
        require_rated(inputs)
        self._config, self._ridge, self._user_id = config, ridge, inputs.schema.user_id
        self.profiles = RatedProfiles(config, inputs, needs_ratings=True)
        self._items = frozen_variable(tf.zeros([inputs.num_items, config.embedding_dim + 1]), "item_vectors_and_biases")
        self._mean = frozen_variable(tf.constant(0.0), "mean_rating")
        self._range = frozen_variable(tf.zeros([2]), "rating_range")

    def fit(self, train: Interactions, start: tf.Tensor) -> tf.Tensor:
        """Learn from first item vectors, return the last with their biases. [num_items, dim + 1]"""
        ratings = latest_ratings(train)
        mean = ratings.data.mean(dtype=np.float64)
        self._mean.assign(mean)
        self._range.assign([ratings.data.min(), ratings.data.max()])
        ratings.data = (ratings.data - mean).astype(np.float32)
        items = explicit_items(ratings, start, self._config.passes, self._ridge, self._config.bias_l2)
        self._items.assign(items)
        return items

    def items(self) -> tf.Tensor:
        """Vector, bias and 1. [num_items, dim + 2]"""
        return tf.concat([self._items, tf.ones_like(self._items[:, :1])], axis=1)

    def users(self, features: Tensors) -> tf.Tensor:
        """Vector, 1 and mean + bias: the product with those of items is the rating. [batch, dim + 2]"""
        rated, batch = self.profiles.rated(features).known(), tf.shape(features[self._user_id])[0]
        vectors, biases = beside_ones(self._items)
        size = self._config.embedding_dim + 1
        frequencies = tf.math.unsorted_segment_sum(rated.weights, rated.rows, batch)
        ridge = self._ridge.with_bias(frequencies, self._config.bias_l2, size)
        pulls = rated.weights * (rated.ratings - self._mean - tf.gather(biases, rated.items))
        entries = Entries(row_splits_of(rated.rows, batch), tf.cast(rated.items, tf.int32), rated.weights, pulls)
        found = solve_rows(entries, vectors, tf.zeros([size, size]), ridge)
        return tf.concat([found[:, :-1], tf.ones_like(found[:, -1:]), found[:, -1:] + self._mean], axis=1)

    def scores(self, features: Tensors) -> tf.Tensor:
        """Ratings of all items, not clipped, so that they keep their order. [batch, num_items]"""
        return tf.matmul(self.users(features), self.items(), transpose_b=True)

    def clip(self, ratings: tf.Tensor) -> tf.Tensor:
        return tf.clip_by_value(ratings, self._range[0], self._range[1])

    @property
    def state(self) -> list[tf.Variable]:
        return [self._items, self._mean, self._range, *self.profiles.state]
