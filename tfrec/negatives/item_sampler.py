"""Draws items of the catalogue with given probabilities, and knows them."""

from __future__ import annotations

import numpy as np
import tensorflow as tf


class ItemSampler:
    """Independent draws, with replacement, by inverting the cumulative distribution."""

    def __init__(self, weights: np.ndarray) -> None:
        """Make a sampler.

        Args:
            weights: proportional to the probabilities; not all 0. float [num_items]

        """
        probabilities = weights / weights.sum()
        # In double precision: a step of float32 just below 1 is more than the share of an item among millions.
        cumulative = np.cumsum(probabilities)
        # What rounding leaves above the last sum belongs to the last item that can be drawn.
        cumulative[np.flatnonzero(probabilities)[-1] :] = 1.0
        self._cumulative = tf.constant(cumulative, tf.float64)
        with np.errstate(divide="ignore"):
            self._log_probability = tf.constant(np.log(probabilities), tf.float32)

    @classmethod
    def uniform(cls, num_items: int) -> ItemSampler:
        return cls(np.ones(num_items))

    @classmethod
    def by_popularity(cls, counts: np.ndarray, alpha: float) -> ItemSampler:
        """Probability ∝ count^alpha (Mikolov et al. 2013 take 0.75); all items alike where alpha is 0."""
        return cls(np.power(counts.astype(np.float64), alpha))

    def draw(self, n: int, seed: tf.Tensor) -> tf.Tensor:
        """Item indices, int64 [n]; the same for the same seed (int [2])."""
        uniform = tf.random.stateless_uniform([n], seed, dtype=tf.float64)
        return tf.searchsorted(self._cumulative, uniform, side="right", out_type=tf.int64)

    def log_probability(self, items: tf.Tensor) -> tf.Tensor:
        """float32 of the shape of `items`; −inf for what is never drawn."""
        return tf.gather(self._log_probability, items)
