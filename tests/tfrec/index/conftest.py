"""A plain search by loops, and a search as a served graph runs it."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.index import NO_ITEM, Excluded


def plain_search(scores, k, excluded=(), allowed=None):
    """Items of each row [batch][k] by a full sort, the lower item first among equals; `NO_ITEM` where none is left."""
    result = []
    for row, values in enumerate(scores):
        left = [
            item
            for item in range(len(values))
            if (row, item) not in excluded and (allowed is None or allowed[min(row, len(allowed) - 1)][item])
        ]
        best = sorted(left, key=lambda item, values=values: (-values[item], item))[:k]
        result.append(best + [NO_ITEM] * (min(k, len(values)) - len(best)))
    return np.array(result, np.int64).reshape(len(scores), min(k, scores.shape[1]))


class Served(tf.Module):
    """An index behind a tf.function whose arguments have no fixed sizes, as in a signature."""

    def __init__(self, index):
        super().__init__()
        self.index = index
        specs = [tf.TensorSpec([None, None], tf.float32), tf.TensorSpec([], tf.int32)]
        pairs = [tf.TensorSpec([None], tf.int64)] * 2
        mask = [tf.TensorSpec([None, None], tf.bool)]
        self.plain = tf.function(lambda q, k: tuple(index.search(q, k)), specs, autograph=False)
        self.without = tf.function(
            lambda q, k, rows, items: tuple(index.search(q, k, Excluded(rows, items))), specs + pairs, autograph=False
        )
        self.within = tf.function(
            lambda q, k, rows, items, allowed: tuple(index.search(q, k, Excluded(rows, items), allowed)),
            specs + pairs + mask,
            autograph=False,
        )

    def __call__(self, queries, k, excluded=None, allowed=None):
        """Scores and items as arrays; `excluded` is a collection of pairs (row, item)."""
        queries = tf.constant(queries, tf.float32)
        if excluded is None and allowed is None:
            scores, items = self.plain(queries, k)
        else:
            pairs = np.array(sorted(excluded or ()), np.int64).reshape(-1, 2)
            given = (pairs[:, 0], pairs[:, 1])
            if allowed is None:
                scores, items = self.without(queries, k, *given)
            else:
                scores, items = self.within(queries, k, *given, allowed)
        return scores.numpy(), items.numpy()


@pytest.fixture(scope="session")
def search_plainly():
    return plain_search


@pytest.fixture(scope="session")
def served():
    return Served
