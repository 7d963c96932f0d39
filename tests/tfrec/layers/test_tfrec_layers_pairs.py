"""Cross layers and dot interactions against double loops, and their gradients against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.layers.differences import finite_differences
from tfrec.layers import CrossNetwork
from tfrec.layers.dot_interactions import DotInteractions

FULL_AND_LOW = pytest.mark.parametrize("rank", [None, 2])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def randomised(network, rng):
    """Biases start at 0: give all weights values to tell apart."""
    for variable in network.trainable_variables:
        variable.assign(rng.normal(size=variable.shape))
    return network


def slow_crosses(network, rank, x0):
    """The definition by loops over layers and components."""
    kernels = [kernel.numpy() for kernel in network.kernels]
    biases = [bias.numpy() for bias in network.biases]
    width, x = len(x0), list(x0)
    for layer, bias in enumerate(biases):
        matrix = kernels[layer] if rank is None else kernels[2 * layer] @ kernels[2 * layer + 1]
        crossed = []
        for i in range(width):
            product = bias[i]
            for j in range(width):
                product += matrix[j, i] * x[j]
            crossed.append(x0[i] * product + x[i])
        x = crossed
    return x


@FULL_AND_LOW
@pytest.mark.parametrize("layers", [1, 3])
def test_a_cross_network_is_the_double_loop_over_its_components(rng, rank, layers):
    network = randomised(CrossNetwork(5, layers, rank=rank, dtype=tf.float64), rng)
    x = rng.normal(size=(4, 5))
    expected = [slow_crosses(network, rank, row) for row in x]
    np.testing.assert_allclose(network(tf.constant(x)).numpy(), expected, rtol=1e-9)


@FULL_AND_LOW
def test_the_gradients_of_a_cross_network_are_those_of_finite_differences(rng, rank):
    network = randomised(CrossNetwork(4, 2, rank=rank, dtype=tf.float64), rng)
    x, goal = rng.normal(size=(2, 4)), rng.normal(size=(2, 4))

    def value(x):
        return tf.reduce_sum(network(tf.constant(x)) * goal)

    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(network(inputs) * goal)
    of_inputs, *of_weights = tape.gradient(result, [inputs, *network.trainable_variables])
    np.testing.assert_allclose(of_inputs, finite_differences(lambda x: float(value(x)), x), rtol=1e-6, atol=1e-8)
    for variable, gradient in zip(network.trainable_variables, of_weights, strict=True):
        start = variable.numpy()

        def at(weights, variable=variable):
            variable.assign(weights)
            return float(value(x))

        expected = finite_differences(at, start)
        variable.assign(start)
        np.testing.assert_allclose(gradient, expected, rtol=1e-6, atol=1e-7)


@FULL_AND_LOW
def test_the_matrices_of_a_cross_network_follow_from_the_seed_and_none_repeats_another(rank):
    one, again, other = ([k.numpy() for k in CrossNetwork(12, 2, rank=rank, seed=s).kernels] for s in (3, 3, 4))
    assert [kernel.shape for kernel in one] == ([(12, 12)] * 2 if rank is None else [(12, 2), (2, 12)] * 2)
    assert all(np.array_equal(a, b) for a, b in zip(one, again, strict=True))
    assert not any(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    first = {round(float(kernel.ravel()[0] / np.abs(kernel).max()), 4) for kernel in one}
    assert len(first) == len(one)
    for kernel in one:
        limit = (6 / sum(kernel.shape)) ** 0.5
        assert 0.8 * limit < np.abs(kernel).max() <= limit


@pytest.mark.parametrize(("batch", "fields", "dim"), [(3, 4, 5), (2, 2, 1), (1, 6, 2), (2, 1, 3)])
def test_dot_interactions_are_the_double_loop_over_pairs(rng, batch, fields, dim):
    x = rng.normal(size=(batch, fields, dim)).astype(np.float32)
    expected = [[row[i] @ row[j] for i in range(fields) for j in range(i)] for row in x]
    found = DotInteractions()(tf.constant(x)).numpy()
    assert found.shape == (batch, fields * (fields - 1) // 2)
    np.testing.assert_allclose(found, np.reshape(expected, found.shape), rtol=1e-5, atol=1e-6)


def test_the_gradient_of_dot_interactions_is_that_of_finite_differences(rng):
    x, goal = rng.normal(size=(2, 3, 4)), rng.normal(size=(2, 3))
    layer = DotInteractions(dtype=tf.float64)

    def value(x):
        return tf.reduce_sum(layer(tf.constant(x)) * goal)

    inputs = tf.Variable(x)
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(inputs + 0.0) * goal)
    found = tape.gradient(result, inputs).numpy()
    np.testing.assert_allclose(found, finite_differences(lambda x: float(value(x)), x), rtol=1e-6, atol=1e-8)
