"""Lists of numbers in requests: vectors, and weights of as many values as each user has."""

import math

import numpy as np
import pytest
from tensorflow.core.protobuf import meta_graph_pb2

from serving import tensors
from serving.signature_inputs import SignatureInputs
from tfrec.errors import ConfigError

STRING, FLOAT, INT64 = 7, 1, 9  # of DataType
MISSING = {FLOAT: np.float32(math.nan), INT64: np.int64(0)}


@pytest.fixture
def inputs():
    """A signature with a user id, an age, weights and times; all but the id may be left out."""
    definition = meta_graph_pb2.SignatureDef()
    for name, dtype, rank in (("user", STRING, 1), ("age", FLOAT, 1), ("weights", FLOAT, 2), ("times", INT64, 2)):
        info = definition.inputs[name]
        info.dtype = dtype
        for _ in range(rank):
            info.tensor_shape.dim.add(size=-1)
        if name != "user":
            definition.defaults[name].CopyFrom(tensors.encode(np.full([1] * rank, MISSING[dtype])))
    return SignatureInputs("model", definition, frozenset())


def sent(inputs, users, **features):
    is_single = len(users) == 1
    made = inputs.make(users, {}, features, is_single=is_single)
    return {name: tensors.decode(proto) for name, proto in made.items()}


def test_shorter_lists_of_numbers_are_padded_with_nan(inputs):
    found = sent(inputs, ["a", "b", "c"], weights=[[1, 0.5], [], 2])["weights"]
    np.testing.assert_array_equal(found, [[1, 0.5], [math.nan, math.nan], [2, math.nan]])
    assert found.dtype == np.float32


def test_shorter_lists_of_times_are_padded_with_0(inputs):
    found = sent(inputs, ["a", "b"], times=[[1, 2**40], [3]])["times"]
    np.testing.assert_array_equal(found, [[1, 2**40], [3, 0]])
    assert found.dtype == np.int64


def test_a_single_user_gives_one_list(inputs):
    assert sent(inputs, ["a"], weights=[1, 0.5])["weights"].tolist() == [[1, 0.5]]
    assert sent(inputs, ["a"], weights=np.array([1, 0.5]))["weights"].tolist() == [[1, 0.5]]


def test_what_is_no_list_of_numbers_is_refused(inputs):
    for odd in (["x", 1], {"a": 1}):
        with pytest.raises(ConfigError, match=r"feature 'weights'.*expected float32 numbers"):
            sent(inputs, ["a"], weights=odd)
    with pytest.raises(ConfigError, match="feature 'age' takes one value"):
        sent(inputs, ["a"], age=[1, 2])
    with pytest.raises(ConfigError, match="feature 'weights' takes a list of values"):
        sent(inputs, ["a"], weights=[[1, 2]])
    with pytest.raises(ConfigError, match=r"feature 'times'.*expected int64 numbers"):
        sent(inputs, ["a", "b"], times=[[1.5], [2, 3]])
