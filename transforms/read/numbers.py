"""Cells → numbers; what is none, or none that a record can hold, becomes a reason to reject its row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.read.reasons import Reasons
from transforms.read.texts import texts

_NUMBER = r"(?i)^\s*[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|nan|inf|infinity)\s*$"
LARGEST = float(np.finfo(np.float32).max)  # what lies above is infinite in a record


def numbers(values: pa.Array, column: str, reasons: Reasons, *, is_required: bool) -> np.ndarray:
    """float64 [rows]; NaN where missing. Unparsable, infinite and (if required) missing values are rejected."""
    if pa.types.is_integer(values.type) or pa.types.is_float64(values.type):
        missing = values.is_null()
        found = pc.cast(values, pa.float64(), safe=False)  # large integers are rounded, as they are from text
    else:  # float32 too: its 0.7 is the text 0.7, but as float64 it would lie below a threshold of 0.7
        values = texts(values)
        missing = pc.equal(values, "")
        found = _parsed(pc.if_else(missing, pa.scalar(None, pa.string()), values), column, reasons)
    if is_required:
        reasons.add(missing, lambda _: f"{column} is missing")
    finite = pc.fill_null(pc.less_equal(pc.abs(found), LARGEST), True)  # NaN is not less either
    reasons.add(pc.invert(finite), lambda row: f"{column} is not a finite number: {_text(values, row)!r}")
    usable = pc.if_else(finite, found, pa.scalar(None, pa.float64()))
    return pc.fill_null(usable, float("nan")).to_numpy(zero_copy_only=False)


def _parsed(readable: pa.Array, column: str, reasons: Reasons) -> pa.Array:
    """float64 with nulls, of strings with nulls."""
    try:
        return pc.cast(readable, pa.float64())
    except pa.ArrowInvalid:
        is_number = pc.fill_null(pc.match_substring_regex(readable, _NUMBER), True)
        reasons.add(pc.invert(is_number), lambda row: f"{column} is not a number: {_text(readable, row)!r}")
        trimmed = pc.utf8_trim_whitespace(pc.if_else(is_number, readable, pa.scalar(None, pa.string())))
        return pc.cast(trimmed, pa.float64())


def _text(values: pa.Array, row: int) -> str:
    text: str = texts(values.slice(row, 1))[0].as_py()
    return text
