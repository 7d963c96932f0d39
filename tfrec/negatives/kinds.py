r"""The kinds of negatives, each with its part of the logQ correction.

A kind draws items j, n_j times each, and says how often each was expected, Q_j. A logit plus log(n_j / Q_j) makes the
sum of the negatives' exponentials an unbiased estimate of the sum over the whole catalogue (Bengio & Senécal 2008).
"""

from __future__ import annotations

import abc
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.negatives.config import NegativesConfig
from tfrec.negatives.hard import resample
from tfrec.negatives.item_sampler import ItemSampler

# (item indices [m], offsets of their logits [m]) → mean softmax over them of the batch's queries [m]
Scorer = Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


class Negatives(NamedTuple):
    """Candidates of one step, shared by all rows.

    Attributes:
        items: distinct item indices. int64 [m]
        log_weights: log(n_j / Q_j). float32 [m]
        positive_offsets: what is added to the logits of the rows' positives, or None. float32 [batch]

    """

    items: tf.Tensor
    log_weights: tf.Tensor
    positive_offsets: tf.Tensor | None = None


class NegativeSampler(abc.ABC):
    """Chooses the candidates of a step."""

    @abc.abstractmethod
    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        """Choose.

        Args:
            own: positives of this replica's rows. int64 [rows]
            batch: positives of all replicas' rows. int64 [global rows]
            seed: int32 [2], the same on all replicas.
            scorer: scores of the current model.

        """


class Sampled(NegativeSampler):
    """n items drawn independently of the batch: Q_j = n q_j."""

    def __init__(self, sampler: ItemSampler, n: int) -> None:
        self._sampler = sampler
        self._n = n

    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        items, _, counts = tf.unique_with_counts(self._sampler.draw(self._n, seed))
        expected = self._sampler.log_probability(items) + tf.math.log(float(self._n))
        return Negatives(items, _log(counts) - expected)


class InBatch(NegativeSampler):
    """The items of the batch: Q_j = B p_j, with p_j the item's share of the training events (Yi et al. 2019, eq. 3).

    As there, the positive is corrected as well: it is taken as drawn with the batch.
    """

    def __init__(self, events: ItemSampler) -> None:
        self._events = events

    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        items, _, counts = tf.unique_with_counts(batch)
        log_size = _log(tf.size(batch))
        weights = _log(counts) - self._events.log_probability(items) - log_size
        return Negatives(items, weights, -self._events.log_probability(own) - log_size)


class Mixed(NegativeSampler):
    """The items of the batch and n drawn ones (Yang et al. 2020): Q_j = B p_j + n q_j, from wherever the item came."""

    def __init__(self, events: ItemSampler, sampler: ItemSampler, n: int) -> None:
        self._events = events
        self._sampler = sampler
        self._n = n

    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        items, _, counts = tf.unique_with_counts(tf.concat([batch, self._sampler.draw(self._n, seed)], axis=0))
        return Negatives(items, _log(counts) - self._log_expected(items, batch), -self._log_expected(own, batch))

    def _log_expected(self, items: tf.Tensor, batch: tf.Tensor) -> tf.Tensor:
        of_batch = tf.exp(self._events.log_probability(items)) * tf.cast(tf.size(batch), tf.float32)
        return tf.math.log(of_batch + tf.exp(self._sampler.log_probability(items)) * float(self._n))


class Hard(NegativeSampler):
    """n items drawn from a pool by the scores of the current model; see `hard.resample`."""

    def __init__(self, pool: Sampled, n: int) -> None:
        self._pool = pool
        self._n = n

    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        seeds = tf.random.experimental.stateless_split(seed, 2)
        pool = self._pool.draw(own, batch, seeds[0], scorer)
        kept, log_weights = resample(scorer(pool.items, pool.log_weights), self._n, seeds[1])
        return Negatives(tf.gather(pool.items, kept), tf.gather(pool.log_weights, kept) + log_weights)


class Catalogue(NegativeSampler):
    """All items, each once."""

    def __init__(self, num_items: int) -> None:
        self._num_items = num_items

    def draw(self, own: tf.Tensor, batch: tf.Tensor, seed: tf.Tensor, scorer: Scorer) -> Negatives:
        return Negatives(tf.range(self._num_items, dtype=tf.int64), tf.zeros([self._num_items]))


def make_sampler(config: NegativesConfig, counts: np.ndarray) -> NegativeSampler:
    """The sampler of a config.

    Args:
        config: which kind.
        counts: training events of each item. int [num_items]

    """
    by_popularity = ItemSampler.by_popularity(counts, config.alpha)
    if config.kind == "catalogue":
        return Catalogue(len(counts))
    if config.kind == "uniform":
        return Sampled(ItemSampler.uniform(len(counts)), config.n)
    if config.kind == "popularity":
        return Sampled(by_popularity, config.n)
    if config.kind == "hard":
        return Hard(Sampled(by_popularity, config.pool * config.n), config.n)
    events = ItemSampler(counts)
    return InBatch(events) if config.kind == "in_batch" else Mixed(events, by_popularity, config.n)


def _log(counts: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.cast(counts, tf.float32))
