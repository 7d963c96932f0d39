"""The exact index against loops over the catalogue."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import DataError
from tfrec.index import NO_ITEM, ExactIndex
from tfrec.index import exact as exact_module

ITEMS, DIM = 1500, 5


@pytest.fixture(scope="module")
def vectors():
    """Small whole numbers: products are exact, and many are equal."""
    return np.random.default_rng(1).integers(-2, 3, (ITEMS, DIM)).astype(np.float32)


@pytest.fixture(scope="module", params=["float32", "bfloat16"])
def index(request, vectors, served):
    return served(ExactIndex(vectors, request.param))


@settings(max_examples=25, deadline=None)
@given(batch=st.integers(1, 11), k=st.integers(0, 40), share=st.sampled_from([0.0, 0.5, 0.99, 1.0]), data=st.data())
def test_items_are_those_of_a_loop_over_what_is_left(index, vectors, search_plainly, batch, k, share, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries = rng.integers(-2, 3, (batch, DIM)).astype(np.float32)
    pairs = {(int(row), int(item)) for row, item in np.argwhere(rng.random((batch, ITEMS)) < share / 2)}
    pairs |= {(0, ITEMS), (0, ITEMS + 7), (0, -1)}  # no items
    allowed = rng.random((data.draw(st.sampled_from([1, batch])), ITEMS)) >= share
    scores, items = index(queries, k, pairs, allowed)
    products = queries @ vectors.T
    np.testing.assert_array_equal(items, search_plainly(products, k, pairs, allowed))
    there = items != NO_ITEM
    rows = np.broadcast_to(np.arange(batch)[:, None], items.shape)
    np.testing.assert_array_equal(scores[there], products[rows[there], items[there]])
    assert np.all(scores[~there] == -np.inf)


def test_more_than_the_catalogue_gives_the_catalogue(index, vectors, search_plainly):
    queries = np.eye(DIM, dtype=np.float32)
    np.testing.assert_array_equal(index(queries, ITEMS + 100)[1], search_plainly(queries @ vectors.T, ITEMS))


def test_rows_that_take_turns_are_answered_as_together(vectors, served, search_plainly, monkeypatch):
    monkeypatch.setattr(exact_module, "SCORES_AT_ONCE", 3 * 1600)  # three rows
    index = served(ExactIndex(vectors))
    queries = np.random.default_rng(2).normal(size=(8, DIM)).astype(np.float32)
    excluded = {(row, item) for row in range(8) for item in range(row, ITEMS, 3)}
    allowed = np.random.default_rng(3).random((8, ITEMS)) < 0.5
    scores, items = index(queries, 20, excluded, allowed)
    products = (queries @ vectors.T).astype(np.float32)
    expected = search_plainly(products, 20, excluded, allowed)
    np.testing.assert_allclose(scores, np.take_along_axis(products, expected, axis=1), rtol=1e-5)
    assert np.mean(items == expected) > 0.99  # sums in another order may swap equal products


def test_shorter_numbers_find_what_longer_ones_do(served):
    rng = np.random.default_rng(4)
    vectors, queries = (rng.normal(size=(size, 24)).astype(np.float32) for size in (20_000, 16))
    scores, items = served(ExactIndex(vectors, "bfloat16"))(queries, 50)
    exact_scores = -np.sort(-(queries.astype(np.float64) @ vectors.T.astype(np.float64)), axis=1)[:, :50]
    np.testing.assert_allclose(scores, exact_scores, rtol=1e-5)
    np.testing.assert_allclose(np.einsum("bd,bkd->bk", queries, vectors[items]), exact_scores, rtol=1e-5)


def test_where_shorter_numbers_cannot_tell_longer_ones_decide(served):
    """A thousand items that bfloat16 takes for one: the best of them are not among the first candidates."""
    vectors = np.ones((5000, 2), np.float32)
    vectors[:, 1] = 1 + np.arange(5000) * 1e-6
    _, items = served(ExactIndex(vectors, "bfloat16"))(np.ones((9, 2), np.float32), 3)
    assert set(items[:, 0]) <= set(range(4990, 5000))
    assert np.all(np.isin(items, np.arange(4980, 5000)))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (3,)])
def test_no_vectors_are_an_error(shape):
    with pytest.raises(DataError, match="index: vectors of shape"):
        ExactIndex(np.zeros(shape, np.float32))


def test_a_vector_that_is_no_number_is_an_error_that_names_the_item():
    vectors = np.ones((4, 2), np.float32)
    vectors[2, 1] = np.nan
    with pytest.raises(DataError, match="first item 2"):
        ExactIndex(vectors)


def test_no_rows_of_the_table_are_gathered_from_the_variable_itself(served):
    """After the first such gathering TensorFlow copies the whole table at every read."""
    index = served(ExactIndex(np.ones((5000, 2), np.float32), "bfloat16"))
    graph = index.within.get_concrete_function().graph.as_graph_def()
    used = {node.op for node in graph.node} | {node.op for one in graph.library.function for node in one.node_def}
    assert "MatMul" in used
    assert "ResourceGather" not in used
