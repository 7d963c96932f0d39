"""Texts such as 2024-01-31, 2024-01-31 12:00:00.5 or 2024-01-31T12:00:00+01:00 → ns since 1970."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_NAIVE, _ZONED = pa.timestamp("ns"), pa.timestamp("ns", "UTC")


def iso_nanoseconds(values: pa.Array) -> tuple[pa.Array, np.ndarray]:
    """Read a column of texts.

    Args:
        values: string [rows], "" where missing. Without an offset a time is in UTC; a date is its midnight.

    Returns:
        int64 [rows] with null where nothing is read, and a mask of the texts that are no time (missing ones are not
        in it).

    """
    missing = pc.equal(values, "")
    present = pc.if_else(missing, pa.scalar(None, pa.string()), values)
    for kind in (_NAIVE, _ZONED):  # nearly always all cells are written alike
        try:
            found = pc.cast(present, kind)
        except pa.ArrowInvalid:
            continue
        return pc.cast(found, pa.int64()), np.zeros(len(values), dtype=bool)
    found = _one_by_one(present)
    bad = pc.and_(found.is_null(), pc.invert(missing))
    return found, bad.to_numpy(zero_copy_only=False)


def _one_by_one(present: pa.Array) -> pa.Array:
    """As the cast of the whole column, also for other ways to write UTC and for blanks before an offset."""
    tidy = pc.utf8_trim_whitespace(present)
    tidy = pc.replace_substring_regex(tidy, r"(\d)\s*(?:UTC|GMT|z)$", r"\1Z")
    tidy = pc.replace_substring_regex(tidy, r"(:\d\d(?:\.\d+)?)\s+([+-]\d)", r"\1\2")
    is_zoned = pc.match_substring_regex(pc.utf8_slice_codeunits(tidy, 10, None), "[Z+-]")
    none = pa.scalar(None, pa.string())
    naive = _readable(pc.if_else(is_zoned, none, tidy), _NAIVE)
    zoned = _readable(pc.if_else(is_zoned, tidy, none), _ZONED)
    return pc.coalesce(pc.cast(naive, pa.int64()), pc.cast(zoned, pa.int64()))


def _readable(values: pa.Array, kind: pa.DataType) -> pa.Array:
    """The cast, null where it fails; halving finds the few cells at fault."""
    try:
        return pc.cast(values, kind)
    except pa.ArrowInvalid:
        if len(values) == 1:
            return pa.nulls(1, kind)
        middle = len(values) // 2
        return pa.concat_arrays([_readable(values.slice(0, middle), kind), _readable(values.slice(middle), kind)])
