"""JSON values to the values of a tensor: strict about types, as TF Serving is."""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import types_pb2

from serving.server.rest.json_text import shown, type_name
from serving.server.status import StatusError, invalid_argument, unimplemented

Convert = Callable[[Any], Any]

_BASE64_KEY = "b64"
_INT32, _INT64 = (-(2**31), 2**31 - 1), (-(2**63), 2**63 - 1)
_UINT32, _UINT64 = (0, 2**32 - 1), (0, 2**64 - 1)
# dtype → largest whole number that it holds exactly, largest number
_FLOATS = {
    types_pb2.DT_FLOAT: ("float", 2**24 - 1, float.fromhex("0x1.fffffep+127")),
    types_pb2.DT_DOUBLE: ("double", 2**53 - 1, math.inf),
}
_INTEGERS = {
    types_pb2.DT_INT8: ("int_val", _INT32),
    types_pb2.DT_INT16: ("int_val", _INT32),
    types_pb2.DT_INT32: ("int_val", _INT32),
    types_pb2.DT_UINT8: ("int_val", _INT32),
    types_pb2.DT_INT64: ("int64_val", _INT64),
    types_pb2.DT_UINT32: ("uint32_val", _UINT32),
    types_pb2.DT_UINT64: ("uint64_val", _UINT64),
}
_TYPE_NAMES = {types_pb2.DT_FLOAT: "float", types_pb2.DT_DOUBLE: "double", types_pb2.DT_HALF: "half"}


def field_and_converter(dtype: int) -> tuple[str, Convert]:
    """Return the TensorProto field that holds a dtype's values, and what turns one JSON value into one of them.

    The converter raises StatusError for a value of another type.
    """
    if dtype in _FLOATS:
        return ("float_val" if dtype == types_pb2.DT_FLOAT else "double_val"), _float_converter(dtype)
    if dtype in _INTEGERS:
        field, (low, high) = _INTEGERS[dtype]
        return field, _integer_converter(dtype, low, high)
    if dtype == types_pb2.DT_STRING:
        return "string_val", _text
    if dtype == types_pb2.DT_BOOL:
        return "bool_val", _boolean
    return "string_val", _unsupported(dtype)


def is_base64(value: Any) -> bool:
    """Tell whether a value is `{"b64": "…"}`, which stands for bytes."""
    return isinstance(value, dict) and len(value) == 1 and isinstance(value.get(_BASE64_KEY), str)


def decode_base64(value: Any) -> bytes:
    """Return the bytes of `{"b64": "…"}`. Raises StatusError for anything else."""
    if not is_base64(value):
        raise invalid_argument(f"JSON Value: {shown(value)} not formatted correctly for base64 data")
    text = value[_BASE64_KEY]
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        raise invalid_argument("Unable to base64 decode") from None


def encode_text(value: str) -> bytes:
    """Return a JSON string's bytes. Raises StatusError for half a surrogate pair, which has none."""
    try:
        return value.encode()
    except UnicodeEncodeError as error:
        raise invalid_argument(
            f"JSON Parse error: The surrogate pair in string is invalid. at offset: {error.start}"
        ) from None


def _type_error(value: Any, dtype: int) -> StatusError:
    name = _TYPE_NAMES.get(dtype) or tf.dtypes.as_dtype(dtype).name
    return invalid_argument(f"JSON Value: {shown(value)} Type: {type_name(value)} is not of expected type: {name}")


def lossless_float(value: Any, dtype: int = types_pb2.DT_FLOAT) -> float:
    """Return a JSON number as a float. Raises StatusError where digits would be lost."""
    name, largest_whole, largest = _FLOATS[dtype]
    if type(value) is int and _INT64[0] <= value <= _UINT64[1]:
        if abs(value) > largest_whole:
            raise invalid_argument(f"Cannot convert JSON value: {value} to {name} without loss of precision.")
        return value
    try:
        number = float(value)
    except OverflowError:
        raise invalid_argument("JSON Parse error: Number too big to be stored in double.") from None
    if math.isfinite(number) and abs(number) > largest:
        raise invalid_argument(f"Cannot convert JSON value: {shown(value)} to {name} without loss of precision.")
    return number


def _float_converter(dtype: int) -> Convert:
    def convert(value: Any) -> float:
        if type(value) is not float and type(value) is not int:
            raise _type_error(value, dtype)
        return lossless_float(value, dtype)

    return convert


def _integer_converter(dtype: int, low: int, high: int) -> Convert:
    def convert(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise _type_error(value, dtype)
        return value

    return convert


def _text(value: Any) -> bytes:
    if isinstance(value, dict):
        return decode_base64(value)
    if not isinstance(value, str):
        raise _type_error(value, types_pb2.DT_STRING)
    return encode_text(value)


def _boolean(value: Any) -> bool:
    if not isinstance(value, bool):
        raise _type_error(value, types_pb2.DT_BOOL)
    return value


def _unsupported(dtype: int) -> Convert:
    def convert(value: Any) -> Any:
        name = _TYPE_NAMES.get(dtype) or tf.dtypes.as_dtype(dtype).name
        raise unimplemented(f"Conversion of JSON Value: {shown(value)} to type: {name}")

    return convert
