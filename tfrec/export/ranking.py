"""A ranking model as it is served: raw rows, serialized Examples, or a user with candidates."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.filters import NEVER
from tfrec.export.id_lookup import IdLookup
from tfrec.export.items import display_signature
from tfrec.export.request_users import RequestUsers
from tfrec.export.signature import Input, broadcast_batch, missing, signature_function
from tfrec.export.tables import ExportTables, FeatureTable, request_features
from tfrec.feature_transform import FeatureTransform, missing_value, raw_specs
from tfrec.models.base import RankingModel


class RankingExport(tf.Module):
    """Signatures `serving_default` (raw rows), `examples` (raw rows as tf.Example), `rank` and `items`."""

    def __init__(self, model: RankingModel, transform: FeatureTransform, tables: ExportTables, scratch: Path) -> None:
        super().__init__(name="ranking")
        schema = model.inputs.schema
        self._predict = tf.function(model.predictions, autograph=False)
        self._predict_tasks = tf.function(model.task_predictions, autograph=False)
        self._state = model.state
        self._transform = transform
        self._schema = schema
        self._users = RequestUsers(tables, schema, transform, scratch)
        self._items = IdLookup(tables.catalogue.ids, scratch / "items.txt")
        self._item_table = FeatureTable(tables.catalogue.features, schema, transform)
        needs = model.required_features
        ids = (schema.user_id, schema.item_id)
        self._user_specs = self._users.specs(needs)
        self._item_specs = raw_specs({n: f for n, f in schema.of_role("item").items() if n in needs or n in ids})
        self._display = tables.catalogue.display

    def signatures(self) -> dict[str, Any]:
        """Signature name → tf.function."""
        user_inputs, item_inputs = self._inputs(self._user_specs), self._inputs(self._item_specs)
        candidates = {"candidate_ids": Input(tf.TensorSpec([None, None], tf.string))}
        return {
            "serving_default": signature_function(self._scores, {**user_inputs, **item_inputs}),
            "examples": signature_function(self._examples, {"examples": Input(tf.TensorSpec([None], tf.string))}),
            "rank": signature_function(self._rank, {**user_inputs, **candidates}),
            "items": display_signature(self._items, self._display),
        }

    def _inputs(self, specs: dict[str, tf.TensorSpec]) -> dict[str, Input]:
        ids = (self._schema.user_id, self._schema.item_id)
        return {name: Input(spec) if name in ids else missing(spec) for name, spec in specs.items()}

    def _item_features(self, request: Tensors) -> Tensors:
        raw = {name: request[name] for name in self._item_specs}
        rows = self._items(raw[self._schema.item_id])
        return request_features(raw, self._schema.item_id, rows, self._item_table, self._transform)

    def _scores(self, request: Tensors) -> Tensors:
        features = {**self._users(request)[0], **self._item_features(request)}
        return {**self._predict_tasks(features), "scores": self._predict(features)}

    def _examples(self, request: Tensors) -> Tensors:
        specs = {**self._user_specs, **self._item_specs}
        parsing: dict[str, Any] = {}
        for name, spec in specs.items():
            if spec.shape.rank == 2:
                parsing[name] = tf.io.RaggedFeature(spec.dtype)
            else:
                parsing[name] = tf.io.FixedLenFeature([], spec.dtype, missing_value(spec.dtype))
        parsed = tf.io.parse_example(request["examples"], parsing)
        return self._scores(
            {
                name: v.to_tensor(missing_value(v.dtype)) if isinstance(v, tf.RaggedTensor) else v
                for name, v in parsed.items()
            }
        )

    def _rank(self, request: Tensors) -> Tensors:
        candidates = request["candidate_ids"]
        batch, count = tf.shape(candidates)[0], tf.shape(candidates)[1]
        user, _ = self._users({name: broadcast_batch(request[name], batch) for name in self._user_specs})
        rows = {name: tf.repeat(values, count, axis=0) for name, values in user.items()}
        flat = tf.reshape(candidates, [-1])
        raw_items: Tensors = {
            name: flat if name == self._schema.item_id else missing(spec).default
            for name, spec in self._item_specs.items()
        }
        scores = tf.reshape(self._predict({**rows, **self._item_features(raw_items)}), [batch, count])
        scores = tf.where(tf.equal(candidates, ""), NEVER, scores)  # padding goes last
        best, order = tf.math.top_k(scores, count)
        return {"ids": tf.gather(candidates, order, batch_dims=1), "scores": best}
