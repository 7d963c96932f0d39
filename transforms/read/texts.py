"""Native cells → the text that a CSV would hold for the same value. That text says what a value means everywhere."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

EXACT = 2**53  # whole floats below are exact, and are written without a fraction


def text_of(value: Any) -> str:
    """The text of one JSON scalar: null is missing, 42.0 is 42."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer() and abs(value) < EXACT:
        return str(int(value))
    return str(value)


def texts(values: pa.Array) -> pa.Array:
    """Texts [rows] of scalars; "" where missing. As `text_of` for each type that JSON has."""
    kind = values.type
    if pa.types.is_string(kind):
        return values.fill_null("") if values.null_count else values
    if pa.types.is_null(kind):
        return pa.array([""] * len(values), pa.string())
    if pa.types.is_floating(kind):
        return _float_texts(values)
    return pc.cast(values, pa.string()).fill_null("")


def _float_texts(values: pa.Array) -> pa.Array:
    wide = pc.cast(values, pa.float64())
    numbers = wide.fill_null(0.0).to_numpy(zero_copy_only=False)
    is_whole = (np.abs(numbers) < EXACT) & (np.trunc(numbers) == numbers)
    whole = pc.cast(pa.array(np.where(is_whole, numbers, 0).astype(np.int64)), pa.string())
    if not is_whole.all():
        # Arrow writes a float32 as shortly as it can; for float64 its exponents differ from Python's.
        if pa.types.is_float64(values.type):
            others = pa.array([text_of(value) for value in numbers[~is_whole].tolist()], pa.string())
        else:
            others = pc.cast(pc.cast(values, pa.float32()), pa.string()).filter(pa.array(~is_whole))
        whole = pc.replace_with_mask(whole, pa.array(~is_whole), others)
    return pc.if_else(values.is_null(), "", whole) if values.null_count else whole


def shown(cell: pa.Scalar) -> str:
    """A cell for people to look at; also one that Python cannot hold."""
    try:
        return "" if cell.as_py() is None else str(cell.as_py())
    except UnicodeDecodeError:
        return cell.as_buffer().to_pybytes().decode("utf-8", errors="replace")
    except (ValueError, OverflowError):
        return f"{cell.type} {getattr(cell, 'value', '')}"


def list_texts(values: pa.Array) -> pa.Array:
    """list<string> [rows]: the texts of a list's elements, without those missing or empty; a scalar is its list."""
    found = all_list_texts(values)
    return without_empty(found.flatten(), found.offsets.to_numpy())


def all_list_texts(values: pa.Array) -> pa.Array:
    """list<string> [rows]: as `list_texts`, with "" where an element is missing or empty."""
    if pa.types.is_list(values.type):
        flat, offsets = texts(values.flatten()), _offsets(values)
    else:
        flat, offsets = texts(values), np.arange(len(values) + 1)
    return pa.ListArray.from_arrays(pa.array(offsets.astype(np.int32)), flat)


def without_empty(flat: pa.Array, offsets: np.ndarray) -> pa.Array:
    """list<string> of the elements that are not empty; `offsets` say where each row's begin."""
    keep = pc.not_equal(flat, "").to_numpy(zero_copy_only=False)
    before = np.concatenate([[0], np.cumsum(keep)])
    return pa.ListArray.from_arrays(pa.array(before[offsets].astype(np.int32)), flat.filter(pa.array(keep)))


def _offsets(values: pa.Array) -> np.ndarray:
    """Where each row's elements begin in `values.flatten()`, which leaves out what null rows may hide."""
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False)
    return np.concatenate([[0], np.cumsum(lengths)])
