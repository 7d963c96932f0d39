"""Strings → typed columns under the features' own names; rows with an unusable value are rejected with its reason."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_TIME_MS, LABEL, CategoricalFeature, Feature, NumericFeature, SequenceFeature
from transforms.dataset_config import DatasetConfig, TableName, source_columns
from transforms.read import cells
from transforms.read.blocks import Block
from transforms.read.csv_rows import LINE
from transforms.read.files import InputTable, source_table
from transforms.read.reasons import Reasons
from transforms.read.rejected import RejectedRow

SOURCE = "__source__"  # int64: file index · 2⁴⁰ + line; orders rows as they stand in the log, and is unique
FILE_INDEX_SHIFT = 40


class TypedRows:
    """Converts parsed blocks of one table."""

    def __init__(self, config: DatasetConfig, tables: dict[TableName, InputTable], name: TableName) -> None:
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
            and not isinstance(feature, SequenceFeature)
            and source_table(config, tables, feature_name) == name
            and not (isinstance(feature, CategoricalFeature) and feature.id)
        }

    @property
    def feature_names(self) -> tuple[str, ...]:
        """Features, without the keys, that this table provides."""
        return tuple(self._features)

    @property
    def wanted_columns(self) -> tuple[str, ...]:
        """Columns of the file that are needed."""
        named = [source_columns(key, self._config.features[key])[0] for key in self._keys]
        named += [column for name, feature in self._features.items() for column in source_columns(name, feature)]
        if self._name == "events":
            named += [self._config.label.column] if self._config.label else []
            named += [self._config.timestamp.column] if self._config.timestamp else []
        return tuple(dict.fromkeys(named))

    def convert(self, block: Block, rows: pa.Table) -> tuple[pa.Table, list[RejectedRow]]:
        """Return typed rows (features, `__source__`; events also label and time), and the rejected ones."""
        reasons = Reasons(rows.num_rows)
        columns: dict[str, pa.Array] = {}
        for key in self._keys:
            column = source_columns(key, self._config.features[key])[0]
            columns[key] = cells.strings(rows, column)
            reasons.add(pc.equal(columns[key], ""), partial(_is_empty, column))
        for name, feature in self._features.items():
            columns[name] = self._feature(rows, name, feature, reasons)
        if self._name == "events":
            self._add_label_and_time(rows, columns, reasons)
        columns[SOURCE] = pc.add(rows.column(LINE).combine_chunks(), block.file_index << FILE_INDEX_SHIFT)
        table = pa.table(columns)
        if not reasons.any():
            return table, []
        lines = rows.column(LINE).to_numpy()
        texts = rows.drop_columns([LINE])
        rejected = [
            RejectedRow(self._name, block.path, int(lines[row]), reason, _text(texts, row))
            for row, reason in reasons.found()
        ]
        return table.filter(pa.array(~reasons.mask)), rejected

    def _add_label_and_time(self, rows: pa.Table, columns: dict[str, pa.Array], reasons: Reasons) -> None:
        if self._config.label is not None:
            column = self._config.label.column
            values = cells.numbers(cells.strings(rows, column), column, reasons, is_required=True)
            if self._config.label.threshold is not None:
                values = (values >= self._config.label.threshold).astype(np.float64)
        else:
            values = np.ones(rows.num_rows)  # an event without a label is an interaction that took place
        columns[LABEL] = pa.array(values.astype(np.float32))
        if self._config.timestamp is None:
            columns[EVENT_TIME_MS] = pa.array(np.zeros(rows.num_rows, np.int64))
            return
        columns[EVENT_TIME_MS] = pa.array(cells.times(rows, self._config.timestamp, reasons))

    def _feature(self, rows: pa.Table, name: str, feature: Feature, reasons: Reasons) -> pa.Array:
        if isinstance(feature, NumericFeature):
            column = source_columns(name, feature)[0]
            return pa.array(
                cells.numbers(cells.strings(rows, column), column, reasons, is_required=False).astype(np.float32)
            )
        if isinstance(feature, CategoricalFeature) and feature.flags is not None:
            return cells.flags(rows, feature.flags, reasons)
        values = cells.strings(rows, source_columns(name, feature)[0])
        if isinstance(feature, CategoricalFeature) and feature.separator is not None:
            return cells.split(values, feature.separator)
        return values


def _is_empty(column: str, _: int) -> str:
    return f"{column} is empty"


def _text(rows: pa.Table, row: int) -> str:
    return " | ".join(str(rows.column(name)[row].as_py()) for name in rows.column_names)
