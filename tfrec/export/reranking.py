"""What changes the order of the ranking: diversity, then exploration."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.export.attribute_filters import number_tokens
from tfrec.export.diversity import LAST, DiversityConfig, mmr_order, quota_order
from tfrec.export.exploration import ExploredPlacesConfig, epsilon_propensities, explored_order
from tfrec.export.filters import NEVER
from tfrec.export.fusion import Found, ranks_in, to_unit
from tfrec.export.tables import ExportTables
from tfrec.models.base import RetrievalModel


class Reranked(NamedTuple):
    """The places of a list.

    Attributes:
        order: which of the n candidates stands where. int32 [batch, width]
        is_explored: whether it does so to be explored. bool [batch, width]
        propensities: with which probability, given the items above it; None where nobody knows. float32 [batch, width]
        counts: of the candidates that there are. int32 [batch]

    """

    order: tf.Tensor
    is_explored: tf.Tensor
    propensities: tf.Tensor | None
    counts: tf.Tensor

    def chances(self, ids: tf.Tensor) -> Tensors:
        """What a signature with these `ids` (string [batch, width]) says of them; nothing where nobody knows."""
        if self.propensities is None:
            return {}
        return {
            "propensities": tf.where(tf.not_equal(ids, ""), self.propensities, 0.0),
            "num_candidates": self.counts,
        }


class Reranking(tf.Module):
    """Candidates in the order of the ranking → the order in which they are shown."""

    def __init__(
        self,
        diversity: DiversityConfig,
        exploration: ExploredPlacesConfig,
        source: RetrievalModel,
        tables: ExportTables,
        seed: int,
    ) -> None:
        """Build the tables.

        Raises:
            ConfigError: the first source has no item vectors for `mmr`, or draws no scores for `thompson`.

        """
        super().__init__(name="reranking")
        self._diversity = diversity
        self._exploration = exploration
        if diversity.kind == "mmr":
            vectors = source.item_vectors_for_reasons()
            if vectors is None:
                name = type(source).__name__
                raise ConfigError(
                    f"diversity.kind=mmr: {name} has no item vectors; put a source that has first, or use quota"
                )
            self._vectors = tf.Variable(tf.math.l2_normalize(vectors, axis=1), trainable=False, name="item_vectors")
        if diversity.kind == "quota":
            assert diversity.feature is not None
            _, numbers = number_tokens(tables.raw_items[diversity.feature])
            self._groups = tf.Variable(np.ascontiguousarray(numbers[:, 0]), trainable=False, name="groups")
        if exploration.kind == "thompson" and not draws_scores(source):
            raise ConfigError(
                "exploration.kind=thompson: the first source must draw its scores; name a job of bayesian_mf with "
                "model.exploration.kind=thompson first"
            )
        if exploration.kind != "none":
            self._draws = tf.random.Generator.from_seed(seed, alg="philox")

    def __call__(
        self,
        scores: tf.Tensor,
        items: tf.Tensor,
        k: tf.Tensor,
        width: tf.Tensor,
        lists: Sequence[Found],
        num_items: int,
    ) -> Reranked:
        """The places of the list.

        Args:
            scores: of the ranking, falling; −inf where there is no item. float32 [batch, n]
            items: item indices. int32 [batch, n]
            k: of each row. int32 [batch]
            width: the largest of them, at most n. int32 scalar
            lists: what each source found.
            num_items: size of the catalogue.

        """
        order = self._various(scores, items, width)
        is_there = scores > NEVER
        counts = tf.reduce_sum(tf.cast(is_there, tf.int32), axis=1)
        if self._exploration.kind == "none":
            order = order[:, :width]
            return Reranked(order, tf.zeros_like(order, tf.bool), None, counts)
        places = tf.range(tf.maximum(width, 1))[None, :]
        draws = self._draws.uniform([tf.shape(scores)[0], tf.size(places)])
        is_explored = (draws < self._exploration.share) & (places < tf.minimum(k, counts)[:, None])
        wish = tf.where(is_there, self._wish(items, lists, num_items), float("inf"))
        explored = explored_order(tf.gather(wish, order, batch_dims=1), is_explored)
        order = tf.gather(order, explored.order, batch_dims=1)
        propensities = None
        if self._exploration.kind == "epsilon":
            propensities = epsilon_propensities(explored.is_best, counts, self._exploration.share)[:, :width]
        return Reranked(order[:, :width], is_explored[:, :width], propensities, counts)

    def _various(self, scores: tf.Tensor, items: tf.Tensor, width: tf.Tensor) -> tf.Tensor:
        """The order of diversity, int32 [batch, n]."""
        own = tf.broadcast_to(tf.range(tf.shape(scores)[1])[None, :], tf.shape(scores))
        if self._diversity.kind == "none":
            return own
        if self._diversity.kind == "quota":
            groups = tf.where(scores > NEVER, tf.gather(self._groups, items), -1)
            # Padding stands behind the items of the ranking, and must behind those above their quota.
            return _padding_last(quota_order(groups, self._diversity.at_most), scores)
        depth = tf.minimum(tf.shape(scores)[1], self._diversity.depth)
        is_there = scores[:, :depth] > NEVER
        relevance = tf.where(is_there, to_unit(scores[:, :depth], is_there), LAST)
        vectors = tf.gather(self._vectors, items[:, :depth])
        likeness = tf.matmul(vectors, vectors, transpose_b=True)
        best = mmr_order(relevance, likeness, self._diversity.weight, tf.minimum(depth, tf.maximum(width, 1)))
        was_taken = tf.reduce_any(tf.one_hot(best, tf.shape(scores)[1], True, False, dtype=tf.bool), axis=1)
        rest = tf.argsort(tf.where(was_taken, tf.shape(scores)[1], 0) + own, axis=1)
        return tf.concat([best, rest[:, : tf.shape(scores)[1] - tf.shape(best)[1]]], axis=1)

    def _wish(self, items: tf.Tensor, lists: Sequence[Found], num_items: int) -> tf.Tensor:
        """The lower, the rather a candidate is explored. float32 [batch, n]"""
        if self._exploration.kind == "epsilon":
            return self._draws.uniform(tf.shape(items))
        ranks, _ = ranks_in(lists[0], items, num_items)
        return tf.cast(tf.where(ranks > 0, ranks, num_items + 1), tf.float32)


def draws_scores(model: RetrievalModel) -> bool:
    """Whether the scores of a model are a draw, another one in each request."""
    return getattr(getattr(model.config, "exploration", None), "kind", "none") == "thompson"


def _padding_last(order: tf.Tensor, scores: tf.Tensor) -> tf.Tensor:
    is_there = tf.gather(scores > NEVER, order, batch_dims=1)
    places = tf.range(tf.shape(scores)[1])[None, :]
    return tf.gather(order, tf.argsort(tf.where(is_there, 0, tf.shape(scores)[1]) + places, axis=1), batch_dims=1)
