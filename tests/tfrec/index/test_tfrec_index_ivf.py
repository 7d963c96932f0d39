"""The list index: all lists are all items, few lists are what stands in them, and limits never cost an item."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import ConfigError
from tfrec.index import NO_ITEM, IvfIndex, partition

ITEMS, DIM, LISTS, PROBES, DEPTH = 1500, 6, 30, 4, 100


@pytest.fixture(scope="module")
def vectors():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(12, DIM))
    return (centres[rng.integers(0, 12, ITEMS)] + 0.3 * rng.normal(size=(ITEMS, DIM))).astype(np.float32)


@pytest.fixture(scope="module")
def parts(vectors):
    return partition(vectors, LISTS)


@pytest.fixture(scope="module")
def few(vectors, parts, served):
    return served(IvfIndex(vectors, parts, PROBES, DEPTH))


def in_lists(parts, query, probes):
    """Items that stand in the lists whose centres have the largest products with the query."""
    best = sorted(range(LISTS), key=lambda one: -float(parts.centres[one] @ query))[:probes]
    return {int(item) for one in best for item in parts.order[parts.starts[one] : parts.starts[one + 1]]}


def test_all_lists_find_what_a_loop_over_all_items_finds(vectors, parts, served, search_plainly):
    queries = np.random.default_rng(2).normal(size=(7, DIM)).astype(np.float32)
    scores, items = served(IvfIndex(vectors, parts, LISTS, ITEMS))(queries, 25)
    products = queries.astype(np.float64) @ vectors.T
    np.testing.assert_array_equal(items, search_plainly(products, 25))
    np.testing.assert_allclose(scores, -np.sort(-products, axis=1)[:, :25], rtol=1e-5)


def test_few_lists_find_the_best_of_what_stands_in_them(vectors, parts, few, search_plainly):
    queries = np.random.default_rng(3).normal(size=(9, DIM)).astype(np.float32)
    products = queries.astype(np.float64) @ vectors.T
    inside = np.array([[item in in_lists(parts, query, PROBES) for item in range(ITEMS)] for query in queries])
    assert inside.mean() < 0.3
    np.testing.assert_array_equal(few(queries, 20)[1], search_plainly(products, 20, (), inside))


def test_a_row_of_a_batch_is_answered_as_it_is_alone(few):
    queries = np.random.default_rng(4).normal(size=(5, DIM)).astype(np.float32)
    excluded = {(row, item) for row in range(5) for item in range(row, ITEMS, 4)}
    scores, items = few(queries, 30, excluded)
    for row in range(5):
        alone = few(queries[row : row + 1], 30, {(0, item) for of, item in excluded if of == row})
        np.testing.assert_array_equal(alone[0][0], scores[row])
        np.testing.assert_array_equal(alone[1][0], items[row])


@settings(max_examples=40, deadline=None)
@given(batch=st.integers(1, 3), k=st.integers(0, 60), share=st.sampled_from([0.0, 0.2, 0.9, 0.99, 1.0]), data=st.data())
def test_nothing_left_out_is_found_and_k_come_back_while_there_are_k(few, batch, k, share, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    queries = rng.normal(size=(batch, DIM)).astype(np.float32)
    excluded = {(int(row), int(item)) for row, item in np.argwhere(rng.random((batch, ITEMS)) < share)}
    outside = {(0, ITEMS), (0, -1)}
    allowed = rng.random((data.draw(st.sampled_from([1, batch])), ITEMS)) >= share / 2
    for mask in (None, allowed):
        scores, items = few(queries, k, excluded | outside, mask)
        assert items.shape == (batch, k)
        for row in range(batch):
            left = {
                item
                for item in range(ITEMS)
                if (row, item) not in excluded and (mask is None or mask[min(row, len(mask) - 1)][item])
            }
            names = [item for item in items[row].tolist() if item != NO_ITEM]
            assert len(names) == len(set(names)) == min(k, len(left))
            assert set(names) <= left
            assert np.all(np.isneginf(scores[row]) == (items[row] == NO_ITEM))
            assert scores[row].tolist() == sorted(scores[row].tolist(), reverse=True)


@pytest.mark.parametrize("share", [0.02, 0.2])
def test_what_a_filter_leaves_little_of_is_searched_among_all_items(vectors, few, search_plainly, share):
    """Lists that were tried at 100 of all items stand for 20 of a fifth of them, and for 2 of a fiftieth."""
    rng = np.random.default_rng(5)
    queries = rng.normal(size=(4, DIM)).astype(np.float32)
    allowed = rng.random((1, ITEMS)) < share
    k = int(2 * DEPTH * share)
    products = queries.astype(np.float64) @ vectors.T
    np.testing.assert_array_equal(few(queries, k, None, allowed)[1], search_plainly(products, k, (), allowed))


def test_requests_deeper_than_the_lists_were_tried_at_are_searched_among_all_items(vectors, few, search_plainly):
    queries = np.random.default_rng(6).normal(size=(3, DIM)).astype(np.float32)
    products = queries.astype(np.float64) @ vectors.T
    np.testing.assert_array_equal(few(queries, DEPTH + 1)[1], search_plainly(products, DEPTH + 1))
    np.testing.assert_array_equal(few(queries, ITEMS + 5)[1], search_plainly(products, ITEMS))


def test_it_is_made_of_stock_operations_and_answers_the_same_from_a_saved_model(few, tmp_path):
    tf.saved_model.save(few, str(tmp_path), signatures={"search": few.without.get_concrete_function()})
    loaded = tf.saved_model.load(str(tmp_path))
    queries = np.random.default_rng(7).normal(size=(3, DIM)).astype(np.float32)
    rows, items = np.array([0, 0, 2], np.int64), np.array([5, 6, 7], np.int64)
    expected = few.without(queries, 9, rows, items)
    for one, other in zip(loaded.without(queries, 9, rows, items), expected, strict=True):
        np.testing.assert_array_equal(one, other)
    graph = few.without.get_concrete_function().graph.as_graph_def()
    used = {node.op for node in graph.node} | {node.op for one in graph.library.function for node in one.node_def}
    assert not {op for op in used if ">" in op}  # operations of other libraries carry their name before it


@pytest.mark.parametrize("probes", [0, LISTS + 1])
def test_probes_beyond_the_lists_are_an_error(vectors, parts, probes):
    with pytest.raises(ConfigError, match=f"{probes} probes of {LISTS} lists"):
        IvfIndex(vectors, parts, probes, DEPTH)
