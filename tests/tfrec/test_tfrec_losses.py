"""The in-batch softmax against a plain loop, and against TFRS where TFRS is right."""

import math

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_recommenders as tfrs
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.losses import InBatchSoftmax, KnownPositives, catalogue_softmax, chunked_softmax, exclusions, sampled_softmax


def plain_loss(query, candidate, ids, probability=None, positives=None, weight=None, temperature=1.0):
    """Mean of −log softmax, row by row, over the row's item and every batch row with another, allowed item."""
    losses = []
    for row in range(len(ids)):

        def score(other, row=row):
            value = math.fsum(query[row] * candidate[other]) / temperature
            return value - (math.log(probability[other]) if probability is not None else 0.0)

        own = score(row)
        negatives = [
            score(other)
            for other in range(len(ids))
            if ids[other] != ids[row] and not (positives is not None and ids[other] in positives[row])
        ]
        highest = max([own, *negatives])
        total = math.exp(own - highest) + math.fsum(math.exp(s - highest) for s in negatives)
        losses.append(highest + math.log(total) - own)
    weight = np.ones(len(ids)) if weight is None else weight
    return float(np.dot(losses, weight) / sum(weight))


def batch_of(rng, ids, dim=4, scale=1.0):
    """Embeddings [batch, dim]; rows of the same item have the same vector."""
    table = scale * rng.normal(size=(max(ids) + 1, dim))
    return (scale * rng.normal(size=(len(ids), dim))).astype(np.float32), table[ids].astype(np.float32)


def tensor_loss(query, candidate, ids, probability=None, positives=None, weight=None, temperature=1.0):
    return float(
        InBatchSoftmax(temperature)(
            tf.constant(query),
            tf.constant(candidate),
            sample_weight=None if weight is None else tf.constant(weight, tf.float32),
            candidate_sampling_probability=None if probability is None else tf.constant(probability, tf.float32),
            candidate_ids=tf.constant(ids, tf.int64),
            known_positives=None if positives is None else tf.ragged.constant(positives, tf.int64),
        )
    )


@settings(max_examples=40, deadline=None)
@given(
    ids=st.lists(st.integers(0, 6), min_size=1, max_size=12),
    seed=st.integers(0, 1000),
    corrected=st.booleans(),
    masked=st.booleans(),
    weighted=st.booleans(),
    temperature=st.sampled_from([1.0, 0.2, 3.0]),
)
def test_the_loss_is_the_loop_over_rows_and_negatives(ids, seed, corrected, masked, weighted, temperature):
    rng = np.random.default_rng(seed)
    query, candidate = batch_of(rng, ids)
    probability = rng.uniform(1e-9, 1, 7).astype(np.float32)[ids] if corrected else None
    positives = None
    if masked:  # the row's own item may be listed, and items that are not in the batch
        positives = [rng.choice(10, rng.integers(0, 5), replace=False).tolist() for _ in ids]
    weight = rng.uniform(0.1, 2, len(ids)).astype(np.float32) if weighted else None
    found = tensor_loss(query, candidate, ids, probability, positives, weight, temperature)
    expected = plain_loss(query, candidate, ids, probability, positives, weight, temperature)
    assert found == pytest.approx(expected, rel=2e-4, abs=2e-5)


def test_the_rows_own_item_is_no_negative_however_often_it_stands_in_the_batch():
    assert tensor_loss(np.ones((3, 2), np.float32), np.ones((3, 2), np.float32), [5, 5, 5]) == 0.0


def test_one_row_has_nothing_to_lose():
    assert tensor_loss(np.float32([[3, 1]]), np.float32([[-2, 5]]), [0], probability=[0.25]) == 0.0


def test_equal_scores_of_n_items_cost_log_n():
    zeros = np.zeros((8, 3), np.float32)
    assert tensor_loss(zeros, zeros, list(range(8))) == pytest.approx(math.log(8), rel=1e-6)


def test_a_negative_that_stands_twice_counts_twice():
    zeros = np.zeros((3, 2), np.float32)
    # Row 0 has two negatives of one item, rows 1 and 2 one negative each.
    assert tensor_loss(zeros, zeros, [0, 1, 1]) == pytest.approx((math.log(3) + 2 * math.log(2)) / 3, rel=1e-6)


def test_the_correction_takes_log_probability_off_so_that_a_rare_negative_weighs_more():
    zeros = np.zeros((2, 2), np.float32)
    # By hand: logits are -log p. Row of the common item: p = 0.8 against 0.2, and the other way around.
    expected = (math.log(1 + (1 / 0.2) / (1 / 0.8)) + math.log(1 + (1 / 0.8) / (1 / 0.2))) / 2
    assert tensor_loss(zeros, zeros, [0, 1], probability=[0.8, 0.2]) == pytest.approx(expected, rel=1e-6)
    heavy_rare = tensor_loss(zeros, zeros, [0, 1], probability=[0.8, 0.2], weight=[1, 0])
    assert heavy_rare == pytest.approx(math.log(5), rel=1e-6)


