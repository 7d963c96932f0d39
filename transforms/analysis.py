"""Between the pipelines: counts → vocabularies, statistics, the transform graph, and the users and items in order."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from apache_beam.io.filesystems import FileSystems

from tfrec.dataset import directory
from tfrec.feature_transform import FeatureAnalysis, FeatureTransform, NumericAnalysis, build_transform
from tfrec.schema import (
    EVENT_COUNT,
    CategoricalFeature,
    FeatureRole,
    NumericFeature,
    Schema,
    SequenceFeature,
    TextFeature,
)
from transforms import layout, storage
from transforms.base.load import BaseDataset
from transforms.count import read_counts
from transforms.read.typed import SOURCE
from transforms.steps.analyse import CategoricalSummary, summarise_categorical, summarise_numeric
from transforms.steps.counts import COUNT, TRAIN_COUNT, VALUE, by_frequency, count_feature, distinct_in_order
from transforms.steps.encode import encode_table, raw_name


@dataclass(frozen=True)
class Source:
    """Where the features come from: side tables as the log has them, and who comes from the events."""

    schema: Schema
    output: str
    event_features: frozenset[str]
    side_tables: frozenset[str]
    base: BaseDataset | None = None  # a dataset whose ids stay


class Analysis:
    """Runs in the driver: all that it handles has the size of the vocabularies and of the side tables."""

    def __init__(self, source: Source, splits: dict[str, Any]) -> None:
        self._schema = source.schema
        self._output = source.output
        self._source = source
        self._train_rows = int(splits["train"]["rows"])
        self._splits = splits
        self._counts = {name: read_counts(source.output, name) for name in sorted(source.event_features)}
        self._tokens = {
            key: self._summary(key, feature).tokens
            for key, feature in self._schema.features.items()
            if isinstance(feature, CategoricalFeature) and feature.id
        }
        self._tables = {side: self._in_order(side) for side in ("users", "items")}

    def write(self) -> None:
        """Write vocabularies, statistics, schema and transform; then users and items, raw and encoded."""
        with tempfile.TemporaryDirectory() as scratch:
            analysis, statistics = self._summarise(Path(scratch))
            transform_directory = Path(scratch) / directory.TRANSFORM
            build_transform(self._schema, analysis, transform_directory)
            transform = FeatureTransform(self._schema, transform_directory)
            storage.upload_directory(transform_directory, storage.join(self._output, directory.TRANSFORM))
            storage.upload_directory(
                Path(scratch) / directory.VOCABULARY, storage.join(self._output, directory.VOCABULARY)
            )
            self._schema.save(Path(scratch) / directory.SCHEMA)
            schema_bytes = (Path(scratch) / directory.SCHEMA).read_bytes()
            storage.write_bytes(storage.join(self._output, directory.SCHEMA), schema_bytes)
            for side, table in self._tables.items():
                raw = table.rename_columns([raw_name(name) for name in table.column_names])
                encoded = encode_table(transform, self._schema, self._with_missing(side, table))
                for name in encoded.column_names:
                    raw = raw.append_column(name, encoded.column(name))
                if side == "items":
                    ids = table.column(self._schema.item_id).combine_chunks()
                    raw = raw.append_column(EVENT_COUNT, pa.array(self._events_of(side, ids, COUNT, EVENT_COUNT)))
                storage.write_table(layout.encoded_side(self._output, side), raw)
        content = {"splits": self._splits, "features": statistics}
        storage.write_bytes(
            storage.join(self._output, directory.STATISTICS), (json.dumps(content, indent=2) + "\n").encode()
        )

    def _in_order(self, side: str) -> pa.Table:
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
        rows = pc.index_in(seen, value_set=table.column(key).combine_chunks())
        latest = self._latest_items() if side == "items" else None
        for name, feature in self._schema.of_role(role).items():
            if name == key or isinstance(feature, SequenceFeature):
                continue
            if isinstance(feature, NumericFeature) and feature.so_far == "item_events":
                columns[name] = pa.array(self._events_of(side, seen, TRAIN_COUNT, name).astype(np.float32))
            elif name in table.column_names:
                columns[name] = _fill(table.column(name).combine_chunks().take(rows))
            elif latest is not None and name in latest.column_names:
                of_event = pc.index_in(seen, value_set=latest.column(key).combine_chunks())
                columns[name] = _fill(latest.column(name).combine_chunks().take(of_event))
        return pa.table(columns)

    def _latest_items(self) -> pa.Table | None:
        """Each item's last values of the features that stand in the events, if there are any."""
        path = layout.latest_items(self._output)
        return storage.read_table(path) if FileSystems.exists(path) else None

    def _side_table(self, side: str, key: str) -> pa.Table:
        """The users or items table of this run, and what the base dataset knows of others."""
        table = pa.table({key: pa.array([], pa.string())})
        if side in self._source.side_tables:
            table = storage.read_table(layout.side_table(self._output, side)).drop_columns([SOURCE])
        if self._source.base is None:
            return table
        known = self._source.base.sides[side]
        known = known.filter(pc.invert(pc.is_in(known.column(key), value_set=table.column(key).combine_chunks())))
        return pa.concat_tables([table, known], promote_options="default")

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
        if self._source.base is not None:
            counts.append((self._source.base.sides[side], key, base_column))
        total = np.zeros(len(ids), np.int64)
        for table, token, column in counts:
            at = pc.index_in(ids, value_set=table.column(token).combine_chunks())
            total += pc.fill_null(table.column(column).combine_chunks().cast(pa.int64()).take(at), 0).to_numpy()
        return total

    def _with_missing(self, side: str, table: pa.Table) -> pa.Table:
        """Features that stand in the events alone are missing where there are no events; a user's count goes on."""
        role: FeatureRole = "user" if side == "users" else "item"
        for name, feature in self._schema.of_role(role).items():
            if isinstance(feature, NumericFeature) and feature.so_far == "user_events":
                ids = table.column(self._schema.user_id).combine_chunks()
                counts = self._events_of(side, ids, COUNT, EVENT_COUNT).astype(np.float32)
                table = table.append_column(name, pa.array(counts))
                continue
            if name in table.column_names or name not in self._schema.encoded:
                continue
            if not isinstance(feature, SequenceFeature):
                table = table.append_column(name, _missing(feature, table.num_rows))
        return table

    def _summarise(self, scratch: Path) -> tuple[FeatureAnalysis, dict[str, Any]]:
        (scratch / directory.VOCABULARY).mkdir()
        files, sizes = {}, {}
        numeric: dict[str, NumericAnalysis] = {}
        statistics: dict[str, Any] = {}
        for name, feature in self._schema.features.items():
            if isinstance(feature, TextFeature) and feature.tokens is not None:
                feature = feature.as_categorical
            if isinstance(feature, CategoricalFeature):
                summary = self._summary(name, feature)
                tokens = summary.tokens.column(VALUE).to_pylist()
                files[name] = scratch / directory.VOCABULARY / f"{name}.txt"
                files[name].write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")
                counts = summary.tokens.column(TRAIN_COUNT).to_pylist()
                files[name].with_suffix(".counts").write_text("".join(f"{count}\n" for count in counts))
                sizes[name] = len(tokens)
                statistics[name] = summary.statistics
            elif isinstance(feature, NumericFeature):
                found = summarise_numeric(feature, self._feature_counts(name), self._train_rows)
                base = self._source.base
                numeric[name] = found.analysis if base is None else base.numeric[name]
                statistics[name] = found.statistics | {"encoding": numeric[name].model_dump(mode="json")}
            elif isinstance(feature, TextFeature):
                statistics[name] = {}
        return FeatureAnalysis(files, sizes, numeric), statistics

    def _summary(self, name: str, feature: CategoricalFeature) -> CategoricalSummary:
        known = self._source.base.vocabularies[name] if self._source.base is not None else None
        return summarise_categorical(feature, self._feature_counts(name), self._train_rows, known)

    def _feature_counts(self, name: str) -> pa.Table:
        """Counts over events; a value of a side table counts as often as its user or item occurs in training."""
        if name in self._counts:
            return self._counts[name]
        role = self._schema.features[name].role
        side, key = ("users", self._schema.user_id) if role == "user" else ("items", self._schema.item_id)
        table = self._tables[side]
        occurrences = self._counts[key]
        at = pc.index_in(table.column(key).combine_chunks(), value_set=occurrences.column(VALUE).combine_chunks())
        train = pc.fill_null(occurrences.column(TRAIN_COUNT).combine_chunks().take(at), 0).to_numpy()
        return count_feature(self._schema.features[name], table.column(name), train, train)


def _missing(feature: CategoricalFeature | NumericFeature | TextFeature, rows: int) -> pa.Array:
    kind = pa.float32() if isinstance(feature, NumericFeature) else pa.string()
    if isinstance(feature, CategoricalFeature) and feature.multivalued:
        kind = pa.list_(pa.string())
    return _fill(pa.nulls(rows, kind))


def _fill(column: pa.Array) -> pa.Array:
    """Missing values as the transform expects them: an empty string, NaN, an empty list."""
    if pa.types.is_floating(column.type):
        return pc.fill_null(column, float("nan"))
    if pa.types.is_list(column.type):
        return pc.if_else(column.is_valid(), column, pa.scalar([], column.type))
    return pc.fill_null(column, "")
