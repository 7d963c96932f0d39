"""Vectors and weights in the graph, against plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.feature_transform.several_numbers import dense_vectors, weights_of_tokens

NAN = math.nan


def test_a_missing_vector_has_any_number_of_columns_and_becomes_as_long_as_all():
    for columns in (0, 1, 3, 5):
        found = dense_vectors(tf.fill([2, columns], np.float32(NAN)), 3, "picture")
        assert found.shape == (2, 3)
        assert np.isnan(found.numpy()).all()


def test_vectors_are_what_they_were_beside_missing_ones():
    rows = tf.constant([[1.0, -2.0, 0.0, NAN], [NAN, NAN, NAN, NAN]])
    np.testing.assert_array_equal(dense_vectors(rows, 3, "picture"), [[1.0, -2.0, 0.0], [NAN, NAN, NAN]])


@pytest.mark.parametrize(
    "row", [[1.0, 2.0], [1.0, 2.0, NAN], [1.0, NAN, 3.0], [1.0, 2.0, 3.0, 4.0], [NAN, 1.0, 2.0, 3.0]]
)
def test_a_vector_of_another_length_is_refused_by_its_name(row):
    with pytest.raises(tf.errors.InvalidArgumentError, match="picture: a vector has 3 numbers"):
        dense_vectors(tf.constant([row]), 3, "picture")


ROWS = st.integers(1, 4).flatmap(
    lambda rows: st.tuples(*(st.integers(0, 4) for _ in range(2))).flatmap(
        lambda widths: st.tuples(
            st.lists(
                st.lists(st.sampled_from(["", "a", "b"]), min_size=widths[0], max_size=widths[0]),
                min_size=rows,
                max_size=rows,
            ),
            st.lists(
                st.lists(st.sampled_from([NAN, 0.0, 0.5, 2.0]), min_size=widths[1], max_size=widths[1]),
                min_size=rows,
                max_size=rows,
            ),
        )
    )
)


def weights_by_loops(weights, tokens):
    rows = max(len(weights), len(tokens))
    found = []
    for row in range(rows):
        of_row, given_row = tokens[row % len(tokens)], weights[row % len(weights)]
        found.append([given_row[at] if at < len(given_row) else NAN for at, token in enumerate(of_row) if token != ""])
    return found


def assert_same(found, expected):
    assert found.row_lengths().numpy().tolist() == [len(row) for row in expected]
    np.testing.assert_array_equal(found.flat_values, np.array([v for row in expected for v in row], np.float32))


@settings(max_examples=80, deadline=None)
@given(drawn=ROWS)
def test_each_token_that_is_there_has_the_weight_of_its_column(drawn):
    tokens, weights = drawn
    shape = (len(tokens), len(tokens[0])), (len(weights), len(weights[0]))
    as_tensors = tf.constant(np.array(tokens, object).reshape(shape[0]), tf.string), tf.constant(weights, tf.float32)
    found = weights_of_tokens(tf.reshape(as_tensors[1], shape[1]), as_tensors[0])
    assert_same(found, weights_by_loops(weights, tokens))
    one_row = weights_of_tokens(tf.reshape(as_tensors[1], shape[1])[:1], as_tensors[0])
    assert_same(one_row, weights_by_loops(weights[:1], tokens))
    one_row = weights_of_tokens(tf.reshape(as_tensors[1], shape[1]), as_tensors[0][:1])
    assert_same(one_row, weights_by_loops(weights, tokens[:1]))


def test_an_empty_batch_stays_empty():
    assert weights_of_tokens(tf.zeros([1, 1]), tf.constant([], tf.string, shape=[0, 2])).shape[0] == 0
    assert dense_vectors(tf.zeros([0, 3]), 3, "picture").shape == (0, 3)
