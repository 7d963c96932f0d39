"""Arrays as serialized TensorProtos, without the message in between.

A packed field of floats, doubles or truth values is on the wire what it is in the array, so it need not be taken apart
into Python numbers and packed again.
Source: https://protobuf.dev/programming-guides/encoding
"""

from __future__ import annotations

import functools
import sys

import numpy as np
from tensorflow.core.framework import types_pb2

from serving.tensors import NUMBERS, Array, encode

_DTYPE, _SHAPE, _CONTENT = 1, 2, 4
# The field of a TensorProto that packs values as wide as the array's own.
_PACKED = {np.dtype(np.float32): 5, np.dtype(np.float64): 6, np.dtype(np.bool_): 11}
_IS_LITTLE_ENDIAN = sys.byteorder == "little"
_VARINT, _LENGTH_DELIMITED = 0, 2


def varint(number: int) -> bytes:
    """Return a number from 0 on, seven bits in a byte, the lowest first."""
    if number < 0x80:
        return bytes((number,))
    groups = bytearray()
    while number >= 0x80:
        groups.append(number & 0x7F | 0x80)
        number >>= 7
    groups.append(number)
    return bytes(groups)


def delimited(field: int, value: bytes) -> bytes:
    """Return a field that is a text, a message or packed numbers."""
    return b"".join((bytes((field << 3 | _LENGTH_DELIMITED,)), varint(len(value)), value))


def number_field(field: int, number: int) -> bytes:
    """Return a field that is a number from 0 on; 0 is what a field without a value means."""
    return bytes((field << 3 | _VARINT,)) + varint(number) if number else b""


def serialized_tensor(array: Array, *, as_content: bool = False) -> bytes:
    """Return what `encode(array, as_content=as_content).SerializeToString()` returns."""
    field = (_CONTENT if array.dtype in NUMBERS else None) if as_content else _PACKED.get(array.dtype)
    if field is None or not _IS_LITTLE_ENDIAN:
        serialized: bytes = encode(array, as_content=as_content).SerializeToString()
        return serialized
    head = _head(array.dtype, array.shape)
    return head + delimited(field, array.tobytes()) if array.size else head


@functools.lru_cache(maxsize=1024)
def _head(dtype: np.dtype[np.generic], shape: tuple[int, ...]) -> bytes:
    """Return the fields for dtype and shape: the same for one answer as for the next."""
    number = types_pb2.DT_BOOL if dtype == np.bool_ else NUMBERS[dtype]
    dims = b"".join(delimited(2, number_field(1, size)) for size in shape)
    return number_field(_DTYPE, number) + (delimited(_SHAPE, dims) if shape else b"")
