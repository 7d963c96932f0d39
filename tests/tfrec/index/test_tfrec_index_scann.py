"""ScaNN's index where the library is installed, and what is said where it is not."""

import sys

import numpy as np
import pytest
import tensorflow as tf

from tfrec.errors import ConfigError
from tfrec.index import NO_ITEM, IndexConfig, choose_index

ITEMS, DIM, LISTS, DEPTH = 2000, 12, 32, 60


@pytest.fixture(scope="module")
def module():
    pytest.importorskip("scann", reason="the extra [scann] is not installed")
    from tfrec.index import scann

    return scann


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(1)
    centres = rng.normal(size=(25, DIM))
    vectors = centres[rng.integers(0, 25, ITEMS)] + 0.4 * rng.normal(size=(ITEMS, DIM))
    queries = centres[rng.integers(0, 25, 400)] + 0.4 * rng.normal(size=(400, DIM))
    return vectors.astype(np.float32), queries.astype(np.float32)


@pytest.fixture(scope="module")
def learnt(module, world):
    return module.ScannLists(world[0], LISTS, DEPTH)


@pytest.fixture(scope="module")
def index(module, learnt, served):
    return served(module.ScannIndex(learnt, 8))


def test_it_finds_most_of_what_a_loop_over_all_items_finds_with_the_true_scores(index, world, search_plainly):
    vectors, queries = world[0], world[1][:60]
    products = queries.astype(np.float64) @ vectors.T
    scores, items = index(queries, 20)
    expected = search_plainly(products, 20)
    assert np.mean([len(set(one) & set(two)) / 20 for one, two in zip(items, expected, strict=True)]) > 0.9
    np.testing.assert_allclose(scores, np.take_along_axis(products, items.astype(np.int64), axis=1), rtol=1e-4)
    assert np.all(np.diff(scores, axis=1) <= 0)


@pytest.mark.parametrize("share", [0.02, 0.5, 0.99])
def test_what_is_left_out_is_never_found_and_k_come_back_while_there_are_k(index, world, share):
    vectors, queries = world
    rng = np.random.default_rng(int(100 * share))
    nearest = np.argsort(-(queries[:3] @ vectors.T), axis=1)[:, : int(share * ITEMS)]
    excluded = {(row, int(item)) for row in range(3) for item in nearest[row]} | {(0, ITEMS), (1, -1)}
    for allowed in (None, rng.random((1, ITEMS)) < 0.5):
        scores, items = index(queries[:3], 40, excluded, allowed)
        for row in range(3):
            left = {i for i in range(ITEMS) if (row, i) not in excluded and (allowed is None or allowed[0, i])}
            names = [item for item in items[row].tolist() if item != NO_ITEM]
            assert set(names) <= left
            assert len(names) == len(set(names)) == min(40, len(left))
            assert np.all(np.isneginf(scores[row]) == (items[row] == NO_ITEM))


def test_requests_deeper_than_the_lists_were_tried_at_are_searched_among_all_items(index, world, search_plainly):
    vectors, queries = world
    products = queries[:4].astype(np.float64) @ vectors.T
    np.testing.assert_array_equal(index(queries[:4], DEPTH + 1)[1], search_plainly(products, DEPTH + 1))


def test_a_row_of_a_batch_is_answered_as_it_is_alone(index, world):
    queries = world[1][:4]
    excluded = {(2, item) for item in range(ITEMS - 10)}  # this row alone needs all items
    _, items = index(queries, 30, excluded)
    for row in range(4):
        alone = index(queries[row : row + 1], 30, {(0, item) for of, item in excluded if of == row})[1]
        np.testing.assert_array_equal(alone[0], items[row])


def test_saved_models_of_several_indexes_answer_in_one_process_each_for_itself(module, index, world, served, tmp_path):
    vectors, queries = world
    other = served(module.ScannIndex(module.ScannLists(-vectors, LISTS, DEPTH), 8))
    for name, one in (("one", index), ("other", other)):
        tf.saved_model.save(one, str(tmp_path / name), signatures={"search": one.plain.get_concrete_function()})
    loaded = {name: tf.saved_model.load(str(tmp_path / name)) for name in ("one", "other")}
    for name, one in (("one", index), ("other", other)):
        np.testing.assert_array_equal(loaded[name].plain(queries[:9], 20)[1], one.plain(queries[:9], 20)[1])


def test_it_is_tuned_as_lists_of_stock_operations_are(module, world):
    chosen = choose_index(*world, IndexConfig(kind="scann", k=10, lists=LISTS, recall_at_least=0.85))
    report = chosen.report
    assert isinstance(chosen.index, module.ScannIndex)
    assert report.probes == min(p.probes for p in report.curve if min(p.recall, p.recall_deeper) >= 0.85)
    assert report.recall >= 0.85
    assert "Scann>ScannSearchBatched" in report.needs
    with pytest.raises(ConfigError, match=r"index scann: recall@10 is 0\.\d{3} with 1 of 32 lists"):
        choose_index(*world, IndexConfig(kind="scann", k=10, lists=LISTS, probes=1, recall_at_least=1.0))


def test_without_the_library_one_line_says_how_to_get_it(world, monkeypatch):
    monkeypatch.setitem(sys.modules, "scann.scann_ops.py", None)
    with pytest.raises(ConfigError, match=r"ScaNN is not installed; pip install 'tfrec\[scann\]', or choose ivf$"):
        choose_index(*world, IndexConfig(kind="scann", k=10))
