"""Strings → typed columns under the features' own names; rows with an unusable value are rejected with its reason."""

from __future__ import annotations

from collections import Counter
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import CategoricalFeature, Feature, NumericFeature, TextFeature, VectorFeature, WeightsFeature
from transforms.dataset_config import DatasetConfig, TableName, reads_lists, source_columns
from transforms.filters import TimeLimits
from transforms.read import cells, number_lists
from transforms.read.blocks import Place
from transforms.read.csv_rows import LINE
from transforms.read.files import source_table
from transforms.read.reasons import Reasons
from transforms.read.rejected import FILE_INDEX_SHIFT, RejectedRow
from transforms.read.signals import EventSignals
from transforms.read.sources import InputTable
from transforms.read.texts import shown
from transforms.read.wanted import Wanted

MAX_ID_BYTES = 1024  # ids are hashed, compared and kept many times over; nobody's is longer
SOURCE = "__source__"  # int64: file index · 2⁴⁰ + line; orders rows as they stand in the log, and is unique


class TypedRows:
    """Converts parsed blocks of one table."""

    def __init__(
        self,
        config: DatasetConfig,
        tables: dict[TableName, InputTable],
        name: TableName,
        limits: TimeLimits = TimeLimits(),  # noqa: B008  (frozen)
    ) -> None:
        schema = config.schema_of()
        self._name = name
        self._config = config
        keys = {
            "events": [schema.user_id, schema.item_id],
            "users": [schema.user_id],
            "items": [schema.item_id],
        }
        self._keys = keys[name]
        self._features: dict[str, Feature] = {
            feature_name: feature
            for feature_name, feature in config.features.items()
            if feature_name not in self._keys
            and source_columns(feature_name, feature)
            and source_table(config, tables, feature_name) == name
            and not (isinstance(feature, CategoricalFeature) and feature.id)
        }
        self._signals = EventSignals(schema, limits) if name == "events" else None

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Features, without the keys, that this table provides."""
        return tuple(self._features)

    @property
    def wanted_columns(self) -> tuple[str, ...]:
        """Columns of the file that are needed."""
        named = [source_columns(key, self._config.features[key])[0] for key in self._keys]
        named += [column for name, feature in self._features.items() for column in source_columns(name, feature)]
        named += self._signals.columns if self._signals else ()
        return tuple(dict.fromkeys(named))

    @property
    def wanted(self) -> Wanted:
        """What the parsers must know of the needed columns."""
        columns = self.wanted_columns
        read = {name: source_columns(name, feature) for name, feature in self._features.items()}
        lists = {column for name in read if reads_lists(self._features[name]) for column in read[name]}
        texts = {column for name in read if isinstance(self._features[name], TextFeature) for column in read[name]}
        tokens = {column for name in read if not isinstance(self._features[name], TextFeature) for column in read[name]}
        if self._signals is not None:
            tokens |= set(self._signals.columns)
        return Wanted(columns, frozenset(lists), frozenset(texts - tokens))

    def convert(self, block: Place, rows: pa.Table) -> tuple[pa.Table, list[RejectedRow], Counter[str]]:
        """Return typed rows, the rejected ones, and how many are left out for which reason.

        Typed rows have the features and `__source__`; events also label, time and what else the schema asks for.
        """
        reasons = Reasons(rows.num_rows)
        columns: dict[str, pa.Array] = {}
        for key in self._keys:
            column = source_columns(key, self._config.features[key])[0]
            columns[key] = cells.strings(rows, column)
            reasons.add(pc.equal(columns[key], ""), partial(_is_empty, column))
            lengths = pc.binary_length(columns[key])
            if (pc.max(lengths).as_py() or 0) > MAX_ID_BYTES:
                reasons.add(pc.greater(lengths, MAX_ID_BYTES), partial(_is_long, column))
        for name, feature in self._features.items():
            columns[name] = self._feature(rows, name, feature, reasons)
        if self._signals is not None:
            self._signals.add(rows, columns, reasons)
        columns[SOURCE] = pc.add(rows.column(LINE).combine_chunks(), block.file_index << FILE_INDEX_SHIFT)
        table = pa.table(columns)
        if not reasons.any():
            return table, [], Counter()
        lines = rows.column(LINE).to_numpy()
        texts = rows.drop_columns([LINE])
        rejected = [
            RejectedRow(self._name, block.path, int(lines[row]), reason, _text(texts, row))
            for row, reason in reasons.found()
        ]
        used, left_out = reasons.used()
        return table.filter(pa.array(used)), rejected, left_out

    def _feature(self, rows: pa.Table, name: str, feature: Feature, reasons: Reasons) -> pa.Array:
        if isinstance(feature, NumericFeature):
            column = source_columns(name, feature)[0]
            return pa.array(
                cells.numbers(cells.native(rows, column), column, reasons, is_required=False).astype(np.float32)
            )
        if isinstance(feature, CategoricalFeature) and feature.flags is not None:
            return cells.flags(rows, feature.flags, reasons)
        if isinstance(feature, VectorFeature):
            return number_lists.vectors(rows, source_columns(name, feature)[0], feature, reasons)
        if isinstance(feature, WeightsFeature):
            weighed = self._features[feature.of]
            assert isinstance(weighed, CategoricalFeature)
            columns = [source_columns(n, f)[0] for n, f in ((name, feature), (feature.of, weighed))]
            return number_lists.weights(rows, columns[0], feature, columns[1], weighed, reasons)
        if reads_lists(feature):
            return cells.lists(rows, source_columns(name, feature)[0])
        values = cells.strings(rows, source_columns(name, feature)[0])
        if isinstance(feature, CategoricalFeature) and feature.separator is not None:
            return cells.split(values, feature.separator)
        return values


def _is_empty(column: str, _: int) -> str:
    return f"{column} is empty"


def _is_long(column: str, _: int) -> str:
    return f"{column} is longer than {MAX_ID_BYTES} bytes"


def _text(rows: pa.Table, row: int) -> str:
    return " | ".join(shown(rows.column(name)[row]) for name in rows.column_names)
