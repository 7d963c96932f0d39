"""The best unseen items and the AUC of the whole ranking against plain loops."""

import math

import numpy as np
import pytest
import sklearn.metrics
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.errors import DataError
from tfrec.metrics import NO_ITEM, full_ranking_auc, top_unseen

VALUES = {
    "ties": [-1.5, -0.0, 0.0, 0.5, 2.0],
    "far out": [-np.inf, np.inf, 3.4e38, -3.4e38, 1e-45, -1e-45, 0.0],
}


def plain_top(scores, seen, k):
    """Items of each user, best first, the lower index first among equals."""
    result = []
    for row, values in enumerate(scores.tolist()):
        left = [item for item, value in enumerate(values) if (row, item) not in seen and value != -math.inf]
        best = sorted(left, key=lambda item, values=values: (-values[item], item))[:k]
        result.append(best + [NO_ITEM] * (k - len(best)))
    return result


@st.composite
def cases(draw):
    users, items = draw(st.integers(0, 5)), draw(st.integers(0, 60))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    kind = draw(st.sampled_from(["ties", "far out", "distinct"]))
    shape = (users, items)
    scores = rng.normal(size=shape) if kind == "distinct" else rng.choice(VALUES[kind], shape)
    share = draw(st.sampled_from([0.0, 0.3, 0.9, 1.0]))
    pairs = np.argwhere(rng.random(shape) < share)
    pairs = rng.permutation(np.concatenate([pairs, pairs[: len(pairs) // 2]]))  # some twice, in any order
    return scores.astype(np.float32), pairs, draw(st.integers(1, 70))


@settings(max_examples=200, deadline=None)
@given(cases())
def test_lists_are_those_of_a_plain_sort_without_what_was_seen(case):
    scores, pairs, k = case
    before = scores.copy()
    items, best = top_unseen(scores, pairs[:, 0], pairs[:, 1], k)
    assert items.shape == best.shape == (len(scores), k)
    assert (items.dtype, best.dtype) == (np.int64, np.float32)
    assert items.tolist() == plain_top(scores, set(map(tuple, pairs.tolist())), k)
    for row, item in np.ndindex(items.shape):
        expected = -np.inf if items[row, item] == NO_ITEM else scores[row, items[row, item]]
        assert best[row, item] == expected
    assert scores.tobytes() == before.tobytes()


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("users", "items", "k"), [(700, 1682, 100), (30, 50_000, 100), (40, 5000, 1)])
def test_long_rows_in_several_blocks_are_sorted_too(users, items, k, ties):
    rng = np.random.default_rng(items)
    scores = (rng.integers(0, 50, (users, items)) if ties else rng.normal(size=(users, items))).astype(np.float32)
    rows, seen = np.repeat(np.arange(users), 20), rng.integers(0, items, users * 20)
    found, _ = top_unseen(scores, rows, seen, k)
    masked = scores.copy()
    masked[rows, seen] = -np.inf
    expected = np.lexsort((np.broadcast_to(np.arange(items), masked.shape), -masked), axis=1)[:, :k]
    assert (found == expected).all()


def test_a_tensor_will_do_and_a_user_is_ranked_alike_alone_and_among_others():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 9, (40, 300)).astype(np.float32)
    pairs = np.argwhere(rng.random(scores.shape) < 0.1)
    together = top_unseen(tf.constant(scores), pairs[:, 0], pairs[:, 1], 20)
    for user in range(40):
        mine = pairs[pairs[:, 0] == user, 1]
        alone = top_unseen(scores[user : user + 1], np.zeros(len(mine), int), mine, 20)
        assert [part[user].tolist() for part in together] == [part[0].tolist() for part in alone]


def test_a_score_that_is_nan_is_named_with_its_place_even_if_it_was_seen():
    scores = np.zeros((3, 4), np.float32)
    scores[1, 2] = scores[2, 0] = np.nan
    for call in (lambda: top_unseen(scores, [1], [2], 2), lambda: full_ranking_auc(scores, [1], [2], [0], [0])):
        with pytest.raises(DataError, match="2 of 12 are NaN, the first in row 1, item 2") as raised:
            call()
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("rows", "items", "k", "said"),
    [([0], [4], 1, "item 4…4; there are 4"), ([-1], [0], 1, "row -1"), ([3], [0], 1, "row 3"), ([], [], 0, "k is 0")],
)
def test_pairs_outside_the_scores_are_refused(rows, items, k, said):
    with pytest.raises(ValueError, match=said):
        top_unseen(np.zeros((3, 4), np.float32), rows, items, k)


@settings(max_examples=150, deadline=None)
@given(cases(), st.integers(0, 2**32), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_auc_of_a_ranking_is_that_of_scikit_learn_over_the_unseen_items(case, seed, share):
    scores, seen, _ = case
    wanted = np.argwhere(np.random.default_rng(seed).random(scores.shape) < share)
    was_seen = set(map(tuple, seen.tolist()))
    wanted = np.array([pair for pair in wanted.tolist() if tuple(pair) not in was_seen], int).reshape(-1, 2)
    found = full_ranking_auc(scores, seen[:, 0], seen[:, 1], wanted[::-1, 0], wanted[::-1, 1])
    relevant = set(map(tuple, wanted.tolist()))
    ranks = np.unique(scores, return_inverse=True)[1].reshape(scores.shape)  # scikit-learn takes no infinities
    for row in range(len(scores)):
        left = [item for item in range(scores.shape[1]) if (row, item) not in was_seen]
        labels = [(row, item) in relevant for item in left]
        if len(set(labels)) < 2:
            assert math.isnan(found[row])
        else:
            assert found[row] == pytest.approx(sklearn.metrics.roc_auc_score(labels, ranks[row, left]), abs=1e-12)


def test_a_relevant_item_that_was_seen_has_no_place_in_the_ranking():
    with pytest.raises(ValueError, match="also seen"):
        full_ranking_auc(np.zeros((1, 3), np.float32), [0], [1], [0], [1])
