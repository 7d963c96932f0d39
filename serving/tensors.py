"""TensorProto to NumPy and back, as TF Serving reads and writes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2, types_pb2

Array = np.ndarray[Any, np.dtype[Any]]

_FIELD_BY_DTYPE: dict[int, str] = {
    types_pb2.DT_FLOAT: "float_val",
    types_pb2.DT_DOUBLE: "double_val",
    types_pb2.DT_INT8: "int_val",
    types_pb2.DT_INT16: "int_val",
    types_pb2.DT_INT32: "int_val",
    types_pb2.DT_UINT8: "int_val",
    types_pb2.DT_UINT16: "int_val",
    types_pb2.DT_INT64: "int64_val",
    types_pb2.DT_UINT32: "uint32_val",
    types_pb2.DT_UINT64: "uint64_val",
    types_pb2.DT_BOOL: "bool_val",
    types_pb2.DT_STRING: "string_val",
}


def decode(proto: tensor_pb2.TensorProto) -> Array:
    """Return the array of a TensorProto; strings are an object array of bytes.

    Raises ValueError when the proto does not hold a whole tensor.
    """
    shape = proto.tensor_shape
    if shape.unknown_rank or any(dim.size < 0 for dim in shape.dim):
        raise ValueError("the shape is not fully known")
    try:
        return tf.make_ndarray(proto)
    except (TypeError, KeyError, MemoryError) as error:
        raise ValueError(str(error)) from error


def encode(array: Array, *, as_content: bool = False) -> tensor_pb2.TensorProto:
    """Return the TensorProto of an array, in the dtype's typed field, or as raw `tensor_content` bytes.

    Strings, which have no fixed width, always take `string_val`.
    """
    dtype = tf.dtypes.as_dtype(array.dtype if array.dtype.kind not in "SUO" else "string").as_datatype_enum
    field = _FIELD_BY_DTYPE.get(dtype)
    if field is None:
        return tf.make_tensor_proto(array)
    proto = tensor_pb2.TensorProto(dtype=dtype)
    for size in array.shape:
        proto.tensor_shape.dim.add(size=size)
    if dtype == types_pb2.DT_STRING:
        proto.string_val.extend(_as_bytes(value) for value in array.ravel().tolist())
    elif as_content:
        proto.tensor_content = array.tobytes()
    else:
        getattr(proto, field).extend(array.ravel().tolist())
    return proto


def _as_bytes(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode()
