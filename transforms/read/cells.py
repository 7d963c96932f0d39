"""Cells of a parsed column → strings, numbers or lists; what cannot be read becomes a reason to reject its row."""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import Timestamp
from transforms.read.reasons import Reasons

_NUMBER = r"(?i)^\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*$"
_LARGEST = float(np.finfo(np.float32).max)  # what lies above is infinite in a record
# Unix times outside the years 1900 to 2200 are another unit, not a time.
_EARLIEST_MS, _LATEST_MS = -2_208_988_800_000, 7_258_118_400_000


def strings(rows: pa.Table, column: str) -> pa.Array:
    return rows.column(column).combine_chunks()


def numbers(values: pa.Array, column: str, reasons: Reasons, *, is_required: bool) -> np.ndarray:
    """float64 [rows]; NaN where missing. Unparsable, infinite and (if required) missing values are rejected."""
    empty = pc.equal(values, "")
    if is_required:
        reasons.add(empty, lambda _: f"{column} is missing")
    readable = pc.if_else(empty, pa.scalar(None, pa.string()), values)
    try:
        found = pc.cast(readable, pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.fill_null(pc.match_substring_regex(readable, _NUMBER), True)
        reasons.add(pc.invert(is_number), lambda row: f"{column} is not a number: {values[row].as_py()!r}")
        trimmed = pc.utf8_trim_whitespace(pc.if_else(is_number, readable, pa.scalar(None, pa.string())))
        found = pc.cast(trimmed, pa.float64())
    finite = pc.fill_null(pc.less_equal(pc.abs(found), _LARGEST), True)  # NaN is not less either
    reasons.add(pc.invert(finite), lambda row: f"{column} is not a finite number: {values[row].as_py()!r}")
    usable = pc.if_else(finite, found, pa.scalar(None, pa.float64()))
    return pc.fill_null(usable, float("nan")).to_numpy(zero_copy_only=False)


def times(rows: pa.Table, timestamp: Timestamp, reasons: Reasons) -> np.ndarray:
    """int64 [rows], Unix time in ms; 0 where the row is rejected."""
    column, unit = timestamp.column, timestamp.unit
    found = numbers(strings(rows, column), column, reasons, is_required=True)
    found = np.nan_to_num(found * timestamp.milliseconds)
    outside = (found < _EARLIEST_MS) | (found > _LATEST_MS)
    reasons.add(outside, lambda _: f"{column} is not a Unix time in {unit}; set timestamp.unit to s, ms or us")
    return np.where(outside, 0, found).astype(np.int64)


def split(values: pa.Array, separator: str) -> pa.Array:
    """list<string>; empty parts are left out."""
    parts = pc.split_pattern(values, separator)
    flat = parts.flatten()
    keep = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(keep)])
    offsets = before[parts.offsets.to_numpy()]
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat.filter(pa.array(keep)))


def flags(rows: pa.Table, columns: tuple[str, ...], reasons: Reasons) -> pa.Array:
    """list<string> of the names of the columns that are 1."""
    is_set = np.zeros((rows.num_rows, len(columns)), dtype=bool)
    for position, flag in enumerate(columns):
        values = strings(rows, flag)
        is_set[:, position] = pc.equal(values, "1").to_numpy(zero_copy_only=False)
        bad = pc.invert(pc.is_in(values, pa.array(["0", "1", ""])))
        reasons.add(bad, partial(_not_a_flag, flag, values))
    offsets = np.concatenate([[0], np.cumsum(is_set.sum(axis=1))]).astype(np.int32)
    names = pa.array(columns, pa.string()).take(pa.array(np.nonzero(is_set)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


def _not_a_flag(flag: str, values: pa.Array, row: int) -> str:
    return f"flag {flag} is neither 0 nor 1: {values[row].as_py()!r}"
