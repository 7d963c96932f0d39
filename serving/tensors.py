"""TensorProto to NumPy and back, as TF Serving reads and writes them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

Array = np.ndarray[Any, np.dtype[Any]]

# The field of a TensorProto that holds each dtype's values, and the dtype in NumPy.
_FIELDS: dict[int, tuple[str, np.dtype[Any]]] = {
    types_pb2.DT_FLOAT: ("float_val", np.dtype(np.float32)),
    types_pb2.DT_DOUBLE: ("double_val", np.dtype(np.float64)),
    types_pb2.DT_INT8: ("int_val", np.dtype(np.int8)),
    types_pb2.DT_INT16: ("int_val", np.dtype(np.int16)),
    types_pb2.DT_INT32: ("int_val", np.dtype(np.int32)),
    types_pb2.DT_UINT8: ("int_val", np.dtype(np.uint8)),
    types_pb2.DT_UINT16: ("int_val", np.dtype(np.uint16)),
    types_pb2.DT_INT64: ("int64_val", np.dtype(np.int64)),
    types_pb2.DT_UINT32: ("uint32_val", np.dtype(np.uint32)),
    types_pb2.DT_UINT64: ("uint64_val", np.dtype(np.uint64)),
    types_pb2.DT_BOOL: ("bool_val", np.dtype(np.bool_)),
    types_pb2.DT_STRING: ("string_val", np.dtype(object)),
}
_DTYPES: dict[np.dtype[Any], int] = {numpy_dtype: dtype for dtype, (_, numpy_dtype) in _FIELDS.items()}
# Those whose values have a fixed width, with their number in types.proto.
NUMBERS = {numpy_dtype: dtype for numpy_dtype, dtype in _DTYPES.items() if not numpy_dtype.hasobject}

# A small message may ask for a huge tensor: one value fills any shape.
MAX_BYTES = 2**31 - 1
_OTHER = ("", np.dtype(object))
_LARGEST_ITEM_BYTES = 16  # complex128
_STRING_BYTES = 24  # of TensorFlow's string, beside its text


def decode(proto: tensor_pb2.TensorProto, max_bytes: int = MAX_BYTES) -> Array:
    """Return the array of a TensorProto; strings are an object array of bytes. It may be read-only.

    Raises ValueError when the proto does not hold a whole tensor, or one of more than `max_bytes`.
    """
    # Each look into a message makes an object, so each is taken once: on small tensors they are most of the time.
    tensor_shape = proto.tensor_shape
    shape = [dim.size for dim in tensor_shape.dim]
    if tensor_shape.unknown_rank or (shape and min(shape) < 0):
        raise ValueError("the shape is not fully known")
    size = math.prod(shape)
    dtype = proto.dtype
    field, numpy_dtype = _FIELDS.get(dtype, _OTHER)
    num_bytes = size * (numpy_dtype.itemsize if field else _LARGEST_ITEM_BYTES)
    if dtype == types_pb2.DT_STRING:
        num_bytes += _bytes_of_filled_text(proto, size)
    if num_bytes > max_bytes:
        raise ValueError(f"the shape {shape} takes more than {max_bytes} bytes")
    try:
        # Not `tf.make_ndarray` for all: on small tensors it takes as long as a small model's whole run.
        if not field:
            return tf.make_ndarray(proto)
        content = proto.tensor_content
        if content and not numpy_dtype.hasobject:
            return np.frombuffer(content, numpy_dtype).reshape(shape)
        return _filled(getattr(proto, field), numpy_dtype, size).reshape(shape)
    except (TypeError, KeyError, OverflowError, MemoryError) as error:
        raise ValueError(str(error)) from error


def _bytes_of_filled_text(proto: tensor_pb2.TensorProto, size: int) -> int:
    """Return what a string tensor of `size` takes beyond what the message holds: its last text once for each place."""
    num_given = len(proto.string_val)
    if size <= num_given:
        return 0
    text_bytes = len(proto.string_val[-1]) if num_given else 0
    return (size - num_given) * (text_bytes + _STRING_BYTES)


def _filled(values: Sequence[Any], numpy_dtype: np.dtype[Any], size: int) -> Array:
    """Return `size` values: the last one given fills the rest, and none at all means zeros."""
    if len(values) > size:
        raise ValueError(f"{len(values)} values for {size} places")
    given = np.fromiter(values, numpy_dtype, count=len(values))
    if len(given) == size:
        return given
    rest = given[-1] if len(given) else (b"" if numpy_dtype.hasobject else 0)
    filled = np.full(size, rest, dtype=numpy_dtype)
    filled[: len(given)] = given
    return filled


def encode(array: Array, *, as_content: bool = False) -> tensor_pb2.TensorProto:
    """Return the TensorProto of an array, in the dtype's typed field, or as raw `tensor_content` bytes.

    Strings, which have no fixed width, always take `string_val`.
    """
    dtype = types_pb2.DT_STRING if array.dtype.kind in "SUO" else _DTYPES.get(array.dtype)
    if dtype is None:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == types_pb2.DT_STRING:
        proto.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, _FIELDS[dtype][0]).extend(array.ravel().tolist())
    return proto


def _as_bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
