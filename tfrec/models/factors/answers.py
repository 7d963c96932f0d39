r"""The side of a matrix factorisation that answers: vectors of users and items whose inner product is the score.

.. math:: s(u, i) = (p_u, 1) \cdot (q_i, b_i), \qquad \hat r(u, i) = (p_u, 1, \mu + b_u) \cdot (q_i, b_i, 1)

Items that nobody took have learnt nothing: as ratings they are answered with the mean, as a choice they come last.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.profiles.cold_start import popularity_prior


class FactorAnswers(tf.Module):
    """Variables that are derived from the tables, or counted."""

    def __init__(self, inputs: ModelInputs, dim: int, *, is_rating: bool) -> None:
        """Count what is needed.

        Args:
            inputs: of the model.
            dim: of the factors.
            is_rating: whether scores are ratings.

        """
        super().__init__(name="factor_answers")
        self._dim, self._is_rating = dim, is_rating
        counts = inputs.train.item_counts()
        ids = inputs.catalogue.features[inputs.schema.item_id]
        num_ids = inputs.num_ids[inputs.schema.item_id]
        self._ids = tf.constant(ids, tf.int64)
        self._is_new_item = tf.constant(counts == 0)
        self._is_new_id = tf.constant(np.bincount(ids, counts, num_ids) == 0)
        prior = np.zeros(num_ids, np.float32)
        np.maximum.at(prior, ids, popularity_prior(counts))
        self._prior = tf.constant(prior)
        width = dim + 1 + is_rating
        self.by_id = frozen_variable(tf.zeros([num_ids, width]), "item_vectors_by_id")
        self.items = frozen_variable(tf.zeros([inputs.num_items, width]), "item_vectors")
        labels = inputs.train.labels if is_rating else None
        low, mean, high = 0.0, 0.0, 0.0
        if labels is not None and len(labels):
            low, mean, high = labels.min(), labels.mean(dtype=np.float64), labels.max()
        self.mean = frozen_variable(tf.constant(mean, tf.float32), "mean_label")
        self.range = frozen_variable(tf.constant([low, high], tf.float32), "label_range")

    @property
    def state(self) -> list[tf.Variable]:
        return [self.by_id, self.items, self.mean, self.range]

    def refresh(self, items: tf.Tensor, longest_user: tf.Tensor) -> None:
        """Derive the item vectors.

        Args:
            items: table of the items. float32 [num_item_ids, dim] or [num_item_ids, dim + 1]
            longest_user: no user's vector is longer. A scalar

        """
        factors = items[:, : self._dim]
        biases = items[:, self._dim] if items.shape[1] > self._dim else tf.zeros_like(items[:, 0])
        if self._is_rating:
            new_bias = tf.constant(0.0)
        else:  # below all that any known user's score can be
            lowest = biases - tf.norm(factors, axis=1) * longest_user
            new_bias = tf.reduce_min(tf.where(self._is_new_id, 0.0, lowest))
        biases = tf.where(self._is_new_id, new_bias, biases + self._prior)
        parts = [tf.where(self._is_new_id[:, None], 0.0, factors), biases[:, None]]
        new_item = tf.concat([tf.zeros([self._dim]), new_bias[None]], axis=0)
        if self._is_rating:
            parts.append(tf.ones_like(biases[:, None]))
            new_item = tf.concat([new_item, [1.0]], axis=0)
        self.by_id.assign(tf.concat(parts, axis=1))
        self.items.assign(tf.where(self._is_new_item[:, None], new_item, tf.gather(self.by_id, self._ids)))

    def users(self, factors: tf.Tensor, biases: tf.Tensor | None) -> tf.Tensor:
        """Vectors of users from their factors float32 [batch, dim] and, of ratings, their biases float32 [batch]."""
        parts = [factors, tf.ones_like(factors[:, :1])]
        if self._is_rating:
            offset = tf.fill(tf.shape(factors)[:1], tf.convert_to_tensor(self.mean))
            parts.append((offset if biases is None else offset + biases)[:, None])
        return tf.concat(parts, axis=1)

    def clipped(self, ratings: tf.Tensor) -> tf.Tensor:
        """Ratings within the range of the training labels."""
        return tf.clip_by_value(ratings, self.range[0], self.range[1])

    def positive(self, scores: tf.Tensor) -> tf.Tensor:
        """Scores as numbers that can be multiplied: ratings counted from 1 for the lowest label, or probabilities."""
        return scores - self.range[0] + 1.0 if self._is_rating else tf.sigmoid(scores)

    def from_positive(self, values: tf.Tensor) -> tf.Tensor:
        """Ratings in units of the label again; probabilities stay."""
        return values + self.range[0] - 1.0 if self._is_rating else values
