"""Cells of a parsed column → strings, numbers, times or lists; what cannot be read is a reason to reject its row.

A native cell means what its text means in a CSV (see `texts`); numbers only take a shorter way.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from transforms.read.numbers import numbers
from transforms.read.reasons import Reasons
from transforms.read.texts import list_texts, texts, without_empty
from transforms.read.times import times

__all__ = ["flags", "lists", "native", "numbers", "split", "strings", "times"]


def native(rows: pa.Table, column: str) -> pa.Array:
    """The cells in the type that the file gives them, null where missing; of a CSV strings, "" where missing."""
    return rows.column(column).combine_chunks()


def strings(rows: pa.Table, column: str) -> pa.Array:
    """Texts [rows]; "" where missing."""
    return texts(native(rows, column))


def lists(rows: pa.Table, column: str) -> pa.Array:
    """list<string> [rows] without empty and null elements; one element where the cell is no list."""
    return list_texts(native(rows, column))


def split(values: pa.Array, separator: str) -> pa.Array:
    """list<string>; empty parts are left out."""
    parts = pc.split_pattern(values, separator)
    return without_empty(parts.flatten(), parts.offsets.to_numpy())


def flags(rows: pa.Table, columns: tuple[str, ...], reasons: Reasons) -> pa.Array:
    """list<string> of the names of the columns that are 1 or true."""
    is_set = np.zeros((rows.num_rows, len(columns)), dtype=bool)
    for position, flag in enumerate(columns):
        values = strings(rows, flag)
        is_set[:, position] = pc.is_in(values, pa.array(["1", "true"])).to_numpy(zero_copy_only=False)
        bad = pc.invert(pc.is_in(values, pa.array(["0", "1", "false", "true", ""])))
        reasons.add(bad, partial(_not_a_flag, flag, values))
    offsets = np.concatenate([[0], np.cumsum(is_set.sum(axis=1))]).astype(np.int32)
    names = pa.array(columns, pa.string()).take(pa.array(np.nonzero(is_set)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names)


def _not_a_flag(flag: str, values: pa.Array, row: int) -> str:
    return f"flag {flag} is neither 0 nor 1: {values[row].as_py()!r}"
