"""Whom a request is about: the features that it gives, and what the graph's own table knows."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.id_lookup import IdLookup
from tfrec.export.signature import Input, broadcast_batch, missing
from tfrec.export.tables import ExportTables, FeatureTable, request_features
from tfrec.feature_transform import FeatureTransform, raw_specs
from tfrec.schema import EVENT_TIME_MS, Schema


class RequestUsers(tf.Module):
    """Users by id, and their encoded features."""

    def __init__(self, tables: ExportTables, schema: Schema, transform: FeatureTransform, scratch: Path) -> None:
        super().__init__(name="users")
        self._schema = schema
        self._transform = transform
        self._lookup = IdLookup(tables.user_ids, scratch / "users.txt")
        self._table = FeatureTable(tables.user_features, schema, transform)

    def specs(self, needs: Collection[str]) -> dict[str, tf.TensorSpec]:
        """Raw user and context features among `needs`, the user id, and the time of the request where it is needed."""
        of_role = self._schema.of_role("user", "context")
        found = raw_specs({n: f for n, f in of_role.items() if n in needs or n == self._schema.user_id})
        return found | ({EVENT_TIME_MS: tf.TensorSpec([None], tf.int64)} if EVENT_TIME_MS in needs else {})

    def inputs(self, needs: Collection[str]) -> dict[str, Input]:
        """The same as inputs of a signature; all but the id may be left out."""
        user_id = self._schema.user_id
        return {n: Input(spec) if n == user_id else missing(spec) for n, spec in self.specs(needs).items()}

    def __call__(self, request: Tensors) -> tuple[Tensors, tf.Tensor]:
        """Raw user and context features → encoded ones, and the users' rows int64 [batch]."""
        of_role = self._schema.of_role("user", "context")
        raw = {name: value for name, value in request.items() if name in of_role}
        rows = self._lookup(raw[self._schema.user_id])
        features = request_features(raw, self._schema.user_id, rows, self._table, self._transform)
        if EVENT_TIME_MS in request:  # now, unless the request says another time
            features[EVENT_TIME_MS] = broadcast_batch(_times_or_now(request[EVENT_TIME_MS]), tf.shape(rows)[0])
        return features, rows


def _times_or_now(given: tf.Tensor) -> tf.Tensor:
    """Times in milliseconds, where 0 stands for now.

    The clock is read only where a request leaves it to the server: TensorFlow has none in a deterministic process.
    """

    def with_clock() -> tf.Tensor:
        return tf.where(given > 0, given, tf.cast(tf.timestamp() * 1000, tf.int64))

    return tf.cond(tf.reduce_all(given > 0), lambda: given, with_clock)
