"""One request in, the final list out: sources → filters → item features → ranking → diversity → exploration → k."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from pydantic import Field

from tfrec.config_file import Config
from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError, did_you_mean
from tfrec.export.diversity import DiversityConfig
from tfrec.export.exploration import ExploredPlacesConfig
from tfrec.export.filters import NEVER, cut, widest
from tfrec.export.fusion import Found, Fusion, fuse, ranks_in
from tfrec.export.id_lookup import IdLookup
from tfrec.export.items import display_signature
from tfrec.export.request_limits import RequestLimits
from tfrec.export.request_users import RequestUsers
from tfrec.export.reranking import Reranking
from tfrec.export.retrieval import DEFAULT_K, REASONS
from tfrec.export.search import CatalogueSearch, Search
from tfrec.export.signature import Input, broadcast_batch, signature_function
from tfrec.export.tables import ExportTables, FeatureTable
from tfrec.feature_transform import FeatureTransform
from tfrec.index import IndexConfig
from tfrec.models.base import RankingModel, RetrievalModel


class CascadeConfig(Config):
    """Choices of a cascade."""

    candidates: int = Field(
        500, ge=1, description="items that each source finds and that are ranked; k if that is more"
    )
    fusion: Fusion = Field("reciprocal_rank", description="how lists of several sources become one")
    weights: tuple[float, ...] = Field((), description="of the sources in the fusion; 1 each by default")
    indexes: dict[str, IndexConfig] = Field(
        {}, description="of sources by their names; others score all items. k is candidates by default"
    )
    diversity: DiversityConfig = DiversityConfig()
    exploration: ExploredPlacesConfig = ExploredPlacesConfig()
    seed: int = Field(1, description="of what exploration draws")

    def weights_of(self, sources: int) -> tuple[float, ...]:
        """One for each source.

        Raises:
            ConfigError: there are others than sources, or one that is not above 0.

        """
        if not self.weights:
            return (1.0,) * sources
        if len(self.weights) != sources or min(self.weights) <= 0:
            raise ConfigError(f"weights: got {list(self.weights)} for {sources} sources; give one above 0 for each")
        return self.weights

    def with_indexes(self, sources: Collection[str], of_others: IndexConfig | None = None) -> CascadeConfig:
        """The same with an index for each source: its own, or `of_others`; measured at the places that it is asked for.

        Raises:
            ConfigError: an index of something that is no source.

        """
        for name in self.indexes:
            if name not in sources:
                raise ConfigError(f"indexes: no source {name!r}{did_you_mean(name, sources)}")
        found = {name: self.indexes.get(name, of_others) for name in sources}
        depth = {"k": self.candidates}
        return self.model_copy(
            update={
                "indexes": {
                    name: one if "k" in one.model_fields_set else one.model_copy(update=depth)
                    for name, one in found.items()
                    if one is not None
                }
            }
        )


class Ranked(NamedTuple):
    """Candidates in the order of the ranking.

    Attributes:
        scores: of the ranking model, −inf where there is no candidate. float32 [batch, n]
        items: item indices. int32 [batch, n]
        retrieval: score of each in the fusion. float32 [batch, n]

    """

    scores: tf.Tensor
    items: tf.Tensor
    retrieval: tf.Tensor


class CascadeExport(tf.Module):
    """Signatures `recommend` (also `serving_default`), `stages`, `explain` and `items`."""

    def __init__(
        self,
        sources: dict[str, RetrievalModel],
        ranker: RankingModel,
        config: CascadeConfig,
        transform: FeatureTransform,
        tables: ExportTables,
        scratch: Path,
        searches: Mapping[str, Search] | None = None,
    ) -> None:
        """Put models together that know the same users, items and features.

        Args:
            sources: name → what finds candidates.
            ranker: what orders them.
            config: choices of the cascade.
            transform: their dataset's feature transform.
            tables: of users and items; with the raw values of the feature that a quota is about.
            scratch: directory for files that become assets of the SavedModel.
            searches: name → how a source finds its candidates; by scoring all items where it is not there.

        """
        super().__init__(name="cascade")
        schema, first = ranker.inputs.schema, next(iter(sources.values()))
        self._names = tuple(sources)
        self._config = config
        self._weights = config.weights_of(len(sources))
        self._schema = schema
        searches = searches or {}
        self._searches = [searches.get(name) or CatalogueSearch(model) for name, model in sources.items()]
        self._explanations = [_explanation(model) for model in sources.values()]
        self._predict = tf.function(ranker.predictions, autograph=False)
        self._ranker_needs = tuple(sorted(ranker.required_features))
        self._state = [*ranker.state, *(v for model in sources.values() for v in model.state_for_reasons)]
        self._needs = frozenset(self._ranker_needs).union(*(one.required_features for one in sources.values()))
        self._needs_to_explain = frozenset().union(*(one.features_for_reasons for one in sources.values()))
        self._users = RequestUsers(tables, schema, transform, scratch)
        self._items = IdLookup(tables.catalogue.ids, scratch / "items.txt")
        self._limits = RequestLimits(tables, schema, self._items, scratch)
        self._item_table = FeatureTable(tables.catalogue.features, schema, transform)
        self._item_ids = tf.Variable(tables.catalogue.ids, trainable=False, name="item_ids", dtype=tf.string)
        self._display = tables.catalogue.display
        self._rerank = Reranking(config.diversity, config.exploration, first, tables, config.seed)

    def signatures(self) -> dict[str, Any]:
        """Signature name → tf.function."""
        k = Input(tf.TensorSpec([None], tf.int32), tf.constant([DEFAULT_K], tf.int32))
        controls = {"k": k, **self._limits.inputs()}
        recommend = signature_function(self._recommend, {**self._users.inputs(self._needs), **controls})
        all_needs = self._needs | self._needs_to_explain
        of_explain = self._users.inputs(self._needs_to_explain)
        candidates = {"candidate_ids": Input(tf.TensorSpec([None, None], tf.string))}
        return {
            "serving_default": recommend,
            "recommend": recommend,
            "stages": signature_function(self._stages, {**self._users.inputs(all_needs), **controls}),
            "explain": signature_function(self._explain, {**of_explain, **candidates}),
            "items": display_signature(self._items, self._display),
        }

    def _recommend(self, request: Tensors) -> Tensors:
        k, width, features, users = self._read(request)
        ranked, lists = self._rank(request, features, users, width)
        shown = self._rerank(ranked.scores, ranked.items, k, width, lists, self._items.size)
        scores, items = (tf.gather(of, shown.order, batch_dims=1) for of in (ranked.scores, ranked.items))
        ids, scores = cut(scores, items, k, self._item_ids)
        return {"ids": ids, "scores": scores, **shown.chances(ids)}

    def _read(self, request: Tensors) -> tuple[tf.Tensor, tf.Tensor, Tensors, tf.Tensor]:
        """(k, the largest k, encoded user features, user rows) of a request."""
        features, users = self._users(request)
        k = broadcast_batch(request["k"], tf.shape(users)[0])
        return k, widest(k, self._items.size), features, users

    def _rank(
        self, request: Tensors, features: Tensors, users: tf.Tensor, width: tf.Tensor
    ) -> tuple[Ranked, list[Found]]:
        """Candidates of all sources in the order of the ranking model, and what each source found."""
        count = tf.minimum(tf.maximum(width, self._config.candidates), self._items.size)
        limits = self._limits(request, users)
        lists = [Found(*search(features, limits, count)) for search in self._searches]
        fused = fuse(lists, self._weights, self._config.fusion, self._items.size)
        flat = tf.reshape(fused.items, [-1])
        of_items = self._item_table(flat)
        row = {
            name: of_items[name] if name in of_items else tf.repeat(features[name], count, axis=0)
            for name in self._ranker_needs
        }
        predicted = tf.reshape(self._predict(row), tf.shape(fused.items))
        scores, order = tf.math.top_k(tf.where(fused.scores > NEVER, predicted, NEVER), count)
        items, retrieval = (tf.gather(of, order, batch_dims=1) for of in (fused.items, fused.scores))
        return Ranked(scores, items, retrieval), lists

    def _stages(self, request: Tensors) -> Tensors:
        """The list of `recommend`, and for each item what every stage said of it."""
        k, width, features, users = self._read(request)
        ranked, lists = self._rank(request, features, users, width)
        shown = self._rerank(ranked.scores, ranked.items, k, width, lists, self._items.size)
        scores, items, fused = (tf.gather(of, shown.order, batch_dims=1) for of in ranked)
        ids, scores = cut(scores, items, k, self._item_ids)
        is_result = tf.not_equal(ids, "")
        stood = [ranks_in(found, items, self._items.size) for found in lists]
        ranks = tf.where(is_result[:, :, None], tf.stack([rank for rank, _ in stood], axis=2), 0)
        found_scores = tf.where(ranks > 0, tf.stack([score for _, score in stood], axis=2), NEVER)
        labels, weights = self._reasons(features, items, ranks, is_result)
        return {
            "ids": ids,
            "scores": scores,
            "sources": tf.repeat(tf.constant(self._names)[None, :], tf.shape(ids)[0], axis=0),
            "source_ranks": ranks,
            "source_scores": found_scores,
            "fused_scores": tf.where(is_result, fused, NEVER),
            "ranking_places": tf.where(is_result, shown.order + 1, 0),
            "is_explored": shown.is_explored & is_result,
            "reasons": labels,
            "weights": weights,
            **shown.chances(ids),
        }

    def _reasons(
        self, features: Tensors, items: tf.Tensor, ranks: tf.Tensor, is_result: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Why each item was found, by the first source that did."""
        shape = tf.concat([tf.shape(items), [REASONS]], axis=0)
        labels, weights = tf.fill(shape, ""), tf.zeros(shape)
        is_open = is_result
        for place, explain in enumerate(self._explanations):
            found_it = is_open & (ranks[:, :, place] > 0)
            found = explain(features, tf.cast(items, tf.int64))
            labels = tf.where(found_it[:, :, None], found.labels, labels)
            weights = tf.where(found_it[:, :, None], found.weights, weights)
            is_open &= ~found_it
        return labels, weights

    def _explain(self, request: Tensors) -> Tensors:
        """Reasons of the first source, of any items."""
        features, users = self._users(request)
        items = self._items(broadcast_batch(request["candidate_ids"], tf.shape(users)[0]))
        is_item = (items < self._items.size)[:, :, None]
        found = self._explanations[0](features, tf.minimum(items, self._items.size - 1))
        return {"reasons": tf.where(is_item, found.labels, ""), "weights": tf.where(is_item, found.weights, 0.0)}


def _explanation(model: RetrievalModel) -> Any:
    return tf.function(lambda features, items: model.explain(features, items, REASONS), autograph=False)
