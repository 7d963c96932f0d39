"""Cells of a time column → Unix time in ms: whole and broken numbers of any unit, ISO texts, native times."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import Timestamp
from transforms.read.iso_times import iso_nanoseconds
from transforms.read.numbers import numbers
from transforms.read.reasons import Reasons
from transforms.read.texts import texts

# Unix times outside the years 1900 to 2200 are another unit, not a time.
_EARLIEST, _LATEST = -2_208_988_800, 7_258_118_400
_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_DAY = 86_400
_WHOLE = r"^-?[1-8]?\d{1,18}$"  # what a 64-bit integer certainly holds


def times(rows: pa.Table, timestamp: Timestamp, reasons: Reasons) -> np.ndarray:
    """int64 [rows], Unix time in ms, cut to whole ones; 0 where the row is rejected. Native times need no unit."""
    column, unit = timestamp.column, timestamp.unit
    values = rows.column(column).combine_chunks()
    if pa.types.is_timestamp(values.type):
        return _calendar(pc.cast(values, pa.int64()), values.type.unit, column, reasons)
    if pa.types.is_date(values.type):
        return _calendar(pc.cast(pc.cast(values, pa.timestamp("s")), pa.int64()), "s", column, reasons)
    if unit == "iso":
        values = texts(values)
        found, bad = iso_nanoseconds(values)
        reasons.add(bad, lambda row: f"{column} is no ISO time such as 2024-01-31 12:00Z: {values[row].as_py()!r}")
        return _calendar(found, "ns", column, reasons, known=bad)
    return _unix(values, column, unit, reasons)


def _calendar(found: pa.Array, unit: str, column: str, reasons: Reasons, known: np.ndarray | None = None) -> np.ndarray:
    missing = found.is_null().to_numpy(zero_copy_only=False)
    reasons.add(missing if known is None else missing & ~known, lambda _: f"{column} is missing")
    milliseconds, outside = _whole(found.fill_null(0).to_numpy(), unit)
    reasons.add(outside, lambda _: f"{column} lies outside the years 1900 to 2200")
    return np.where(outside, 0, milliseconds)


def _unix(values: pa.Array, column: str, unit: str, reasons: Reasons) -> np.ndarray:
    """Whole numbers are read as integers: a float64 holds no Unix time in ns, and few in us, exactly."""
    whole = _integers(values)
    if whole is not None and whole.null_count == 0:
        milliseconds, outside = _whole(whole.to_numpy(), unit)
    else:
        milliseconds, outside = _broken(numbers(values, column, reasons, is_required=True), unit)
        if whole is not None:
            is_whole = whole.is_valid().to_numpy(zero_copy_only=False)
            exact, outside_exactly = _whole(whole.fill_null(0).to_numpy(), unit)
            milliseconds = np.where(is_whole, exact, milliseconds)
            outside = np.where(is_whole, outside_exactly, outside)
    reason = f"{column} is not a Unix time in {unit}; set timestamp.unit to s, ms, us, ns or iso"
    reasons.add(outside, lambda _: reason)
    return np.where(outside, 0, milliseconds)


def _integers(values: pa.Array) -> pa.Array | None:
    """int64, null where a cell is no whole number; None where the column is of another kind."""
    if pa.types.is_integer(values.type) and not pa.types.is_uint64(values.type):
        return pc.cast(values, pa.int64())
    if pa.types.is_floating(values.type):
        return None
    values = texts(values)
    data = values.buffers()[2]
    if data is not None and b"x" not in data.to_pybytes().lower():  # Arrow would read 0x10 as 16
        try:
            return pc.cast(values, pa.int64())
        except pa.ArrowInvalid:
            pass
    is_whole = pc.match_substring_regex(values, _WHOLE)
    return pc.cast(pc.if_else(is_whole, values, pa.scalar(None, pa.string())), pa.int64())


def _whole(found: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """int64 ms, and which lie outside the years."""
    per_second = _PER_SECOND[unit]
    outside = (found < _EARLIEST * per_second) | (found > _LATEST * per_second)
    inside = np.where(outside, 0, found)
    return inside * 1000 // per_second if per_second <= 1000 else inside // (per_second // 1000), outside


def _broken(found: np.ndarray, unit: str) -> tuple[np.ndarray, np.ndarray]:
    """As `_whole`, of float64; NaN, which is rejected already, becomes 0."""
    milliseconds = np.nan_to_num(found) * 1000 / _PER_SECOND[unit]
    outside = (milliseconds < _EARLIEST * 1000) | (milliseconds > _LATEST * 1000)
    inside = np.where(outside, 0, milliseconds)
    nearest = np.rint(inside)
    # 1600000000.001 s is a little less than it says, and must not lose a millisecond for that.
    is_whole = np.abs(inside - nearest) <= 4 * np.spacing(np.abs(inside))
    return np.where(is_whole, nearest, np.floor(inside)).astype(np.int64), outside
