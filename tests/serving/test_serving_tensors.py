"""TensorProtos against TensorFlow's own reading of them."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import tensor_pb2

from serving import tensors

DTYPES = [
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "bool",
]


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
def test_numbers_come_back_as_they_went(dtype, as_content):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    proto = tensors.encode(array, as_content=as_content)
    decoded = tf.make_ndarray(proto)
    assert decoded.dtype == array.dtype
    assert np.array_equal(decoded, array)
    assert np.array_equal(tensors.decode(proto), array)


def test_text_comes_back_as_bytes():
    proto = tensors.encode(np.array([["a", b"\xff\x00"]], dtype=object))
    assert tensors.decode(proto).tolist() == [[b"a", b"\xff\x00"]]


def test_empty_tensors_keep_their_shape():
    assert tensors.decode(tensors.encode(np.zeros((2, 0), np.float32))).shape == (2, 0)


def test_one_value_fills_a_shape_as_tensorflow_does():
    proto = tensor_pb2.TensorProto(dtype=1, float_val=[2.5])
    proto.tensor_shape.dim.add(size=3)
    assert tensors.decode(proto).tolist() == [2.5, 2.5, 2.5]


def test_no_value_fills_a_shape_with_zeros_or_empty_text():
    for dtype, expected in ((1, 0.0), (7, b"")):
        proto = tensor_pb2.TensorProto(dtype=dtype)
        proto.tensor_shape.dim.add(size=2)
        assert tensors.decode(proto).tolist() == [expected, expected]


@pytest.mark.parametrize(
    "proto",
    [
        tensor_pb2.TensorProto(dtype=1, float_val=[1, 2]),
        tensor_pb2.TensorProto(dtype=1, tensor_content=b"123"),
        tensor_pb2.TensorProto(dtype=1, tensor_content=b"12345678"),
        tensor_pb2.TensorProto(dtype=6, int_val=[300]),
    ],
)
def test_values_that_do_not_fit_are_an_error(proto):
    with pytest.raises(ValueError, match=r"."):
        tensors.decode(proto)


@pytest.mark.parametrize("size", [-1, -7])
def test_an_unknown_dimension_is_an_error(size):
    proto = tensor_pb2.TensorProto(dtype=1, float_val=[2.5])
    proto.tensor_shape.dim.add(size=size)
    with pytest.raises(ValueError, match="not fully known"):
        tensors.decode(proto)


def test_a_tensor_without_a_dtype_is_an_error():
    with pytest.raises(ValueError, match="type"):
        tensors.decode(tensor_pb2.TensorProto())


def test_text_that_fills_a_shape_counts_once_for_each_place():
    proto = tensor_pb2.TensorProto(dtype=7, string_val=[b"x" * 1000])
    proto.tensor_shape.dim.add(size=1000)
    assert tensors.decode(proto, max_bytes=2_000_000).tolist() == [b"x" * 1000] * 1000
    with pytest.raises(ValueError, match="takes more than 1000000 bytes"):
        tensors.decode(proto, max_bytes=1_000_000)


def test_a_float_tensor_may_fill_all_that_is_allowed():
    proto = tensor_pb2.TensorProto(dtype=1, float_val=[1])
    proto.tensor_shape.dim.add(size=1000)
    assert tensors.decode(proto, max_bytes=4000).nbytes == 4000
