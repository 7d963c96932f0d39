"""Between the pipelines: counts → vocabularies, statistics, the transform graph, and the users and items in order."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tfrec.dataset import directory
from tfrec.feature_transform import FeatureAnalysis, FeatureTransform, NumericAnalysis, build_transform
from tfrec.schema import (
    EVENT_COUNT,
    CategoricalFeature,
    NumericFeature,
    TextFeature,
    VectorFeature,
    WeightsFeature,
)
from transforms import layout, storage
from transforms.catalogue import Catalogue, Source
from transforms.count import read_counts
from transforms.steps.analyse import CategoricalSummary, summarise_categorical, summarise_given, summarise_numeric
from transforms.steps.counts import TRAIN_COUNT, VALUE, count_feature
from transforms.steps.encode import encode_table, raw_name


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
        self._catalogue = Catalogue(source, self._counts, self._tokens)
        self._tables = {side: self._catalogue.in_order(side) for side in ("users", "items")}

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
                whole = table.rename_columns([raw_name(name) for name in table.column_names])
                encoded = encode_table(transform, self._schema, self._catalogue.with_missing(side, table))
                for name in encoded.column_names:
                    whole = whole.append_column(name, encoded.column(name))
                if side == "items":
                    whole = whole.append_column(EVENT_COUNT, pa.array(self._catalogue.event_counts(side, table)))
                storage.write_table(layout.encoded_side(self._output, side), whole)
        content = {"splits": self._splits, "features": statistics}
        storage.write_bytes(
            storage.join(self._output, directory.STATISTICS), (json.dumps(content, indent=2) + "\n").encode()
        )

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
            elif isinstance(feature, VectorFeature | WeightsFeature):
                statistics[name] = summarise_given(self._feature_counts(name), self._train_rows)
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
