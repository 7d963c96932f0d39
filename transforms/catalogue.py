"""All users and items of a run in the order of their index, with their raw features from wherever they are known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from tfrec.schema import (
    EVENT_COUNT,
    CategoricalFeature,
    Feature,
    FeatureRole,
    NumericFeature,
    Schema,
    SequenceFeature,
    VectorFeature,
    WeightsFeature,
)
from transforms import layout, storage
from transforms.base.load import BaseDataset
from transforms.read.typed import SOURCE
from transforms.steps.counts import COUNT, TRAIN_COUNT, VALUE, by_frequency, distinct_in_order


@dataclass(frozen=True)
class Source:
    """Where the features come from: side tables as the log has them, and who comes from the events."""

    schema: Schema
    output: str
    event_features: frozenset[str]
    side_tables: frozenset[str]
    base: BaseDataset | None = None  # a dataset whose ids stay


class Catalogue:
    """Users and items of the log, of their tables, and of a base dataset."""

    def __init__(self, source: Source, counts: dict[str, pa.Table], tokens: dict[str, pa.Table]) -> None:
        """Take what is counted: `counts` of each feature of the events, vocabularies (`tokens`) of both ids."""
        self._schema = source.schema
        self._output = source.output
        self._side_tables = source.side_tables
        self._base = source.base
        self._counts = counts
        self._tokens = tokens

    def in_order(self, side: str) -> pa.Table:
        """All users or items of log and table: the vocabulary, the others of the log, those of the table alone.

        A vocabulary is most frequent in training first, but for the tokens of a base dataset, which keep their place.
        """
        key = self._schema.user_id if side == "users" else self._schema.item_id
        role: FeatureRole = "user" if side == "users" else "item"
        table = self._side_table(side, key)
        ids = table.column(key).combine_chunks()
        seen = distinct_in_order(
            [
                self._tokens[key].column(VALUE),
                by_frequency(self._counts[key]).column(VALUE),
                ids.take(pc.sort_indices(ids)),
            ]
        )
        columns = {key: seen}
        latest = self._latest_items() if side == "items" else None
        tables = [
            (found, pc.index_in(seen, value_set=found.column(key).combine_chunks()))
            for found in (latest, table)
            if found is not None
        ]
        for name, feature in self._schema.of_role(role).items():
            if name == key or isinstance(feature, SequenceFeature):
                continue
            if isinstance(feature, NumericFeature) and feature.so_far == "item_events":
                columns[name] = pa.array(self._events_of(side, seen, TRAIN_COUNT, name).astype(np.float32))
                continue
            known = [t.column(name).combine_chunks().take(at) for t, at in tables if name in t.column_names]
            if len(known) > 1:  # the events of this run before what the base dataset had
                known = [pc.if_else(known[0].is_valid(), known[0], known[1])]
            if known:
                columns[name] = _fill(known[0])
        return pa.table(columns)

    def _latest_items(self) -> pa.Table | None:
        """Each item's last values of the features that stand in the events, if there are any."""
        path = layout.latest_items(self._output)
        return storage.read_table(path) if FileSystems.exists(path) else None

    def _side_table(self, side: str, key: str) -> pa.Table:
        """The users or items table of this run, and what the base dataset knows of others."""
        table = pa.table({key: pa.array([], pa.string())})
        if side in self._side_tables:
            table = storage.read_table(layout.side_table(self._output, side)).drop_columns([SOURCE])
        if self._base is None:
            return table
        known = self._base.sides[side]
        known = known.filter(pc.invert(pc.is_in(known.column(key), value_set=table.column(key).combine_chunks())))
        return pa.concat_tables([table, known], promote_options="default")

    def event_counts(self, side: str, table: pa.Table) -> np.ndarray:
        """int64 [rows]: events of each user or item of a table from `in_order`, those of the base dataset included."""
        key = self._schema.user_id if side == "users" else self._schema.item_id
        return self._events_of(side, table.column(key).combine_chunks(), COUNT, EVENT_COUNT)

    def _events_of(self, side: str, ids: pa.Array, count: str, base_column: str) -> np.ndarray:
        """int64 [ids]: events of each user or item, those of the base dataset included.

        Args:
            side: users or items.
            ids: their raw ids.
            count: `train_count` or `count`, of this run.
            base_column: where the base dataset has its own.

        """
        key = self._schema.user_id if side == "users" else self._schema.item_id
        counts = [(self._counts[key], VALUE, count)]
        if self._base is not None:
            counts.append((self._base.sides[side], key, base_column))
        total = np.zeros(len(ids), np.int64)
        for table, token, column in counts:
            at = pc.index_in(ids, value_set=table.column(token).combine_chunks())
            total += pc.fill_null(table.column(column).combine_chunks().cast(pa.int64()).take(at), 0).to_numpy()
        return total

    def with_missing(self, side: str, table: pa.Table) -> pa.Table:
        """Features that stand in the events alone are missing where there are no events; a user's count goes on."""
        role: FeatureRole = "user" if side == "users" else "item"
        for name, feature in self._schema.of_role(role).items():
            if isinstance(feature, NumericFeature) and feature.so_far == "user_events":
                table = table.append_column(name, pa.array(self.event_counts(side, table).astype(np.float32)))
                continue
            if name in table.column_names or name not in self._schema.encoded:
                continue
            if not isinstance(feature, SequenceFeature):
                table = table.append_column(name, _missing(feature, table.num_rows))
        return table


def _missing(feature: Feature, rows: int) -> pa.Array:
    kind = pa.float32() if isinstance(feature, NumericFeature) else pa.string()
    if isinstance(feature, CategoricalFeature) and feature.multivalued:
        kind = pa.list_(pa.string())
    if isinstance(feature, VectorFeature | WeightsFeature):
        kind = pa.list_(pa.float32())
    return _fill(pa.nulls(rows, kind))


def _fill(column: pa.Array) -> pa.Array:
    """Missing values as the transform expects them: an empty string, NaN, an empty list."""
    if pa.types.is_floating(column.type):
        return pc.fill_null(column, float("nan"))
    if pa.types.is_list(column.type):
        return pc.if_else(column.is_valid(), column, pa.scalar([], column.type))
    return pc.fill_null(column, "")
