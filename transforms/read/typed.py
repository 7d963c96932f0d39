"""Strings → typed columns under the features' own names; rows with an unusable value are rejected with its reason."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import EVENT_TIME_MS, LABEL, CategoricalFeature, Feature, NumericFeature, SequenceFeature
from transforms.dataset_config import DatasetConfig, TableName, source_columns
from transforms.read.blocks import Block
from transforms.read.csv_rows import LINE
from transforms.read.files import InputTable, source_table
from transforms.read.rejected import RejectedRow

SOURCE = "__source__"  # int64: file index · 2⁴⁰ + line; orders rows as they stand in the log, and is unique
FILE_INDEX_SHIFT = 40
_NUMBER = r"(?i)^\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*$"
_LARGEST = float(np.finfo(np.float32).max)  # what lies above is infinite in a record
# Unix times outside the years 1900 to 2200 are another unit, not a time.
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 7_258_118_400_000


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
        reasons = _Reasons(rows.num_rows)
        columns: dict[str, pa.Array] = {}
        for key in self._keys:
            column = source_columns(key, self._config.features[key])[0]
            columns[key] = _strings(rows, column)
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

    def _add_label_and_time(self, rows: pa.Table, columns: dict[str, pa.Array], reasons: _Reasons) -> None:
        if self._config.label is not None:
            column = self._config.label.column
            values = _numbers(_strings(rows, column), column, reasons, is_required=True)
            if self._config.label.threshold is not None:
                values = (values >= self._config.label.threshold).astype(np.float64)
        else:
            values = np.ones(rows.num_rows)  # an event without a label is an interaction that took place
        columns[LABEL] = pa.array(values.astype(np.float32))
        if self._config.timestamp is None:
            columns[EVENT_TIME_MS] = pa.array(np.zeros(rows.num_rows, np.int64))
            return
        column = self._config.timestamp.column
        times = _numbers(_strings(rows, column), column, reasons, is_required=True)
        times = np.nan_to_num(times * self._config.timestamp.milliseconds)
        outside = (times < _EARLIEST_MS) | (times > _LATEST_MS)
        unit = self._config.timestamp.unit
        reasons.add(outside, lambda _: f"{column} is not a Unix time in {unit}; set timestamp.unit to s, ms or us")
        columns[EVENT_TIME_MS] = pa.array(np.where(outside, 0, times).astype(np.int64))

    def _feature(self, rows: pa.Table, name: str, feature: Feature, reasons: _Reasons) -> pa.Array:
        if isinstance(feature, NumericFeature):
            column = source_columns(name, feature)[0]
            return pa.array(_numbers(_strings(rows, column), column, reasons, is_required=False).astype(np.float32))
        if isinstance(feature, CategoricalFeature) and feature.flags is not None:
            return _flags(rows, feature.flags, reasons)
        strings = _strings(rows, source_columns(name, feature)[0])
        if isinstance(feature, CategoricalFeature) and feature.separator is not None:
            return _split(strings, feature.separator)
        return strings


class _Reasons:
    """The first reason to reject each row, if any."""

    def __init__(self, rows: int) -> None:
        self.mask = np.zeros(rows, dtype=bool)
        self._found: dict[int, str] = {}

    def add(self, bad: pa.Array | np.ndarray, reason: Callable[[int], str]) -> None:
        bad = bad if isinstance(bad, np.ndarray) else bad.to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(bad & ~self.mask).tolist():
            self._found[row] = reason(row)
        self.mask |= bad

    def any(self) -> bool:
        return bool(self._found)

    def found(self) -> list[tuple[int, str]]:
        return sorted(self._found.items())


def _strings(rows: pa.Table, column: str) -> pa.Array:
    return rows.column(column).combine_chunks()


def _numbers(values: pa.Array, column: str, reasons: _Reasons, *, is_required: bool) -> np.ndarray:
    """float64 [rows]; NaN where missing. Unparsable, infinite and (if required) missing values are rejected."""
    empty = pc.equal(values, "")
    if is_required:
        reasons.add(empty, lambda _: f"{column} is missing")
    readable = pc.if_else(empty, pa.scalar(None, pa.string()), values)
    try:
        numbers = pc.cast(readable, pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.fill_null(pc.match_substring_regex(readable, _NUMBER), True)
        reasons.add(pc.invert(is_number), lambda row: f"{column} is not a number: {values[row].as_py()!r}")
        trimmed = pc.utf8_trim_whitespace(pc.if_else(is_number, readable, pa.scalar(None, pa.string())))
        numbers = pc.cast(trimmed, pa.float64())
    finite = pc.fill_null(pc.less_equal(pc.abs(numbers), _LARGEST), True)  # NaN is not less either
    reasons.add(pc.invert(finite), lambda row: f"{column} is not a finite number: {values[row].as_py()!r}")
    usable = pc.if_else(finite, numbers, pa.scalar(None, pa.float64()))
    return pc.fill_null(usable, float("nan")).to_numpy(zero_copy_only=False)


def _split(strings: pa.Array, separator: str) -> pa.Array:
    """list<string>; empty parts are left out."""
    parts = pc.split_pattern(strings, separator)
    flat = parts.flatten()
    keep = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(keep)])
    offsets = before[parts.offsets.to_numpy()]
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat.filter(pa.array(keep)))


def _flags(rows: pa.Table, flags: tuple[str, ...], reasons: _Reasons) -> pa.Array:
    """list<string> of the names of the columns that are 1."""
    is_set = np.zeros((rows.num_rows, len(flags)), dtype=bool)
    for position, flag in enumerate(flags):
        values = _strings(rows, flag)
        is_set[:, position] = pc.equal(values, "1").to_numpy(zero_copy_only=False)
        bad = pc.invert(pc.is_in(values, pa.array(["0", "1", ""])))
        reasons.add(bad, partial(_not_a_flag, flag, values))
    offsets = np.concatenate([[0], np.cumsum(is_set.sum(axis=1))]).astype(np.int32)
    names = pa.array(flags, pa.string()).take(pa.array(np.nonzero(is_set)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


def _is_empty(column: str, _: int) -> str:
    return f"{column} is empty"


def _not_a_flag(flag: str, values: pa.Array, row: int) -> str:
    return f"flag {flag} is neither 0 nor 1: {values[row].as_py()!r}"


def _text(rows: pa.Table, row: int) -> str:
    return " | ".join(str(rows.column(name)[row].as_py()) for name in rows.column_names)
