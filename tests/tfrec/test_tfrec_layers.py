"""Layers against plain loops, and their gradients against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.layers import FeatureEmbedding, PositionWeightedPooling, factorization_machine, mlp
from tfrec.layers.feature_embedding import choose_features
from tfrec.schema import Schema

SCHEMA = """
name: fields
features:
  user_id: {role: user, kind: categorical, id: true}
  amount: {role: user, kind: numeric}
  past: {role: user, kind: sequence, length: 5}
  item_id: {role: item, kind: categorical, id: true}
  tags: {role: item, kind: categorical, separator: "|", max_values: 4}
  title: {role: item, kind: text}
  hour: {role: context, kind: categorical}
split: {strategy: leave_one_out}
"""
NUM_IDS = {"user_id": 6, "item_id": 9, "past": 9, "tags": 5, "hour": 4}


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


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


def embedding_of(schema, names, dim=3):
    layer = FeatureEmbedding(schema, NUM_IDS, names, dim, stddev=0.5, seed=4)
    rng = np.random.default_rng(1)
    for name in names:  # first-order weights start at 0: give them values to tell apart
        layer.first_order[name].assign(rng.normal(size=layer.first_order[name].shape))
    return layer


def test_embedded_fields_are_the_loop_over_rows_and_values(schema, rng):
    names = ("user_id", "amount", "tags", "past", "hour")
    layer = embedding_of(schema, names)
    batch = {
        "user_id": np.array([0, 5, 1, 3]),
        "amount": np.float32([0.5, -2.0, 0.0, 1.0]),
        "tags": np.array([[1, 2, 0, 0], [4, 4, 3, 1], [0, 0, 0, 0], [2, 0, 0, 0]]),
        "past": history_rows(rng, 4, 5, 9),
        "hour": np.array([0, 1, 2, 3]),
    }
    found = layer({name: tf.constant(values) for name, values in batch.items()})
    assert (found.vectors.shape, found.weights.shape) == ((4, 5, 3), (4, 5))
    for row in range(4):
        for field, name in enumerate(names):
            table, weight = layer.tables[name].numpy(), layer.first_order[name].numpy()
            value = batch[name][row]
            if name == "amount":
                vector, first = value * table[0], value * weight[0]
            elif np.ndim(value):
                kept = [v for v in value if v != 0]
                vector = sum((table[v] for v in kept), np.zeros(3)) / max(len(kept), 1)
                first = sum((weight[v] for v in kept), 0.0) / max(len(kept), 1)
            else:
                vector, first = table[value], weight[value]
            np.testing.assert_allclose(found.vectors[row, field], vector, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found.weights[row, field], first, rtol=1e-5, atol=1e-6)


def test_missing_is_learnt_in_a_single_field_and_nothing_in_a_list(schema):
    layer = embedding_of(schema, ("hour", "tags"))
    features = {"hour": tf.constant([0], tf.int64), "tags": tf.zeros([1, 4], tf.int64)}
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(features).vectors)
    gradients = tape.gradient(result, [layer.tables["hour"], layer.tables["tags"]])
    hour, tags = (tf.convert_to_tensor(gradient).numpy() for gradient in gradients)
    assert hour[0].tolist() == [1.0, 1.0, 1.0]
    assert not tags.any()


def test_the_same_seed_gives_the_same_tables_and_fields_differ(schema):
    one, again, other = (
        FeatureEmbedding(schema, {**NUM_IDS, "hour": 6}, ("user_id", "hour"), 3, stddev=1.0, seed=seed)
        for seed in (4, 4, 5)
    )
    assert np.array_equal(one.tables["user_id"], again.tables["user_id"])
    assert not np.array_equal(one.tables["user_id"], other.tables["user_id"])
    assert not np.array_equal(one.tables["user_id"], one.tables["hour"])


def test_features_are_chosen_by_role_and_sequences_only_by_name(schema):
    assert choose_features(schema, None, roles=("user", "context"), key="k") == ("user_id", "amount", "hour")
    assert choose_features(schema, ["past"], roles=("user",), key="k") == ("past",)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("amuont", "model.x: no encoded feature 'amuont' of role user; did you mean 'amount'?"),
        ("tags", "model.x: no encoded feature 'tags' of role user"),
        ("title", "model.x: no encoded feature 'title' of role user"),
    ],
)
def test_a_feature_that_cannot_be_chosen_is_named(schema, name, message):
    with pytest.raises(ConfigError) as caught:
        choose_features(schema, [name], roles=("user",), key="model.x")
    assert str(caught.value).startswith(message)


def test_the_perceptron_is_relu_layers_and_a_linear_output(rng):
    network = mlp([4, 3], input_dropout=0.3, dropout=0.5, l2=0.0, seed=1)
    x = rng.normal(size=(6, 5)).astype(np.float32)
    found = network(tf.constant(x), training=False).numpy()
    weights = [w.numpy() + 0.1 * rng.normal(size=w.shape) for w in network.weights]  # biases start at 0
    network.set_weights(weights)
    hidden = x
    for layer, (kernel, bias) in enumerate(zip(weights[::2], weights[1::2], strict=True)):
        hidden = hidden @ kernel + bias
        hidden = np.maximum(hidden, 0) if layer < 2 else hidden
    assert found.shape == (6, 1)
    np.testing.assert_allclose(network(tf.constant(x), training=False).numpy(), hidden, rtol=1e-4, atol=1e-5)


def test_the_kernel_penalty_is_half_the_weighted_squared_norm():
    network = mlp([4], input_dropout=0.0, dropout=0.0, l2=0.1, seed=1)
    network.build([None, 3])
    kernels = [w.numpy() for w in network.weights if "kernel" in w.name]
    assert float(sum(network.losses)) == pytest.approx(0.1 / 2 * sum((k**2).sum() for k in kernels), rel=1e-5)
