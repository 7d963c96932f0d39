"""A retrieval model as it is served: raw request in, ids and scores out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import NEVER, cut, widest
from tfrec.export.id_lookup import IdLookup
from tfrec.export.items import display_signature
from tfrec.export.request_limits import RequestLimits
from tfrec.export.request_users import RequestUsers
from tfrec.export.search import CatalogueSearch, Search
from tfrec.export.signature import Input, broadcast_batch, missing, signature_function
from tfrec.export.tables import ExportTables, FeatureTable, request_features
from tfrec.feature_transform import FeatureTransform, raw_specs
from tfrec.models.base import PredictsRatings, RetrievalModel, rates
from tfrec.schema import ITEM_INDEX

DEFAULT_K = 10
REASONS = 5  # of each item that is to be explained


class RetrievalExport(tf.Module):
    """Signatures `recommend` (also `serving_default`), `explain`, `items`; `rank` where the model predicts ratings,
    `next_context` where it says what the next event is besides its item, and the towers' where it has two.

    It keeps the model's variables, not the model: what is saved names no class of this package.
    """

    def __init__(
        self,
        model: RetrievalModel,
        transform: FeatureTransform,
        tables: ExportTables,
        scratch: Path,
        search: Search | None = None,
    ) -> None:
        """Take a model along.

        Args:
            model: what answers.
            transform: the dataset's feature transform.
            tables: of users and items.
            scratch: directory for files that become assets of the SavedModel.
            search: how the best items are found; all of them scored by default.

        """
        super().__init__(name="retrieval")
        schema = model.inputs.schema
        self._search = search or CatalogueSearch(model)
        # Functions and variables of the model, not the model: tf.Module would track its layers and save them too.
        towers = model.embeddings()
        self._embed = None if towers is None else (towers.embed_users, towers.embed_items)
        self._model_explain = tf.function(
            lambda features, items: model.explain(features, items, REASONS), autograph=False
        )
        self._ratings = None
        if isinstance(model, PredictsRatings) and rates(type(model), model.config, schema):
            self._ratings = tf.function(model.predicted_ratings, autograph=False)
        foresight = model.next_context()
        self._next_context: Any = None
        self._next_tokens: Tensors = {}
        if foresight is not None:
            self._next_context = tf.function(foresight.context_probabilities, autograph=False)
            self._next_tokens = {name: tf.constant(tokens) for name, tokens in foresight.predicted_tokens.items()}
        self._state = [*model.state, *model.state_for_reasons]
        self._transform = transform
        self._schema = schema
        self._needs = model.required_features
        self._needs_to_explain = model.features_for_reasons
        self._users = RequestUsers(tables, schema, transform, scratch)
        self._items = IdLookup(tables.catalogue.ids, scratch / "items.txt")
        self._limits = RequestLimits(tables, schema, self._items, scratch)
        self._item_table = FeatureTable(tables.catalogue.features, schema, transform)
        self._item_ids = tf.Variable(tables.catalogue.ids, trainable=False, name="item_ids", dtype=tf.string)
        self._display = tables.catalogue.display

    def signatures(self) -> dict[str, Any]:
        """Signature name → tf.function."""
        inputs = self._users.inputs(self._needs)
        of_explain = self._users.inputs(self._needs_to_explain)
        candidates = {"candidate_ids": Input(tf.TensorSpec([None, None], tf.string))}
        k = Input(tf.TensorSpec([None], tf.int32), tf.constant([DEFAULT_K], tf.int32))
        recommend = signature_function(self._recommend, {**inputs, "k": k, **self._limits.inputs()})
        found = {"serving_default": recommend, "recommend": recommend}
        found["items"] = display_signature(self._items, self._display)
        found["explain"] = signature_function(self._explain, {**of_explain, **candidates})
        if self._ratings is not None:
            found["rank"] = signature_function(self._rank, {**inputs, **candidates})
        if self._next_context is not None:
            found["next_context"] = signature_function(self._foresee, inputs)
        if self._embed is not None:
            found["user_embedding"] = signature_function(self._embed_users, inputs)
            item_specs = raw_specs({n: f for n, f in self._schema.of_role("item").items() if n in self._schema.encoded})
            item_inputs = {
                name: Input(spec) if name == self._schema.item_id else missing(spec)
                for name, spec in item_specs.items()
            }
            found["item_embedding"] = signature_function(self._embed_items, item_inputs)
        return found

    def _recommend(self, request: Tensors) -> Tensors:
        features, users = self._users(request)
        k = broadcast_batch(request["k"], tf.shape(users)[0])
        scores, items = self._search(features, self._limits(request, users), widest(k, self._items.size))
        ids, best = cut(scores, items, k, self._item_ids)
        return {"ids": ids, "scores": best}

    def _explain(self, request: Tensors) -> Tensors:
        features, rows = self._users(request)
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
        features, _ = self._users(users)
        items = tf.reshape(self._items(candidates), [-1])
        rows = {name: tf.repeat(values, count, axis=0) for name, values in features.items()}
        ratings = self._ratings({**rows, ITEM_INDEX: tf.minimum(items, self._items.size - 1)})
        scores = tf.reshape(tf.where(items < self._items.size, ratings, NEVER), [batch, count])
        best, order = tf.math.top_k(scores, count)
        return {"ids": tf.gather(candidates, order, batch_dims=1), "scores": best}

    def _foresee(self, request: Tensors) -> Tensors:
        """Of each predicted feature all values, the most probable first, and their probabilities."""
        assert self._next_context is not None
        features, _ = self._users(request)
        found: Tensors = {}
        for name, probabilities in self._next_context(features).items():
            tokens = self._next_tokens[name]
            best, order = tf.math.top_k(probabilities, tokens.shape[0])
            found |= {name: tf.gather(tokens, order), f"{name}_probabilities": best}
        return found

    def _embed_users(self, request: Tensors) -> Tensors:
        assert self._embed is not None
        features, _ = self._users(request)
        return {"embeddings": self._embed[0](features)}

    def _embed_items(self, request: Tensors) -> Tensors:
        assert self._embed is not None
        rows = self._items(request[self._schema.item_id])
        features = request_features(request, self._schema.item_id, rows, self._item_table, self._transform)
        return {"embeddings": self._embed[1](features)}
