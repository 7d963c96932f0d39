"""The cross-batch memory against a plain queue of Python."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.losses import CrossBatchMemory, KnownPositives, sampled_softmax

NUM_ITEMS, DIM = 7, 3
LOG_P = np.log(np.arange(1, NUM_ITEMS + 1) / sum(range(1, NUM_ITEMS + 1))).astype(np.float32)


def batches(seed, sizes):
    """[(ids, vectors)]; the vector of an item differs from batch to batch."""
    rng = np.random.default_rng(seed)
    return [(rng.integers(0, NUM_ITEMS, n), rng.normal(size=(n, DIM)).astype(np.float32)) for n in sizes]


def beside_by_loops(queue, ids, vectors):
    """Id → (newest vector, log(n_j / Q_j)); the queue is a list of (id, vector), oldest first."""
    rows = [*queue, *zip(ids.tolist(), vectors, strict=True)]
    found = {}
    for item in {item for item, _ in rows}:
        count = sum(other == item for other, _ in rows)
        of_batch = [vector for other, vector in zip(ids.tolist(), vectors, strict=True) if other == item]
        # All rows of a batch that hold one item have one vector in training; of other ones the first is taken.
        newest = of_batch[0] if of_batch else [vector for other, vector in queue if other == item][-1]
        found[item] = (newest, math.log(count) - float(LOG_P[item]) - math.log(len(rows)))
    return found


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9), st.lists(st.integers(1, 6), min_size=1, max_size=6), st.integers(0, 99))
def test_the_candidates_are_those_of_a_plain_queue(rows, sizes, seed):
    memory, queue = CrossBatchMemory(rows, DIM), []
    for ids, vectors in batches(seed, sizes):
        found = memory.beside(tf.constant(ids), tf.constant(vectors), tf.constant(LOG_P))
        expected = beside_by_loops(queue, ids, vectors)
        assert sorted(found.ids.numpy().tolist()) == sorted(expected)
        for item, vector, weight in zip(
            found.ids.numpy(), found.vectors.numpy(), found.log_weights.numpy(), strict=True
        ):
            np.testing.assert_array_equal(vector, expected[item][0])
            assert weight == pytest.approx(expected[item][1], abs=1e-5)
        assert float(found.log_rows) == pytest.approx(math.log(len(queue) + len(ids)), rel=1e-6)
        memory.remember(tf.constant(ids), tf.constant(vectors))
        queue = [*queue, *zip(ids.tolist(), vectors, strict=True)][-rows:]


def test_gradients_reach_the_batch_and_not_the_memory():
    memory = CrossBatchMemory(4, DIM)
    (old_ids, old), (ids, new) = batches(1, [4, 3])
    old_ids, ids = np.array([0, 1, 2, 3]), np.array([4, 5, 0])  # item 0 stands in both: the batch's vector counts
    memory.remember(tf.constant(old_ids), tf.constant(old))
    queries, vectors = tf.ones([3, DIM]), tf.constant(new)
    with tf.GradientTape() as tape:
        tape.watch([queries, vectors])
        found = memory.beside(tf.constant(ids), vectors, tf.constant(LOG_P))
        known = KnownPositives.of_rows(tf.constant(ids))
        loss = sampled_softmax(queries, vectors, found.vectors, found.ids, found.log_weights, known)
    by_vector = tf.convert_to_tensor(tape.gradient(loss, vectors)).numpy()
    assert (np.abs(by_vector).max(axis=1) > 0).all()
    assert found.ids.numpy().tolist() == [4, 5, 0, 3, 2, 1]
    # By hand: 1 + the sum over all other items of n / Q · e^(their score − the positive's).
    scores = {item: float(vector.sum()) for item, vector in zip(found.ids.numpy(), found.vectors.numpy(), strict=True)}
    weights = dict(zip(found.ids.numpy().tolist(), np.exp(found.log_weights.numpy()).tolist(), strict=True))
    losses = [
        math.log(1 + sum(weights[j] * math.exp(scores[j] - scores[item]) for j in scores if j != item)) for item in ids
    ]
    assert float(loss) == pytest.approx(np.mean(losses), rel=1e-5)


def loss_beside(memory, ids, queries, vectors):
    """(mean softmax of rows against batch and memory, its gradients by queries and vectors)."""
    queries, vectors = tf.constant(queries), tf.constant(vectors)
    with tf.GradientTape() as tape:
        tape.watch([queries, vectors])
        found = memory.beside(tf.constant(ids), vectors, tf.constant(LOG_P))
        offsets = -tf.gather(tf.constant(LOG_P), ids) - found.log_rows
        known = KnownPositives.of_rows(tf.constant(ids))
        loss = sampled_softmax(
            queries, vectors, found.vectors, found.ids, found.log_weights, known, positive_offsets=offsets
        )
    return float(loss), [tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, [queries, vectors])]


def test_one_item_in_batch_and_memory_costs_and_moves_nothing():
    memory, ones = CrossBatchMemory(4, DIM), np.ones((3, DIM), np.float32)
    memory.remember(tf.constant([2, 2, 2]), tf.constant(ones))
    loss, gradients = loss_beside(memory, [2, 2, 2], ones, ones)
    assert loss == 0
    assert not any(g.any() for g in gradients)


def test_ties_cost_what_the_counts_and_probabilities_say():
    memory = CrossBatchMemory(4, DIM)
    memory.remember(tf.constant([0, 1, 1, 3]), tf.zeros([4, DIM]))
    ids, rows = [1, 4], 6
    counts, p = {0: 1, 1: 3, 3: 1, 4: 1}, np.exp(LOG_P.astype(np.float64))
    loss, _ = loss_beside(memory, ids, np.ones((2, DIM), np.float32), np.zeros((2, DIM), np.float32))
    expected = [math.log(1 + sum(n / (rows * p[j]) for j, n in counts.items() if j != i) * rows * p[i]) for i in ids]
    assert loss == pytest.approx(np.mean(expected), rel=1e-5)


def test_huge_logits_leave_losses_and_gradients_finite():
    memory, rng = CrossBatchMemory(5, DIM), np.random.default_rng(6)
    vectors, queries = (scale * rng.normal(size=(3, DIM)).astype(np.float32) for scale in (1.0, np.float32(1e18)))
    memory.remember(tf.constant([5, 6, 5]), tf.constant(vectors))
    loss, gradients = loss_beside(memory, [0, 1, 2], queries, vectors)
    # Beside such scores no correction counts: what is left is how far the best is above the positive.
    scores = queries.astype(np.float64) @ vectors.T
    # Items 5 and 6 are remembered with the last vector of each.
    expected = np.mean(scores.max(axis=1) - np.diag(scores))
    assert loss == pytest.approx(expected, rel=1e-3)
    assert all(np.isfinite(g).all() for g in gradients)


def test_an_empty_memory_leaves_the_batch_alone():
    ((ids, vectors),) = batches(2, [5])
    found = CrossBatchMemory(8, DIM).beside(tf.constant(ids), tf.constant(vectors), tf.constant(LOG_P))
    assert sorted(found.ids.numpy()) == sorted(set(ids.tolist()))


def test_a_memory_that_is_saved_and_restored_goes_on(tmp_path):
    whole, first, second = (CrossBatchMemory(5, DIM) for _ in range(3))
    given_batches = batches(3, [4, 4, 3])
    for ids, vectors in given_batches:
        whole.remember(tf.constant(ids), tf.constant(vectors))
    for ids, vectors in given_batches[:2]:
        first.remember(tf.constant(ids), tf.constant(vectors))
    saved = tf.train.Checkpoint(memory=first).write(str(tmp_path / "memory"))
    tf.train.Checkpoint(memory=second).read(saved).assert_consumed()
    second.remember(*map(tf.constant, given_batches[2]))
    for one, other in zip(whole.state, second.state, strict=True):
        np.testing.assert_array_equal(one.numpy(), other.numpy())
    assert len(whole.state) == len(whole.variables) == 3


def test_no_probability_is_clipped():
    memory = CrossBatchMemory(2, DIM)
    log_p = tf.constant([math.log(1e-12), math.log(1 - 1e-12)], tf.float32)
    found = memory.beside(tf.constant([0], tf.int64), tf.ones([1, DIM]), log_p)
    assert float(found.log_weights[0]) == pytest.approx(-math.log(1e-12), rel=1e-6)
