"""Layers against plain loops, and their gradients against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.layers import MLP, PositionWeightedPooling, dropout, factorization_machine


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.mark.parametrize(("batch", "fields", "dim"), [(3, 4, 5), (1, 1, 3), (2, 2, 1), (4, 7, 2)])
def test_the_factorisation_machine_is_the_double_loop_over_pairs(rng, batch, fields, dim):
    x = rng.normal(size=(batch, fields, dim))
    expected = [sum(x[b, i] @ x[b, j] for i in range(fields) for j in range(i + 1, fields)) for b in range(batch)]
    np.testing.assert_allclose(factorization_machine(tf.constant(x)).numpy(), expected, rtol=1e-10, atol=1e-12)


def finite_differences(function, x, step=1e-6):
    """Central differences of a scalar function of an array, one entry at a time."""
    gradient = np.zeros_like(x)
    for index in np.ndindex(x.shape):
        up, down = x.copy(), x.copy()
        up[index] += step
        down[index] -= step
        gradient[index] = (function(up) - function(down)) / (2 * step)
    return gradient


def test_the_gradient_of_the_factorisation_machine_is_that_of_finite_differences(rng):
    x = rng.normal(size=(2, 3, 4))
    weights = tf.constant([1.0, -2.0], tf.float64)

    def value(x):
        return tf.reduce_sum(weights * factorization_machine(tf.convert_to_tensor(x)))

    variable = tf.Variable(x)
    with tf.GradientTape() as tape:
        result = value(variable)
    found = tape.gradient(result, variable).numpy()
    np.testing.assert_allclose(found, finite_differences(lambda x: float(value(x)), x), rtol=1e-6, atol=1e-8)


def history_rows(rng, batch, length, num_ids):
    """Histories of every length from 0, padded at the end."""
    ids = np.zeros((batch, length), np.int64)
    for row in range(batch):
        count = row % (length + 1)
        ids[row, :count] = rng.integers(1, num_ids, count)
    return ids


def test_pooling_is_the_loop_over_the_history_from_its_latest_item(rng):
    length, dim, half_life = 5, 3, 2.0
    layer = PositionWeightedPooling(length, dim, half_life)
    table, ids = rng.normal(size=(9, dim)).astype(np.float32), history_rows(rng, 12, length, 9)
    expected = np.zeros((12, dim))
    for row in range(12):
        items = [item for item in ids[row] if item != 0]
        for recency, item in enumerate(reversed(items)):
            expected[row] += 0.5 ** (recency / half_life) * table[item]
    np.testing.assert_allclose(layer(tf.constant(table), tf.constant(ids)).numpy(), expected, rtol=1e-5, atol=1e-6)


def test_pooling_uses_a_weight_per_recency_and_dimension(rng):
    layer = PositionWeightedPooling(3, 2)
    weights = rng.normal(size=(3, 2)).astype(np.float32)
    layer.weights_by_recency.assign(weights)
    table = rng.normal(size=(4, 2)).astype(np.float32)
    found = layer(tf.constant(table), tf.constant([[2, 3, 0]], tf.int64)).numpy()[0]
    np.testing.assert_allclose(found, weights[0] * table[3] + weights[1] * table[2], rtol=1e-5)


def test_an_empty_history_is_a_zero_vector_even_where_the_padding_row_is_not(rng):
    layer = PositionWeightedPooling(4, 2)
    table = tf.constant(rng.normal(size=(3, 2)), tf.float32)
    assert layer(table, tf.zeros([2, 4], tf.int64)).numpy().tolist() == [[0.0, 0.0], [0.0, 0.0]]


def test_the_gradients_of_pooling_are_those_of_finite_differences(rng):
    layer = PositionWeightedPooling(4, 2, half_life=3.0)
    table, ids = rng.normal(size=(6, 2)).astype(np.float32), history_rows(rng, 5, 4, 6)
    goal = rng.normal(size=(5, 2)).astype(np.float32)
    initial = layer.weights_by_recency.numpy()

    def value(table, weights):
        total = 0.0
        for row in range(5):
            items = [item for item in ids[row] if item][::-1]
            total += sum(np.dot(goal[row], weights[r] * table[item]) for r, item in enumerate(items))
        return total

    variable = tf.Variable(table)
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(variable, tf.constant(ids)) * goal)
    by_table, by_weights = tape.gradient(result, [variable, layer.weights_by_recency])
    by_table = tf.convert_to_tensor(by_table).numpy()
    t64, w64 = table.astype(np.float64), initial.astype(np.float64)
    np.testing.assert_allclose(by_table, finite_differences(lambda x: value(x, w64), t64), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(
        by_weights.numpy(), finite_differences(lambda x: value(t64, x), w64), rtol=1e-4, atol=1e-5
    )
    assert by_table[0].tolist() == [0.0, 0.0]  # padding learns nothing


def test_the_perceptron_is_relu_layers_and_a_linear_output(rng):
    network = MLP(5, [4, 3], input_dropout=0.3, dropout=0.5, seed=1)
    for bias in network.biases:  # they start at 0
        bias.assign(rng.normal(size=bias.shape))
    x = rng.normal(size=(6, 5)).astype(np.float32)
    hidden = x.astype(np.float64)
    for layer, (kernel, bias) in enumerate(zip(network.kernels, network.biases, strict=True)):
        hidden = hidden @ kernel.numpy() + bias.numpy()
        hidden = np.maximum(hidden, 0) if layer < 2 else hidden
    found = network(tf.constant(x))
    assert (found.shape, found.dtype) == ((6,), tf.float32)
    np.testing.assert_allclose(found, hidden[:, 0], rtol=1e-4, atol=1e-5)


def test_a_perceptron_without_hidden_layers_is_linear(rng):
    network = MLP(5, [], seed=1)
    x = rng.normal(size=(6, 5)).astype(np.float32)
    np.testing.assert_allclose(network(tf.constant(x)), x @ network.kernels[0].numpy()[:, 0], rtol=1e-4, atol=1e-6)


def test_kernels_are_glorot_uniform_and_follow_from_the_seed():
    one, again, other = (MLP(200, [300], seed=seed) for seed in (3, 3, 4))
    limit = (6 / 500) ** 0.5
    kernel = one.kernels[0].numpy()
    assert (np.abs(kernel) <= limit).all()
    assert kernel.std() == pytest.approx(limit / 3**0.5, rel=0.02)  # of a uniform distribution
    assert np.array_equal(kernel, again.kernels[0])
    assert not np.array_equal(kernel, other.kernels[0])


def test_the_perceptrons_dropout_is_that_of_its_seeds_in_front_of_each_layer(rng):
    network = MLP(5, [4, 3], input_dropout=0.3, dropout=0.5, seed=1)
    x = rng.normal(size=(64, 5)).astype(np.float32)
    seeds = [tf.constant([7, salt], tf.int32) for salt in range(3)]
    hidden = tf.constant(x)
    for layer, rate in enumerate([0.3, 0.5, 0.5]):
        kept = dropout(hidden, rate, seeds[layer]).numpy()
        hidden = kept @ network.kernels[layer].numpy() + network.biases[layer].numpy()
        hidden = np.maximum(hidden, 0) if layer < 2 else hidden
    np.testing.assert_allclose(network(tf.constant(x), seeds=seeds), hidden[:, 0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("short", [tf.bfloat16, tf.float16])
def test_short_types_in_the_hidden_layers_stay_close_and_the_output_is_float32(rng, short):
    network = MLP(24, [32, 16], seed=2)
    x = tf.constant(rng.normal(size=(128, 24)), tf.float32)

    def outputs_and_gradients(compute_type):
        with tf.GradientTape() as tape:
            outputs = network(x, compute_type=compute_type)
            loss = tf.reduce_mean(tf.square(outputs - 1.0))
        return outputs, tape.gradient(loss, [*network.kernels, *network.biases])

    exact, exact_gradients = outputs_and_gradients(tf.float32)
    found, gradients = outputs_and_gradients(short)
    assert found.dtype == tf.float32
    assert not np.array_equal(found, exact)  # it did compute in the short type
    assert np.abs(found - exact).max() < 0.02 * np.abs(exact).max()
    for gradient, reference in zip(gradients, exact_gradients, strict=True):
        assert gradient.dtype == tf.float32
        assert np.linalg.norm(gradient - reference) < 0.05 * np.linalg.norm(reference)


def test_the_gradients_of_the_perceptron_are_those_of_finite_differences(rng):
    network = MLP(3, [4], seed=2)
    x = rng.normal(size=(5, 3)).astype(np.float32)
    goal = rng.normal(size=5).astype(np.float32)
    kernels = [kernel.numpy().astype(np.float64) for kernel in network.kernels]

    def value(first, second):
        return float(goal @ (np.maximum(x @ first, 0) @ second)[:, 0])

    with tf.GradientTape() as tape:
        result = tf.reduce_sum(network(tf.constant(x)) * goal)
    by_first, by_second = tape.gradient(result, network.kernels)
    expected = finite_differences(lambda k: value(k, kernels[1]), kernels[0])
    np.testing.assert_allclose(by_first, expected, rtol=1e-3, atol=1e-5)
    expected = finite_differences(lambda k: value(kernels[0], k), kernels[1])
    np.testing.assert_allclose(by_second, expected, rtol=1e-3, atol=1e-5)


def test_dropout_zeroes_its_share_and_keeps_the_mean():
    ones = tf.ones([200, 500])
    kept = dropout(ones, 0.3, tf.constant([1, 2])).numpy()
    assert set(np.unique(kept)) == {np.float32(0), np.float32(1 / 0.7)}
    assert (kept == 0).mean() == pytest.approx(0.3, abs=0.01)  # 0.0015 is one standard deviation
    assert kept.mean() == pytest.approx(1.0, abs=0.02)


def test_the_seed_decides_what_is_dropped():
    ones = tf.ones([20, 30])
    one, again, other, by_salt = (dropout(ones, 0.5, tf.constant(seed)) for seed in ([1, 2], [1, 2], [3, 2], [1, 3]))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
    assert not np.array_equal(one, by_salt)


def test_nothing_is_dropped_outside_of_training_or_at_rate_zero(rng):
    values = tf.constant(rng.normal(size=(9, 9)))
    assert np.array_equal(dropout(values, 0.9, None), values)
    assert np.array_equal(dropout(values, 0.0, tf.constant([1, 2])), values)


def test_the_gradient_of_dropout_goes_to_what_was_kept(rng):
    values = tf.Variable(rng.normal(size=(9, 9)).astype(np.float32))
    with tf.GradientTape() as tape:
        kept = dropout(values, 0.4, tf.constant([1, 2]))
        result = tf.reduce_sum(kept)
    expected = np.where(kept.numpy() == 0, 0.0, np.float32(1 / 0.6))
    np.testing.assert_allclose(tape.gradient(result, values), expected, rtol=1e-6)