def test_probabilities_are_not_clipped():
    query, candidate = batch_of(np.random.default_rng(0), [0, 1])
    values = [tensor_loss(query, candidate, [0, 1], probability=[0.5, tiny]) for tiny in (1e-9, 1e-7)]
    expected = [plain_loss(query, candidate, [0, 1], [0.5, tiny]) for tiny in (1e-9, 1e-7)]
    assert values == pytest.approx(expected, rel=1e-5)
    assert abs(values[0] - values[1]) > 1


def test_known_positives_of_a_row_are_no_negatives_of_it_but_of_others():
    zeros = np.zeros((3, 2), np.float32)
    found = tensor_loss(zeros, zeros, [0, 1, 2], positives=[[0, 1, 2], [], [9]])
    assert found == pytest.approx((0 + math.log(3) + math.log(3)) / 3, rel=1e-6)


def test_no_known_positives_at_all_is_the_same_as_none_given():
    query, candidate = batch_of(np.random.default_rng(0), [0, 1, 1, 4])
    expected = tensor_loss(query, candidate, [0, 1, 1, 4])
    found = InBatchSoftmax()(
        tf.constant(query),
        tf.constant(candidate),
        candidate_ids=tf.constant([0, 1, 1, 4], tf.int64),
        known_positives=tf.RaggedTensor.from_row_splits(tf.zeros([0], tf.int64), [0, 0, 0, 0, 0]),
    )
    assert float(found) == expected


def test_weights_of_zero_only_give_zero_not_nan():
    zeros = np.zeros((2, 2), np.float32)
    assert tensor_loss(zeros, zeros, [0, 1], weight=[0, 0]) == 0.0


@pytest.mark.parametrize("scale", [1e3, 1e9, 1e18])
def test_huge_logits_stay_finite_and_so_do_their_gradients(scale):
    rng = np.random.default_rng(1)
    query, candidate = batch_of(rng, [0, 1, 2, 2], dim=2)
    variable = tf.Variable(query * np.float32(scale))
    with tf.GradientTape() as tape:
        loss = InBatchSoftmax()(variable, tf.constant(candidate), candidate_ids=tf.constant([0, 1, 2, 2], tf.int64))
    assert np.isfinite(float(loss))
    assert np.isfinite(tape.gradient(loss, variable).numpy()).all()
    expected = plain_loss(query.astype(np.float64) * scale, candidate.astype(np.float64), [0, 1, 2, 2])
    assert float(loss) == pytest.approx(expected, rel=1e-3)


def test_no_gradient_reaches_an_item_that_is_masked():
    query, candidate = batch_of(np.random.default_rng(2), [0, 1])
    variable = tf.Variable(candidate)
    with tf.GradientTape() as tape:
        loss = InBatchSoftmax()(
            tf.constant(query),
            variable,
            candidate_ids=tf.constant([0, 1], tf.int64),
            known_positives=tf.ragged.constant([[1], [0]], tf.int64),
        )
    assert float(loss) == 0.0
    assert not tf.convert_to_tensor(tape.gradient(loss, variable)).numpy().any()


@pytest.mark.parametrize("corrected", [False, True])
@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_it_is_the_task_of_tfrs_on_distinct_items(corrected, temperature):
    rng = np.random.default_rng(3)
    ids = list(range(9))
    query, candidate = batch_of(rng, ids)
    probability = rng.uniform(1e-5, 1, 9).astype(np.float32) if corrected else None
    task = tfrs.tasks.Retrieval(
        loss=tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM_OVER_BATCH_SIZE
        ),
        temperature=temperature,
    )
    expected = task(
        tf.constant(query),
        tf.constant(candidate),
        candidate_sampling_probability=None if probability is None else tf.constant(probability),
    )
    found = tensor_loss(query, candidate, ids, probability, temperature=temperature)
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_it_is_the_task_of_tfrs_with_accidental_hits_removed_where_items_repeat():
    rng = np.random.default_rng(4)
    ids = [0, 3, 3, 1, 0, 0, 2]
    query, candidate = batch_of(rng, ids)
    task = tfrs.tasks.Retrieval(
        loss=tf.keras.losses.CategoricalCrossentropy(
            from_logits=True, reduction=tf.keras.losses.Reduction.SUM_OVER_BATCH_SIZE
        ),
        remove_accidental_hits=True,
    )
    expected = task(tf.constant(query), tf.constant(candidate), candidate_ids=tf.constant(ids, tf.int64))
    assert tensor_loss(query, candidate, ids) == pytest.approx(float(expected), rel=1e-5)


