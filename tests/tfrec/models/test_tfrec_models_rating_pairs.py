"""Ratings of pairs from scores of the whole catalogue, against a loop over the pairs."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.taken_items import inputs_of, request
from tfrec.models.profiles import rating_pairs
from tfrec.models.profiles.rating_pairs import ratings_of_pairs

ITEMS = 9
# Rows of (user, history, item); a request for several candidates repeats its user.
ROWS = [(0, [3, 4], 1), (0, [3, 4], 8), (2, [3, 4], 0), (2, [3], 0), (1, [], 5), (0, [3, 4], 2), (0, [3, 4], 2)]


def asked(rows, reads_history):
    users, histories, items = zip(*rows, strict=True)
    features = request(users, histories if reads_history else None)
    return features | {"item_index": tf.constant(items, tf.int64)}


@pytest.mark.parametrize(("reads_history", "scored"), [(True, 5), (False, 3)])
@pytest.mark.parametrize("at_once", [2, 100])
def test_each_pair_has_its_score_and_rows_that_read_the_same_are_scored_once(
    monkeypatch, reads_history, scored, at_once
):
    monkeypatch.setattr(rating_pairs, "BLOCK_VALUES", at_once * ITEMS)
    sizes = []

    def scores(features):
        sizes.append(len(features["user_id"]))
        of_user = 100 * features["user_id"]
        if reads_history:
            of_user += 1000 * tf.reduce_sum(features["history"], axis=1)
        return tf.cast(of_user[:, None] + tf.range(ITEMS, dtype=tf.int64), tf.float32)

    found = ratings_of_pairs(scores, asked(ROWS, reads_history), inputs_of([[0]] * 3, ITEMS, history=2)).numpy()
    encoded = [(user + 2, sum(item + 2 for item in history), item) for user, history, item in ROWS]
    np.testing.assert_array_equal(found, [100 * u + 1000 * h * reads_history + i for u, h, i in encoded])
    assert sum(sizes) == scored
    assert max(sizes) <= at_once


@pytest.mark.parametrize("reads_history", [True, False])
def test_no_pairs_have_no_ratings(reads_history):
    none = {name: values[:0] for name, values in asked(ROWS, reads_history).items()}
    found = ratings_of_pairs(lambda _: tf.zeros([0, ITEMS]), none, inputs_of([[0]] * 3, ITEMS, history=2))
    assert found.shape == (0,)
