"""Cells of several numbers: vectors, and weights beside the values that they weigh."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.schema import CategoricalFeature, VectorFeature, WeightsFeature
from transforms.read.cells import native
from transforms.read.numbers import numbers
from transforms.read.reasons import Reasons
from transforms.read.texts import texts
from transforms.steps.lists import list_array

_BRACKETS = "[]()"  # around the numbers of a cell, as programs print them


def vectors(rows: pa.Table, column: str, feature: VectorFeature, reasons: Reasons) -> pa.Array:
    """list<float32> [rows], each of `length` numbers, or empty where missing; other cells reject their row.

    Where blanks divide the numbers, several do so too: NumPy prints `[ 1.  -0.5]`.
    """
    cells = native(rows, column)
    if feature.separator is not None:
        cells = pc.utf8_trim(texts(cells), f"{_BRACKETS} \t")
        if feature.separator == " ":
            cells = pc.replace_substring_regex(cells, r" +", " ")
    flat, lengths = _parts(cells, feature.separator)
    values = _numbers(flat, lengths, column, reasons)
    is_odd = (lengths != 0) & (lengths != feature.length)
    reasons.add(is_odd, lambda row: f"{column} is not a vector of {feature.length} numbers: it has {lengths[row]}")
    reasons.add(_any(np.isnan(values), lengths), lambda _: f"{column} lacks one of the numbers of its vector")
    return list_array(lengths, values)


def weights(
    rows: pa.Table,
    column: str,
    feature: WeightsFeature,
    weighed_column: str,
    weighed: CategoricalFeature,
    reasons: Reasons,
) -> pa.Array:
    """list<float32> [rows]: the weight of each value that the weighed feature keeps, NaN where none is given.

    A value that is empty is left out there, and its weight here. Negative weights, and more of them than values, reject
    their row.
    """
    flat, lengths = _parts(native(rows, column), feature.separator)
    given = _numbers(flat, lengths, column, reasons)
    reasons.add(_any(given < 0, lengths), lambda _: f"{column} holds a negative weight")
    tokens, of_tokens = _parts(native(rows, weighed_column), weighed.separator)
    reasons.add(
        lengths > of_tokens,
        lambda row: f"{column} has more weights than {weighed_column} has values: {lengths[row]} for {of_tokens[row]}",
    )
    beside = np.full(len(tokens), np.nan, np.float32)
    place = np.arange(len(given)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    fits = place < np.repeat(of_tokens, lengths)
    beside[(np.repeat(np.cumsum(of_tokens) - of_tokens, lengths) + place)[fits]] = given[fits]
    is_kept = pc.not_equal(texts(tokens), "").to_numpy(zero_copy_only=False)
    row = np.repeat(np.arange(rows.num_rows), of_tokens)
    return list_array(np.bincount(row[is_kept], minlength=rows.num_rows), beside[is_kept])


def _parts(values: pa.Array, separator: str | None) -> tuple[pa.Array, np.ndarray]:
    """The elements of all cells, empty ones too, and how many each has; a missing cell has none.

    Without a separator a cell that is no list is one element.
    """
    if not pa.types.is_list(values.type):
        cells = texts(values)
        cells = pc.if_else(pc.equal(cells, ""), pa.scalar(None, pa.string()), cells)
        if separator is None:
            return cells.drop_null(), cells.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        values = pc.split_pattern(cells, separator)
    lengths = pc.list_value_length(values).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return values.flatten(), lengths


def _numbers(flat: pa.Array, lengths: np.ndarray, column: str, reasons: Reasons) -> np.ndarray:
    """float32 [elements], NaN where missing; an element that is no number rejects its row."""
    if pa.types.is_float32(flat.type):
        flat = pc.cast(flat, pa.float64())  # there and back it is the same number, without a way through its text
    of_elements = Reasons(len(flat))
    values = numbers(flat, column, of_elements, is_required=False)
    if of_elements.any():
        row = np.repeat(np.arange(len(lengths)), lengths)
        of_rows = {int(row[at]): reason for at, reason in reversed(of_elements.found())}  # the first one stays
        reasons.add(_any(of_elements.mask, lengths), of_rows.__getitem__)
        values = np.where(of_elements.mask, 0.0, values)  # they have their reason already
    return values.astype(np.float32)


def _any(elements: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Bool [rows]: whether any element of a row is true."""
    row = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(row[elements], minlength=len(lengths)) > 0