@pytest.mark.parametrize("masked", [False, True])
def test_the_catalogue_softmax_is_the_loop_over_all_items(masked):
    rng = np.random.default_rng(5)
    query, items = rng.normal(size=(6, 3)).astype(np.float32), rng.normal(size=(9, 3)).astype(np.float32)
    positives = [0, 8, 3, 3, 5, 1]
    known = [[0, 2], [], [3, 4, 4, 5], list(range(9)), [8], [1, 1]]  # repeats, the own item, everything
    losses = []
    for row, positive in enumerate(positives):
        left = [j for j in range(9) if j == positive or not (masked and j in known[row])]
        scores = [float(query[row] @ items[j]) for j in left]
        losses.append(math.log(sum(map(math.exp, scores))) - float(query[row] @ items[positive]))
    found = catalogue_softmax(
        tf.constant(query),
        tf.constant(items),
        tf.constant(positives, tf.int64),
        tf.ragged.constant(known, tf.int64) if masked else None,
    )
    assert float(found) == pytest.approx(np.mean(losses), rel=1e-5)


def sampled_by_loops(query, positive, candidates, log_weights, excluded, weight):
    """(mean loss, gradients by queries, positives, candidates), one row and one candidate after the other."""
    by_query, by_positive, by_candidate = (np.zeros_like(x) for x in (query, positive, candidates))
    total = 0.0
    for row in range(len(query)):
        share = weight[row] / sum(weight)
        own = query[row] @ positive[row]
        left = [j for j in range(len(candidates)) if j not in excluded[row]]
        odds = {j: math.exp(query[row] @ candidates[j] + log_weights[j] - own) for j in left}
        whole = 1 + math.fsum(odds.values())
        total += share * math.log(whole)
        for j, value in odds.items():
            by_query[row] += share * value / whole * (candidates[j] - positive[row])
            by_positive[row] -= share * value / whole * query[row]
            by_candidate[j] += share * value / whole * query[row]
    return total, by_query, by_positive, by_candidate


@pytest.mark.parametrize("logits_at_a_time", [1, 30, 1 << 18])  # rows one by one, in uneven chunks, all at once
@pytest.mark.parametrize("rows", [1, 23])
@pytest.mark.parametrize("num_items", [None, 40])
def test_the_sampled_softmax_and_its_gradients_are_those_of_the_loops(monkeypatch, logits_at_a_time, rows, num_items):
    monkeypatch.setattr(chunked_softmax, "CHUNK", logits_at_a_time)
    rng = np.random.default_rng(rows)
    query, positive, candidates = (rng.normal(size=(n, 5)) for n in (rows, rows, 11))
    ids = rng.permutation(40)[:11]
    log_weights, weight = rng.normal(size=11), rng.uniform(0.1, 3, rows)
    group = np.sort(rng.integers(0, 6, rows))
    lists = [rng.choice(40, size, replace=False).tolist() for size in (0, 3, 40, 12, 20, 7)]  # the third knows all
    known = KnownPositives(tf.ragged.constant(lists, tf.int64), tf.constant(group, tf.int32))
    tensors = [tf.constant(x) for x in (query, positive, candidates)]

    @tf.function
    def loss_and_gradients():
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            loss = 3.0 * sampled_softmax(
                *tensors, tf.constant(ids), tf.constant(log_weights), known, sample_weight=weight, num_items=num_items
            )
        return loss, *tape.gradient(loss, tensors)

    excluded = [{j for j in range(11) if ids[j] in lists[g]} for g in group]
    expected = sampled_by_loops(query, positive, candidates, log_weights, excluded, weight)
    for found, wanted in zip(loss_and_gradients(), expected, strict=True):
        np.testing.assert_allclose(found, 3 * wanted, rtol=1e-9, atol=1e-12)


