"""What a request may ask to be left out: its inputs, and what they mean."""

from __future__ import annotations

from pathlib import Path

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.export.attribute_filters import AttributeFilters
from tfrec.export.filters import Limits, allow_listed, listed, of_rows, together
from tfrec.export.id_lookup import IdLookup
from tfrec.export.signature import Input, broadcast_batch
from tfrec.export.tables import ExportTables
from tfrec.schema import Schema


class RequestLimits(tf.Module):
    """Lists of ids, what users have seen, and filters by attributes."""

    def __init__(self, tables: ExportTables, schema: Schema, items: IdLookup, scratch: Path) -> None:
        super().__init__(name="limits")
        self._history = schema.history
        self._items = items
        self._filters = AttributeFilters(tables.filters, tables.raw_items, schema, scratch)
        # Users by row; the row of unknown users has seen nothing.
        splits = tf.concat([tables.seen.row_splits, tables.seen.row_splits[-1:]], axis=0)
        self._seen_splits = tf.Variable(splits, trainable=False, name="seen_splits")
        self._seen_items = tf.Variable(tables.seen.items, trainable=False, name="seen_items")

    def inputs(self) -> dict[str, Input]:
        return {
            "exclude_ids": Input(tf.TensorSpec([None, None], tf.string), tf.constant([[""]])),
            "exclude_seen": Input(tf.TensorSpec([None], tf.bool), tf.constant([True])),
            "allow_ids": Input(tf.TensorSpec([None, None], tf.string), tf.constant([[""]])),
            **self._filters.inputs(),
        }

    def __call__(self, request: Tensors, users: tf.Tensor) -> Limits:
        """The limits of a request, whose users have the rows int64 [batch] in the user table."""
        batch = tf.shape(users)[0]
        exclude_seen = broadcast_batch(request["exclude_seen"], batch)
        seen = tf.RaggedTensor.from_row_splits(self._seen_items, self._seen_splits, validate=False)
        excluded = [listed(self._items(request["exclude_ids"]), batch), of_rows(tf.gather(seen, users), exclude_seen)]
        if self._history in request:
            history = self._items(request[self._history])
            excluded.append(listed(tf.where(exclude_seen[:, None], history, self._items.size), batch))
        has_list = tf.reduce_any(tf.not_equal(request["allow_ids"], ""), axis=1)

        def allowed() -> tf.Tensor:
            by_id = allow_listed(self._items(request["allow_ids"]), has_list, self._items.size)
            return self._filters.restrict(by_id, request)

        is_filtered = tf.reduce_any(has_list) | self._filters.is_given(request)
        return Limits(together(*excluded), is_filtered, allowed)
