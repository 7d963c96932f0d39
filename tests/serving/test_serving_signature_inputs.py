"""What a request says of its users, as arrays: lists of numbers, cells of tables, what a store holds."""

import math

import numpy as np
import pytest

from serving.client.signature import InputSpec, Signature
from serving.client.signature_inputs import SignatureInputs
from tfrec.errors import ConfigError

STRING, FLOAT, INT64 = np.dtype(object), np.dtype(np.float32), np.dtype(np.int64)
MISSING = {STRING: "", FLOAT: np.float32(math.nan), INT64: np.int64(0)}
SPECS = {"user": (STRING, 1), "age": (FLOAT, 1), "city": (STRING, 1), "year": (INT64, 1)}
SPECS |= {"weights": (FLOAT, 2), "times": (INT64, 2), "tags": (STRING, 2)}


@pytest.fixture
def inputs():
    """A signature of which all but the user id may be left out."""
    specs = {name: InputSpec(dtype, rank) for name, (dtype, rank) in SPECS.items()}
    defaults = {n: np.full([1] * s.rank, MISSING[s.dtype], s.dtype) for n, s in specs.items() if n != "user"}
    return SignatureInputs("model", Signature(specs, defaults, ("ids",)), frozenset())


def sent(inputs, users, stored=(), **features):
    return inputs.make(users, {}, features, stored=stored, is_single=len(users) == 1)


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


def test_a_tables_empty_cells_are_missing_values(inputs):
    found = sent(inputs, ["a", "b"], age=[math.nan, 3], year=[None, 1999], city=[math.nan, "x"], tags=[["t", None], []])
    np.testing.assert_array_equal(found["age"], np.float32([math.nan, 3]))
    assert found["year"].tolist() == [0, 1999]
    assert found["city"].tolist() == ["", "x"]
    assert found["tags"].tolist() == [["t", ""], ["", ""]]


def test_tokens_are_spelt_as_the_transforms_spell_native_values(inputs):
    found = sent(inputs, ["a", "b", "c"], city=[42.0, 1.5, True], tags=[[np.int64(7)], [2.0], [False]])
    assert found["city"].tolist() == ["42", "1.5", "true"]
    assert found["tags"].tolist() == [["7"], ["2"], ["false"]]


def test_a_single_token_is_a_list_of_one_and_what_is_no_token_is_refused(inputs):
    assert sent(inputs, ["a", "b"], tags=[5, None])["tags"].tolist() == [["5"], [""]]
    with pytest.raises(ConfigError, match=r"feature 'tags': got .*; expected text"):
        sent(inputs, ["a", "b"], tags=[[{}], ["x"]])


def test_what_is_stored_fills_what_is_not_given_and_nothing_else(inputs):
    stored = [{"age": 30.0, "tags": ["x", "y"], "unknown": 1}, {}, {"age": 40.0, "city": "rome"}]
    found = sent(inputs, ["a", "b", "c"], stored, city=["oslo", "", "bern"])
    np.testing.assert_array_equal(found["age"], np.float32([30, math.nan, 40]))
    assert found["tags"].tolist() == [["x", "y"], ["", ""], ["", ""]]
    assert found["city"].tolist() == ["oslo", "", "bern"]
    assert set(found) == set(SPECS)
    assert sent(inputs, ["b"], [{}])["tags"].tolist() == [[""]]


def test_an_array_or_a_generator_gives_one_value_each(inputs):
    np.testing.assert_array_equal(sent(inputs, ["a", "b"], age=np.array([1.0, 2.0]))["age"], [1, 2])
    np.testing.assert_array_equal(sent(inputs, ["a", "b"], age=(x for x in (1, 2)))["age"], [1, 2])
    with pytest.raises(ConfigError, match="feature 'age': got 3 values for 2 users; pass one each"):
        sent(inputs, ["a", "b"], age=np.zeros(3))
