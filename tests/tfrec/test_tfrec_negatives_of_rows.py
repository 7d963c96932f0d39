"""Negatives of each row: what users took against plain lists, and how often items are drawn."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.negatives import of_rows
from tfrec.negatives.of_rows import RowSampler, TakenItems


@pytest.mark.parametrize("bits", [0, 1 << 31])  # a sorted list of pairs, and a table of bits
def test_what_a_user_took_is_known(monkeypatch, bits):
    monkeypatch.setattr(of_rows, "MAX_BITS", bits)
    rng = np.random.default_rng(2)
    taken = [rng.choice(11, rng.integers(0, 9)).tolist() for _ in range(13)]
    splits = np.cumsum([0, *map(len, taken)])
    known = TakenItems(splits, np.array([item for row in taken for item in row], np.int64), 11)
    found = known(tf.range(13, dtype=tf.int64), tf.tile(tf.range(11, dtype=tf.int64)[None, :], [13, 1])).numpy()
    assert [[item in row for item in range(11)] for row in taken] == found.tolist()


def test_drawn_negatives_are_none_of_the_users_items_unless_it_says_so():
    taken = [[0, 1, 2, 3], [4], list(range(6))]
    counts = np.array([3, 1, 1, 1, 2, 0])
    known = TakenItems(np.array([0, 4, 5, 11]), np.array([item for row in taken for item in row]), 6)
    users, own = tf.repeat(tf.constant([0, 1, 2], tf.int64), 400), tf.repeat(tf.constant([1, 4, 5], tf.int64), 400)
    for alpha in (0.0, 1.0):
        drawn = RowSampler(counts, alpha, known).draw(users, own, 2, tf.constant([3, 4]))
        for user, items, flags in zip(users.numpy(), drawn.items.numpy(), drawn.is_negative.numpy(), strict=True):
            assert [item not in taken[user] for item in items] == flags.tolist()
        share = drawn.is_negative.numpy().reshape(3, -1).mean(axis=1)
        assert share[2] == 0  # took everything
        # Drawn once more where the first was taken: 1 − (the share that is taken)².
        probability = counts / counts.sum() if alpha else np.full(6, 1 / 6)
        expected = [1 - probability[taken[user]].sum() ** 2 for user in (0, 1)]
        np.testing.assert_allclose(share[:2], expected, atol=0.06)
    own_alone = RowSampler(counts, 0.0, None).draw(users, own, 2, tf.constant([3, 4]))
    assert ((own_alone.items.numpy() != own.numpy()[:, None]) == own_alone.is_negative.numpy()).all()
