"""One Arrow column → the bytes of its feature in every record, ready to be painted.

On the wire a feature is `map entry{key, Feature{Int64List | FloatList | BytesList}}`, every level with its length in
front. All that stands before the values depends on their length in bytes alone, and few lengths occur: these headers
are made in plain Python, once for each length.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tfrec.codec import wire
from tfrec.codec.wire import Bytes, Cells, Ints
from tfrec.errors import SchemaError

LENGTH_DELIMITED_1 = b"\x0a"  # field 1: Example.features, Features.feature, map key, the values of a list
_MAP_VALUE = b"\x12"  # field 2 of a map entry
_BYTES_LIST, _FLOAT_LIST, _INT64_LIST = b"\x0a", b"\x12", b"\x1a"  # fields 1, 2, 3 of Feature


@dataclass(frozen=True)
class Strings:
    """Content of strings: string i is `content[starts[i] : starts[i] + sizes[i]]`."""

    content: Bytes
    starts: Ints
    sizes: Ints


@dataclass(frozen=True)
class Column:
    """A feature of all rows: in each a header, then its values.

    Attributes:
        headers: one for each row; of single numbers with the number behind it.
        lengths: bytes of the whole feature in each row. int64 [rows], or one number for all
        values: what follows the headers, over all rows: numbers, or the tags and lengths of strings.
        counts: values of each row. int64 [rows]
        strings: what follows each tag and length.

    """

    headers: Cells
    lengths: Ints | int
    values: Cells | None = None
    counts: Ints | None = None
    strings: Strings | None = None

    def paint(self, out: Bytes, positions: Ints, *, exact: bool) -> None:
        """Copy the feature of each row to its position in `out`; `exact` as for `wire.paint`."""
        wire.paint(out, positions, self.headers, exact=exact)
        if self.values is None or self.counts is None:
            return
        sizes = self.values.sizes if self.strings is None else self.values.sizes + self.strings.sizes
        ends = wire.ends_of(sizes, len(self.values.items))
        first = np.cumsum(self.counts) - self.counts
        before_row = np.concatenate([[0], ends])[first]
        places = np.repeat(positions + self.headers.sizes - before_row, self.counts) + (ends - sizes)
        wire.paint(out, places, self.values, exact=exact)
        if self.strings is not None:
            places += self.values.sizes
            wire.paint_strings(out, places, self.strings.content, self.strings.starts, self.strings.sizes)


def column_of(name: str, array: pa.Array) -> Column:
    """Lay out one feature.

    Raises:
        SchemaError: its type, or one of its values, does not fit a tf.train.Example.

    """
    values, counts = _values_and_counts(name, array)
    kind = values.type
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return _numbers(name, _INT64_LIST, wire.varints(_integers(name, values)), counts)
    if pa.types.is_floating(kind):
        with np.errstate(over="ignore"):  # a float64 that float32 cannot hold becomes an infinity
            floats = np.ascontiguousarray(values.to_numpy(zero_copy_only=False), dtype="<f4")
        return _numbers(name, _FLOAT_LIST, Cells(floats, 4), counts)
    if any(of_kind(kind) for of_kind in _STRING_TYPES):
        return _strings(name, values, counts)
    raise SchemaError(
        f"column {name!r} of type {kind} does not fit a tf.train.Example; use int, float, string or lists of these"
    )


_STRING_TYPES = (
    pa.types.is_string,
    pa.types.is_binary,
    pa.types.is_large_string,
    pa.types.is_large_binary,
    pa.types.is_fixed_size_binary,
)


def _numbers(name: str, tag: bytes, numbers: Cells, counts: Ints | None) -> Column:
    if counts is None:
        if (together := _with_header(name, tag, numbers)) is not None:
            return Column(together, together.sizes)
        counts = np.ones(len(numbers.items), np.int64)
    payload = _sums(numbers.sizes, counts)
    headers = _headers(name, tag, payload, is_packed=True)
    return Column(headers, headers.sizes + payload, numbers, counts)


def _with_header(name: str, tag: bytes, numbers: Cells) -> Cells | None:
    """Header and number as one item; None where headers differ in length (a name of some 115 bytes)."""
    width = numbers.items.itemsize
    sizes = [numbers.sizes] if isinstance(numbers.sizes, int) else range(1, width + 1)
    table = wire.table_of([_header(name.encode(), tag, size, True) for size in sizes])
    if not isinstance(table.sizes, int):
        return None
    both = np.empty(len(numbers.items), [("header", table.items.dtype), ("number", numbers.items.dtype)])
    if isinstance(numbers.sizes, int):
        both["header"] = table.items[0]
    else:
        both["header"] = table.items.take(numbers.sizes - 1)
    both["number"] = numbers.items
    return Cells(both, table.sizes + numbers.sizes)


def _strings(name: str, values: pa.Array, counts: Ints | None) -> Column:
    binary = values.cast(pa.large_binary())
    ends = np.frombuffer(binary.buffers()[1], np.int64)[binary.offset : binary.offset + len(binary) + 1]
    data = binary.buffers()[2]
    content = np.zeros(0, np.uint8) if data is None else np.frombuffer(data, np.uint8)
    sizes = np.diff(ends)
    lengths = wire.varints(sizes)
    tagged = np.empty(len(sizes), [("tag", np.uint8), ("length", lengths.items.dtype)])
    tagged["tag"] = LENGTH_DELIMITED_1[0]
    tagged["length"] = lengths.items
    tags = Cells(tagged, lengths.sizes + 1)
    if counts is None:
        counts = np.ones(len(sizes), np.int64)
    payload = _sums(tags.sizes + sizes, counts)
    headers = _headers(name, _BYTES_LIST, payload, is_packed=False)
    return Column(headers, headers.sizes + payload, tags, counts, Strings(content, ends[:-1], sizes))


def _headers(name: str, tag: bytes, payload: Ints, *, is_packed: bool) -> Cells:
    """The header of each row, by the bytes that its values take. [rows]"""
    distinct, inverse = wire.distinct(payload)
    key = name.encode()
    table = wire.table_of([_header(key, tag, length, is_packed) for length in distinct.tolist()] or [b"\0"])
    sizes = table.sizes if isinstance(table.sizes, int) else table.sizes[inverse]
    return Cells(table.items[inverse], sizes)


@functools.lru_cache(maxsize=1 << 14)
def _header(key: bytes, tag: bytes, payload: int, is_packed: bool) -> bytes:
    """Tags and lengths from the map entry down to values that take `payload` bytes."""
    # Numbers stand packed in one length-delimited field; where there are none it is left out.
    inner = LENGTH_DELIMITED_1 + plain_varint(payload) if is_packed and payload else b""
    inner = tag + plain_varint(len(inner) + payload) + inner
    inner = _MAP_VALUE + plain_varint(len(inner) + payload) + inner
    inner = LENGTH_DELIMITED_1 + plain_varint(len(key)) + key + inner
    return LENGTH_DELIMITED_1 + plain_varint(len(inner) + payload) + inner


def plain_varint(value: int) -> bytes:
    """Base-128 varint of one number that is at least 0."""
    result = bytearray()
    while value > 0x7F:
        result.append(value & 0x7F | 0x80)
        value >>= 7
    result.append(value)
    return bytes(result)


def _sums(sizes: Ints | int, counts: Ints) -> Ints:
    """Bytes of each row's values."""
    if isinstance(sizes, int):
        return counts * sizes
    ends = np.concatenate([[0], np.cumsum(sizes)])
    return np.diff(ends[np.concatenate([[0], np.cumsum(counts)])])


def _integers(name: str, values: pa.Array) -> np.ndarray[Any, np.dtype[np.integer[Any]]]:
    if pa.types.is_uint64(values.type):
        try:
            values = values.cast(pa.int64())
        except pa.ArrowInvalid:
            raise SchemaError(
                f"column {name!r} holds a number above 2⁶³ − 1, which an Int64List cannot; cast it, or use a string"
            ) from None
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.int8())
    return values.to_numpy(zero_copy_only=False)


def _values_and_counts(name: str, array: pa.Array) -> tuple[pa.Array, Ints | None]:
    """Flat values without nulls, and how many each row has; None where it is exactly one in every row."""
    counts: Ints | None = None
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        counts = array.value_lengths().fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
        array = array.flatten()  # leaves the values of null lists out
        if array.null_count:
            raise SchemaError(f"column {name!r}: a list holds a null; leave the value out of the list")
    elif array.null_count:
        counts = array.is_valid().to_numpy(zero_copy_only=False).astype(np.int64)
        array = array.drop_null()
    return (array.dictionary_decode() if pa.types.is_dictionary(array.type) else array), counts
