"""Predict's answers as bytes, against the messages that protobuf writes and reads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from tensorflow_serving.apis import predict_pb2

from serving import tensors
from serving.server.calls.prediction import Prediction
from serving.tensor_bytes import serialized_tensor, varint

NUMBERS = [np.dtype(name) for name in ("float32", "float64", "bool", "int8", "int32", "int64", "uint16", "uint64")]
SHAPES = np_st.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)
ARRAYS = np_st.arrays(st.sampled_from(NUMBERS), SHAPES)


@settings(max_examples=200, deadline=None)
@given(ARRAYS, st.booleans())
def test_a_tensors_bytes_are_those_of_its_message(array, as_content):
    expected = tensors.encode(array, as_content=as_content).SerializeToString()
    assert serialized_tensor(array, as_content=as_content) == expected


@pytest.mark.parametrize("as_content", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(12, dtype=np.float32).reshape(3, 4).T,
        np.arange(9, dtype=np.float64)[::2],
        np.array([[b"a", b""], [b"\xff\x00", b"text"]], dtype=object),
        np.float32(3),
        np.arange(300, dtype=np.float32),
        np.ones((2, 70_000), dtype=np.bool_),
        np.arange(3, dtype=np.float16),
    ],
    ids=["columns first", "with steps", "text", "a number", "two bytes of length", "three bytes of length", "half"],
)
def test_tensors_that_lie_or_count_otherwise(array, as_content):
    expected = tensors.encode(array, as_content=as_content).SerializeToString()
    assert serialized_tensor(array, as_content=as_content) == expected


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**64 - 1))
def test_a_number_is_read_back_from_its_bytes(number):
    assert sum((byte & 0x7F) << (7 * place) for place, byte in enumerate(varint(number))) == number
    assert [byte >= 0x80 for byte in varint(number)] == [True] * (len(varint(number)) - 1) + [False]


@settings(max_examples=50, deadline=None)
@given(st.dictionaries(st.text(max_size=200), ARRAYS, max_size=4), st.integers(0, 2**63 - 1), st.booleans())
def test_a_client_reads_names_version_and_every_output(outputs, version, as_content):
    prediction = Prediction("a model", "a signature", version, outputs)
    response = predict_pb2.PredictResponse.FromString(prediction.serialized(as_content=as_content))
    assert response.model_spec.name == "a model"
    assert response.model_spec.signature_name == "a signature"
    assert response.model_spec.HasField("version")
    assert response.model_spec.version.value == version
    assert set(response.outputs) == set(outputs)
    for alias, value in outputs.items():
        assert response.outputs[alias] == tensors.encode(value, as_content=as_content)
