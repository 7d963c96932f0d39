"""A retrieval model as it is served: raw request in, ids and scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import NEVER, allow_only, exclude_listed, exclude_ragged, top_items
from tfrec.export.items import display_signature
from tfrec.export.signature import Input, broadcast_batch, missing, signature_function
from tfrec.export.tables import ExportTables, FeatureTable, IdLookup, request_features
from tfrec.feature_transform import FeatureTransform, raw_specs
from tfrec.models.base import PredictsRatings, RetrievalModel, rates
from tfrec.schema import ITEM_INDEX

DEFAULT_K = 10
REASONS = 5  # of each item that is to be explained


class RetrievalExport(tf.Module):
    """Signatures `recommend` (also `serving_default`), `explain`, `items`; `rank` where the model predicts ratings, and
    the towers' where it has two.

    It keeps the model's variables, not the model: what is saved names no class of this package.
    """

    def __init__(self, model: RetrievalModel, transform: FeatureTransform, tables: ExportTables, scratch: Path) -> None:
        super().__init__(name="retrieval")
        schema = model.inputs.schema
        # Functions and variables of the model, not the model: tf.Module would track its layers and save them too.
        self._model_scores = tf.function(model.scores, autograph=False)
        towers = model.embeddings()
        self._embed = None if towers is None else (towers.embed_users, towers.embed_items)
        self._model_explain = tf.function(
            lambda features, items: model.explain(features, items, REASONS), autograph=False
        )
        self._ratings = None
        if isinstance(model, PredictsRatings) and rates(type(model), model.config, schema):
            self._ratings = tf.function(model.predicted_ratings, autograph=False)
        self._state = [*model.state, *model.state_for_reasons]
        self._transform = transform
        self._schema = schema
        self._needs = model.required_features
        self._needs_to_explain = model.features_for_reasons
        self._users = IdLookup(tables.user_ids, scratch / "users.txt")
        self._items = IdLookup(tables.catalogue.ids, scratch / "items.txt")
        self._user_table = FeatureTable(tables.user_features, schema, transform)
        self._item_table = FeatureTable(tables.catalogue.features, schema, transform)
        self._item_ids = tf.Variable(tables.catalogue.ids, trainable=False, name="item_ids", dtype=tf.string)
        # Users by row; the row of unknown users has seen nothing.
        splits = tf.concat([tables.seen.row_splits, tables.seen.row_splits[-1:]], axis=0)
        self._seen_splits = tf.Variable(splits, trainable=False, name="seen_splits")
        self._seen_items = tf.Variable(tables.seen.items, trainable=False, name="seen_items")
        self._display = tables.catalogue.display

    def signatures(self) -> dict[str, Any]:
        """Signature name → tf.function."""
        inputs, of_explain = self._request_inputs(self._needs), self._request_inputs(self._needs_to_explain)
        candidates = {"candidate_ids": Input(tf.TensorSpec([None, None], tf.string))}
        recommend_inputs = {
            **inputs,
            "k": Input(tf.TensorSpec([None], tf.int32), tf.constant([DEFAULT_K], tf.int32)),
            "exclude_ids": Input(tf.TensorSpec([None, None], tf.string), tf.constant([[""]])),
            "exclude_seen": Input(tf.TensorSpec([None], tf.bool), tf.constant([True])),
            "allow_ids": Input(tf.TensorSpec([None, None], tf.string), tf.constant([[""]])),
        }
        recommend = signature_function(self._recommend, recommend_inputs)
        found = {"serving_default": recommend, "recommend": recommend}
        found["items"] = display_signature(self._items, self._display)
        found["explain"] = signature_function(self._explain, {**of_explain, **candidates})
        if self._ratings is not None:
            found["rank"] = signature_function(self._rank, {**inputs, **candidates})
        if self._embed is not None:
            found["user_embedding"] = signature_function(self._embed_users, inputs)
            item_specs = raw_specs({n: f for n, f in self._schema.of_role("item").items() if n in self._schema.encoded})
            item_inputs = {
                name: Input(spec) if name == self._schema.item_id else missing(spec)
                for name, spec in item_specs.items()
            }
            found["item_embedding"] = signature_function(self._embed_items, item_inputs)
        return found

    def _request_inputs(self, needs: frozenset[str]) -> dict[str, Input]:
        features = {
            name: feature
            for name, feature in self._schema.of_role("user", "context").items()
            if name in needs or name == self._schema.user_id
        }
        return {
            name: Input(spec) if name == self._schema.user_id else missing(spec)
            for name, spec in raw_specs(features).items()
        }

    def _user_features(self, request: Tensors) -> tuple[Tensors, tf.Tensor]:
        rows = self._users(request[self._schema.user_id])
        raw = {name: value for name, value in request.items() if name in self._schema.features}
        return request_features(raw, self._schema.user_id, rows, self._user_table, self._transform), rows

    def _recommend(self, request: Tensors) -> Tensors:
        features, rows = self._user_features(request)
        scores = self._model_scores(features)
        batch = tf.shape(rows)[0]
        scores = exclude_listed(scores, self._items(request["exclude_ids"]))
        seen = tf.RaggedTensor.from_row_splits(self._seen_items, self._seen_splits, validate=False)
        exclude_seen = broadcast_batch(request["exclude_seen"], batch)
        scores = exclude_ragged(scores, tf.gather(seen, rows), exclude_seen)
        if self._schema.history in request:
            history = self._items(request[self._schema.history])
            scores = exclude_listed(scores, tf.where(exclude_seen[:, None], history, self._items.size))
        has_list = tf.reduce_any(tf.not_equal(request["allow_ids"], ""), axis=1)
        scores = tf.cond(
            tf.reduce_any(has_list),
            lambda: allow_only(scores, self._items(request["allow_ids"]), has_list),
            lambda: scores,
        )
        ids, best = top_items(scores, broadcast_batch(request["k"], batch), self._item_ids)
        return {"ids": ids, "scores": best}

    def _explain(self, request: Tensors) -> Tensors:
        features, rows = self._user_features(request)
        candidates, batch = request["candidate_ids"], tf.shape(rows)[0]
        items = self._items(broadcast_batch(candidates, batch))
        is_item = (items < self._items.size)[:, :, None]
        found = self._model_explain(features, tf.minimum(items, self._items.size - 1))
        return {
            "reasons": tf.where(is_item, found.labels, ""),
            "weights": tf.where(is_item, found.weights, 0.0),
        }

    def _rank(self, request: Tensors) -> Tensors:
        """Candidates by predicted rating; unknown ones and padding last, with −inf."""
        assert self._ratings is not None
        candidates = request["candidate_ids"]
        batch, count = tf.shape(candidates)[0], tf.shape(candidates)[1]
        users = {n: v if n == "candidate_ids" else broadcast_batch(v, batch) for n, v in request.items()}
        features, _ = self._user_features(users)
        items = tf.reshape(self._items(candidates), [-1])
        rows = {name: tf.repeat(values, count, axis=0) for name, values in features.items()}
        ratings = self._ratings({**rows, ITEM_INDEX: tf.minimum(items, self._items.size - 1)})
        scores = tf.reshape(tf.where(items < self._items.size, ratings, NEVER), [batch, count])
        best, order = tf.math.top_k(scores, count)
        return {"ids": tf.gather(candidates, order, batch_dims=1), "scores": best}

    def _embed_users(self, request: Tensors) -> Tensors:
        assert self._embed is not None
        features, _ = self._user_features(request)
        return {"embeddings": self._embed[0](features)}

    def _embed_items(self, request: Tensors) -> Tensors:
        assert self._embed is not None
        rows = self._items(request[self._schema.item_id])
        features = request_features(request, self._schema.item_id, rows, self._item_table, self._transform)
        return {"embeddings": self._embed[1](features)}