@settings(max_examples=15, deadline=None)
@given(ids=st.lists(st.integers(0, 5), min_size=1, max_size=8), seed=st.integers(0, 99), masked=st.booleans())
def test_the_gradients_of_the_in_batch_softmax_are_those_of_finite_differences(ids, seed, masked):
    rng = np.random.default_rng(seed)
    query, table = rng.normal(size=(len(ids), 2)), rng.normal(size=(6, 2))
    probability, weight = rng.uniform(0.01, 1, 6)[ids], rng.uniform(0.1, 2, len(ids))
    positives = [rng.choice(8, 2, replace=False).tolist() for _ in ids] if masked else None
    q, c = tf.constant(query), tf.constant(table)
    with tf.GradientTape() as tape:
        tape.watch([q, c])
        loss = InBatchSoftmax(0.5).call(  # as a Keras layer it would make float32 of the queries
            q,
            tf.gather(c, ids),
            sample_weight=tf.constant(weight),
            candidate_sampling_probability=tf.constant(probability),
            candidate_ids=tf.constant(ids, tf.int64),
            known_positives=tf.ragged.constant(positives, tf.int64) if masked else None,
        )
    by_query, by_item = (tf.convert_to_tensor(g).numpy() for g in tape.gradient(loss, [q, c]))

    def slope(array, cell, step=1e-6):
        values = []
        for sign in (1, -1):
            array[cell] += sign * step
            values.append(plain_loss(query, table[ids], ids, probability, positives, weight, 0.5))
            array[cell] -= sign * step
        return (values[0] - values[1]) / (2 * step)

    for array, found in ((query, by_query), (table, by_item)):
        expected = [slope(array, cell) for cell in np.ndindex(array.shape)]
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4, atol=1e-7)


def test_a_user_who_knows_every_candidate_loses_nothing_and_moves_nothing():
    query, positive, candidates = (tf.ones([n, 3]) for n in (2, 2, 4))
    known = KnownPositives(tf.ragged.constant([[0, 1, 2, 3]], tf.int64), tf.zeros([2], tf.int32))
    with tf.GradientTape() as tape:
        tape.watch([query, positive, candidates])
        loss = sampled_softmax(query, positive, candidates, tf.range(4), tf.zeros([4]), known)
    assert float(loss) == 0.0
    assert all(not g.numpy().any() for g in tape.gradient(loss, [query, positive, candidates]))


def test_the_catalogue_softmax_of_one_item_is_0_of_ties_log_n_and_of_huge_logits_their_distance():
    assert float(catalogue_softmax(tf.ones([2, 3]), tf.ones([1, 3]), tf.constant([0, 0]))) == 0.0
    ties = float(catalogue_softmax(tf.ones([2, 3]), tf.ones([9, 3]), tf.constant([4, 0])))
    assert ties == pytest.approx(math.log(9), rel=1e-6)
    query, items = tf.constant([[1e18, 0.0]]), tf.constant([[1.0, 0.0], [-1.0, 0.0], [0.5, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch([query, items])
        loss = catalogue_softmax(query, items, tf.constant([1]))
    assert float(loss) == pytest.approx(2e18, rel=1e-5)
    assert all(np.isfinite(tf.convert_to_tensor(g)).all() for g in tape.gradient(loss, [query, items]))


@pytest.mark.parametrize("slots", [8, 1 << 20])  # ids that share a slot, and ids that do not
def test_known_positives_are_found_among_candidates_of_a_huge_catalogue(monkeypatch, slots):
    monkeypatch.setattr(exclusions, "DIRECT_SLOTS", slots)
    rng = np.random.default_rng(slots)
    ids = rng.choice(10**12, 60, replace=False)
    lists = [[*rng.choice(ids, 9), *rng.choice(10**12, 30)] for _ in range(7)]
    known = KnownPositives.of_rows(tf.constant(ids[:7]), tf.ragged.constant(lists, tf.int64))
    found = exclusions.exclude(known, tf.constant(ids)).in_rows(tf.zeros([60]), 0, 7, -1.0).numpy()
    expected = [[-1.0 if j == row or ids[j] in lists[row] else 0.0 for j in range(60)] for row in range(7)]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("short", [tf.bfloat16, tf.float16])
@pytest.mark.parametrize(("rows", "spread"), [(40, 1.0), (4096, 0.03)])
def test_shorter_products_change_the_loss_and_its_gradients_by_their_rounding_only(short, rows, spread):
    """Also where probabilities among thousands and weights of 1 / rows would vanish in float16."""
    rng = np.random.default_rng(9)
    tensors = [tf.constant(rng.normal(size=(n, 16)) * spread, tf.float32) for n in (rows, rows, rows + 20)]
    results = {}
    for kind in (tf.float32, short):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            known = KnownPositives.of_rows(tf.range(rows))
            loss = sampled_softmax(*tensors, tf.range(rows + 20), tf.zeros([rows + 20]), known, compute_type=kind)
        results[kind] = [loss.numpy(), *(g.numpy() for g in tape.gradient(loss, tensors))]
    for exact, rounded in zip(*results.values(), strict=True):
        np.testing.assert_allclose(rounded, exact, atol=0.02 * np.abs(exact).max())
    assert any(not np.array_equal(exact, rounded) for exact, rounded in zip(*results.values(), strict=True))
