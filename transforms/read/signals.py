"""Label, weight, propensity, request and time of events, from the columns that the config names."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import (
    EVENT_TIME_MS,
    LABEL,
    PROPENSITY,
    REQUEST_ID,
    WEIGHT,
    Label,
    Schema,
    SequenceFeature,
    SignalWeight,
    TypeWeight,
    Weight,
)
from transforms.filters import TimeLimits
from transforms.read import cells
from transforms.read.numbers import LARGEST
from transforms.read.reasons import Reasons

LABEL_VALUE = "__label_value__"  # float32: the label before its threshold, for sequences


class EventSignals:
    """Adds the columns that make a row an event."""

    def __init__(self, schema: Schema, limits: TimeLimits) -> None:
        self._schema = schema
        self._limits = limits
        self._keeps_value = needs_label_value(schema)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns of the log that are read."""
        schema = self._schema
        named = [part.column for part in (schema.label, schema.propensity, schema.request, schema.timestamp) if part]
        named += [target.column for target in schema.targets.values()]
        return (*named, *(schema.weight.columns if schema.weight else ()))

    def add(self, rows: pa.Table, columns: dict[str, pa.Array], reasons: Reasons) -> None:
        """Add to `columns` what the schema asks for; unusable and unwanted rows go to `reasons`."""
        schema = self._schema
        value, label = _labels(rows, schema.label, reasons, is_required=True)
        columns[LABEL] = pa.array(label.astype(np.float32))
        if self._keeps_value:
            columns[LABEL_VALUE] = pa.array(value.astype(np.float32))
        for name, target in schema.targets.items():
            columns[name] = pa.array(_labels(rows, target, reasons, is_required=False)[1].astype(np.float32))
        if schema.weight is not None:
            columns[WEIGHT] = pa.array(_weights(rows, schema.weight, reasons).astype(np.float32))
        if schema.propensity is not None:
            columns[PROPENSITY] = pa.array(_propensities(rows, schema.propensity.column, reasons).astype(np.float32))
        if schema.request is not None:
            columns[REQUEST_ID] = cells.strings(rows, schema.request.column)
        if schema.timestamp is None:
            columns[EVENT_TIME_MS] = pa.array(np.zeros(rows.num_rows, np.int64))
            return
        times = cells.times(rows, schema.timestamp, reasons)
        self._limits.check(times, schema.timestamp.column, reasons)
        columns[EVENT_TIME_MS] = pa.array(times)


def needs_label_value(schema: Schema) -> bool:
    """Whether a sequence shows the label's value as it was before the threshold."""
    sequences = [name for name, feature in schema.features.items() if isinstance(feature, SequenceFeature)]
    return any(schema.sequence_source(name) == LABEL for name in sequences)


def _labels(
    rows: pa.Table, label: Label | None, reasons: Reasons, *, is_required: bool
) -> tuple[np.ndarray, np.ndarray]:
    """float64 [rows] each: the value, and the label; NaN where it may be missing and is."""
    if label is None:  # an event without a label is an interaction that took place
        ones = np.ones(rows.num_rows)
        return ones, ones
    if label.values is not None:
        tokens = cells.strings(rows, label.column)
        is_missing = pc.equal(tokens, "")
        if is_required:
            reasons.add(is_missing, lambda _: f"{label.column} is missing")
        is_one = pc.is_in(tokens, pa.array(label.values, pa.string())).to_numpy(zero_copy_only=False)
        found = np.where(is_missing.to_numpy(zero_copy_only=False), np.nan, is_one)
        return found, found
    value = cells.numbers(cells.native(rows, label.column), label.column, reasons, is_required=is_required)
    if label.threshold is None:
        return value, value
    return value, np.where(np.isnan(value), np.nan, value >= label.threshold)


def _weights(rows: pa.Table, weight: Weight, reasons: Reasons) -> np.ndarray:
    """float64 [rows]: the product of the parts."""
    total = np.ones(rows.num_rows)
    if weight.column is not None:
        total = total * _not_negative(rows, weight.column, reasons, is_required=True)
    if weight.by_type is not None:
        total = total * _type_weights(rows, weight.by_type, reasons)
    if weight.by_signal is not None:
        total = total * _signal_weights(rows, weight.by_signal, reasons)
    reasons.add(total > LARGEST, lambda _: "the weight is not a finite number")
    return np.minimum(total, LARGEST)


def _type_weights(rows: pa.Table, rule: TypeWeight, reasons: Reasons) -> np.ndarray:
    types = cells.strings(rows, rule.column)
    at = pc.index_in(types, pa.array(list(rule.weights), pa.string()))
    values = np.array([*rule.weights.values(), rule.other or 0.0])
    row = pc.fill_null(at, len(rule.weights)).to_numpy(zero_copy_only=False)
    if rule.other is None:
        unlisted = at.is_null().to_numpy(zero_copy_only=False)
        reasons.leave_out(unlisted, f"{rule.column} is of a type without a weight")
    return values[row]


def _signal_weights(rows: pa.Table, rule: SignalWeight, reasons: Reasons) -> np.ndarray:
    x = np.nan_to_num(_not_negative(rows, rule.column, reasons, is_required=False))
    if rule.of is not None:
        whole = np.nan_to_num(_not_negative(rows, rule.of, reasons, is_required=False))
        with np.errstate(over="ignore"):  # by almost nothing: `cap` is there for that, else the row is rejected
            x = np.divide(x, whole, out=np.zeros_like(x), where=whole > 0)
    if rule.cap is not None:
        x = np.minimum(x, rule.cap)
    return rule.base + rule.alpha * (np.log1p(x / rule.scale) if rule.formula == "log" else x)


def _not_negative(rows: pa.Table, column: str, reasons: Reasons, *, is_required: bool) -> np.ndarray:
    values = cells.numbers(cells.native(rows, column), column, reasons, is_required=is_required)
    reasons.add(values < 0, lambda row: f"{column} is negative: {values[row]:g}")
    return np.maximum(values, 0.0)


def _propensities(rows: pa.Table, column: str, reasons: Reasons) -> np.ndarray:
    values = cells.numbers(cells.native(rows, column), column, reasons, is_required=True)
    outside = ~((values > 0) & (values <= 1))
    reasons.add(outside, lambda row: f"{column} is not a probability above 0 and up to 1: {values[row]:g}")
    return values
