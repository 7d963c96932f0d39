"""Between the pipelines: counts → vocabularies, statistics, the transform graph, and the users and items in order."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tfrec.dataset import directory
from tfrec.feature_transform import FeatureAnalysis, FeatureTransform, NumericAnalysis, build_transform
from tfrec.schema import CategoricalFeature, FeatureRole, NumericFeature, Schema, SequenceFeature, TextFeature
from transforms import layout, storage
from transforms.count import read_counts
from transforms.steps.analyse import summarise_categorical, summarise_numeric
from transforms.steps.counts import TRAIN_COUNT, VALUE, by_frequency, count_values
from transforms.steps.encode import encode_table, raw_name


@dataclass(frozen=True)
class Source:
    """Where the features come from: side tables as the log has them, and who comes from the events."""

    schema: Schema
    output: str
    event_features: frozenset[str]
    side_tables: frozenset[str]


class Analysis:
    """Runs in the driver: all that it handles has the size of the vocabularies and of the side tables."""

    def __init__(self, source: Source, splits: dict[str, Any]) -> None:
        self._schema = source.schema
        self._output = source.output
        self._source = source
        self._train_rows = int(splits["train"]["rows"])
        self._splits = splits
        self._counts = {name: read_counts(source.output, name) for name in sorted(source.event_features)}
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
                storage.write_table(layout.encoded_side(self._output, side), raw)
        content = {"splits": self._splits, "features": statistics}
        storage.write_bytes(
            storage.join(self._output, directory.STATISTICS), (json.dumps(content, indent=2) + "\n").encode()
        )

    def _in_order(self, side: str) -> pa.Table:
        """All users or items of log and table: most frequent in training first; ids, then raw features."""
        key = self._schema.user_id if side == "users" else self._schema.item_id
        role: FeatureRole = "user" if side == "users" else "item"
        seen = by_frequency(self._counts[key]).column(VALUE).combine_chunks()
        if side in self._source.side_tables:
            table = storage.read_table(layout.side_table(self._output, side))
            ids = table.column(key).combine_chunks()
            only_in_table = pc.sort_indices(ids)
            unseen = ids.take(only_in_table).filter(pc.invert(pc.is_in(ids.take(only_in_table), value_set=seen)))
            seen = pa.concat_arrays([seen.cast(pa.string()), unseen.cast(pa.string())])
        else:
            table = pa.table({key: pa.array([], pa.string())})
        columns = {key: seen}
        rows = pc.index_in(seen, value_set=table.column(key).combine_chunks())
        latest = storage.read_table(layout.latest_items(self._output)) if side == "items" else None
        for name, feature in self._schema.of_role(role).items():
            if name == key or isinstance(feature, SequenceFeature):
                continue
            if name in table.column_names:
                columns[name] = _fill(table.column(name).combine_chunks().take(rows))
            elif latest is not None:
                of_event = pc.index_in(seen, value_set=latest.column(key).combine_chunks())
                columns[name] = _fill(latest.column(name).combine_chunks().take(of_event))
        return pa.table(columns)

    def _with_missing(self, side: str, table: pa.Table) -> pa.Table:
        """Features that stand in the events alone are missing where there are no events."""
        role: FeatureRole = "user" if side == "users" else "item"
        for name, feature in self._schema.of_role(role).items():
            if name not in table.column_names and isinstance(feature, CategoricalFeature | NumericFeature):
                table = table.append_column(name, _missing(feature, table.num_rows))
        return table

    def _summarise(self, scratch: Path) -> tuple[FeatureAnalysis, dict[str, Any]]:
        (scratch / directory.VOCABULARY).mkdir()
        files, sizes = {}, {}
        numeric: dict[str, NumericAnalysis] = {}
        statistics: dict[str, Any] = {}
        for name, feature in self._schema.features.items():
            if isinstance(feature, CategoricalFeature):
                summary = summarise_categorical(feature, self._feature_counts(name), self._train_rows)
                tokens = summary.tokens.column(VALUE).to_pylist()
                files[name] = scratch / directory.VOCABULARY / f"{name}.txt"
                files[name].write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8", newline="\n")
                counts = summary.tokens.column(TRAIN_COUNT).to_pylist()
                files[name].with_suffix(".counts").write_text("".join(f"{count}\n" for count in counts))
                sizes[name] = len(tokens)
                statistics[name] = summary.statistics
            elif isinstance(feature, NumericFeature):
                found = summarise_numeric(feature, self._feature_counts(name), self._train_rows)
                numeric[name] = found.analysis
                statistics[name] = found.statistics
            elif isinstance(feature, TextFeature):
                statistics[name] = {}
        return FeatureAnalysis(files, sizes, numeric), statistics

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
        return count_values(table.column(name), train, train)


def _missing(feature: CategoricalFeature | NumericFeature, rows: int) -> pa.Array:
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
