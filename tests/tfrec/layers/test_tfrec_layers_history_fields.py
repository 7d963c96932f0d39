"""Histories as fields against loops over events, and their gradients against finite differences."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.layers.differences import finite_differences
from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.layers import FeatureEmbedding, FieldPlan, HistoryFields, TableConfig
from tfrec.layers.activation_unit import ActivationUnit
from tfrec.schema import Schema

SCHEMA = """
name: past
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  brand: {role: item, kind: categorical}
  past: {role: user, kind: sequence, length: 4}
  past_brands: {role: user, kind: sequence, length: 4, of: brand}
  last: {role: user, kind: sequence, length: 2}
  gaps: {role: user, kind: sequence, length: 4, of: gap_seconds}
timestamp: {column: t, unit: s}
split: {strategy: leave_one_out}
"""
NUM_IDS = {"user_id": 6, "item_id": 20, "brand": 7, "past": 20, "past_brands": 7, "last": 20}
DIM, ROWS = 3, 10
COMPOSED = TableConfig(kind="quotient_remainder", rows=8)


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(0)
    is_event = (np.arange(ROWS) % 5)[:, None] > np.arange(4)
    return {
        "user_id": rng.integers(1, 6, ROWS),
        "item_id": rng.integers(1, 20, ROWS),
        "brand": rng.integers(0, 7, ROWS),
        "past": rng.integers(1, 20, [ROWS, 4]) * is_event,
        "past_brands": rng.integers(0, 7, [ROWS, 4]) * is_event,  # of some events nothing is known
    }


def layers_of(schema, kind, features, tables=None):
    plan = FieldPlan(schema, NUM_IDS, features, tables)
    embedding = FeatureEmbedding(plan, DIM, stddev=1.0, seed=1, first_order=False)
    return embedding, HistoryFields(plan, schema, kind, DIM, units=(5, 4), seed=2)


def slow_unit(unit, event, candidate):
    """The network of one event and one candidate, by the definition."""
    values = np.concatenate([event, candidate, event - candidate, event * candidate])
    for layer, (kernel, bias) in enumerate(zip(unit.kernels, unit.biases, strict=True)):
        values = values @ kernel.numpy() + bias.numpy()
        if layer < len(unit.slopes):
            slope = unit.slopes[layer].numpy()
            values = np.array([v if v > 0 else s * v for v, s in zip(values, slope, strict=True)])
    return values[0]


@pytest.mark.parametrize("features", [["item_id"], ["brand", "user_id", "item_id"]])
@pytest.mark.parametrize("tables", [None, {"item_id": COMPOSED}, {"item_id": TableConfig(kind="hashed", rows=9)}])
@pytest.mark.parametrize("kind", ["mean", "attention"])
def test_a_pooled_history_is_the_loop_over_its_events(schema, batch, kind, features, tables):
    embedding, layer = layers_of(schema, kind, features, tables)
    if kind == "attention":
        for slope in layer._unit.slopes:
            slope.assign(np.random.default_rng(5).normal(size=slope.shape))
    sequences = {"past": "item_id", **({"past_brands": "brand"} if "brand" in features else {})}
    assert layer.fields == tuple(sequences)
    assert layer.required_features == set(sequences)
    tensors = {name: tf.constant(values) for name, values in batch.items()}
    vectors = embedding(tensors).vectors
    found = layer(embedding, tensors, vectors).numpy()
    assert found.shape == (ROWS, len(sequences), DIM)
    for row in range(ROWS):
        candidate = [vectors.numpy()[row, embedding.plan.fields.index(source)] for source in sequences.values()]
        events = []
        for place in range(4):
            if batch["past"][row, place] == 0:
                continue
            ids = {source: batch[name][row, place] for name, source in sequences.items()}
            # The vector of an id, from a batch in which it is the candidate.
            as_candidate = {name: tf.constant([ids.get(name, 1)]) for name in features}
            own = embedding(as_candidate).vectors.numpy()[0]
            events.append([own[embedding.plan.fields.index(source)] for source in sequences.values()])
        expected = np.zeros([len(sequences), DIM])
        for event in events:
            weight = 1 / len(events)
            if kind == "attention":
                weight = slow_unit(layer._unit, np.concatenate(event), np.concatenate(candidate))
            expected += weight * np.array(event)
        np.testing.assert_allclose(found[row], expected, rtol=1e-4, atol=1e-5)


def test_events_start_with_a_weight_around_that_of_a_full_historys_mean(schema):
    """1 / length each, as far as the network does not yet tell them apart."""
    _, layer = layers_of(schema, "attention", ["item_id"])
    small = tf.constant(np.random.default_rng(0).normal(0, 0.01, [50, DIM]), tf.float32)
    weights = layer._unit(small, small, tf.range(50)).numpy()
    np.testing.assert_allclose(weights, 0.25, atol=0.05)
    assert len(np.unique(weights)) == 50


def test_padding_is_not_looked_up(schema, batch):
    """Lazy Adam moves every row of the batch by its momentum, also where the gradient is zero."""
    for kind in ("mean", "attention"):
        embedding, layer = layers_of(schema, kind, ["item_id"])
        features = {"item_id": tf.constant([5], tf.int64), "past": tf.constant([[3, 4, 0, 0]], tf.int64)}
        with tf.GradientTape() as tape:
            result = tf.reduce_sum(layer(embedding, features, embedding(features).vectors))
        gradient = tape.gradient(result, embedding._tables["embedding"])
        touched = set(tf.convert_to_tensor(gradient.indices).numpy().tolist())
        assert touched == ({3, 4} if kind == "mean" else {3, 4, 5})


def test_the_gradients_of_the_attention_are_those_of_finite_differences():
    """In float64: of the events, the candidates and every weight."""
    rng = np.random.default_rng(1)
    unit = ActivationUnit(2, (3,), share=0.5, seed=3)
    row = tf.constant([0, 0, 1, 2])
    goal = rng.normal(size=4)
    values = {
        "events": rng.normal(size=(4, 2)),
        "candidates": rng.normal(size=(3, 2)),
        "kernel_0": rng.normal(size=(8, 3)),
        "kernel_1": rng.normal(size=(3, 1)),
        "bias_0": rng.normal(size=3),
        "bias_1": rng.normal(size=1),
        "slope": rng.normal(size=3),
    }

    def value(given):
        unit.kernels = [given["kernel_0"], given["kernel_1"]]
        unit.biases = [given["bias_0"], given["bias_1"]]
        unit.slopes = [given["slope"]]
        return tf.reduce_sum(unit.call(given["events"], given["candidates"], row) * goal)

    given = {name: tf.constant(array) for name, array in values.items()}
    with tf.GradientTape() as tape:
        tape.watch(given)
        result = value(given)
    for name, gradient in tape.gradient(result, given).items():
        expected = finite_differences(lambda x, name=name: float(value({**given, name: tf.constant(x)})), values[name])
        np.testing.assert_allclose(tf.convert_to_tensor(gradient), expected, rtol=1e-6, atol=1e-8)
        assert np.abs(expected).max() > 0


def test_without_a_history_there_are_no_fields(schema):
    _, layer = layers_of(schema, "none", ["item_id"])
    assert layer.fields == ()
    assert layer.required_features == set()
    assert layer.trainable_variables == []


@pytest.mark.parametrize(
    ("text", "features", "message"),
    [
        (
            SCHEMA.replace("  past: {role: user, kind: sequence, length: 4}\n", "").replace(
                "  last: {role: user, kind: sequence, length: 2}\n", ""
            ),
            ["item_id"],
            "model.history: the dataset has no sequence of items; add one",
        ),
        (SCHEMA, ["user_id"], "model.history: reads the vectors of 'item_id', which is not among model.features"),
        (SCHEMA, ["item_id", "past"], "model.history: 'past' is among model.features too, as a field with a table of"),
    ],
)
def test_what_a_history_needs_is_named(text, features, message):
    schema = parse_config(text, Schema)
    with pytest.raises(ConfigError) as caught:
        layers_of(schema, "mean", features)
    assert str(caught.value).startswith(message)
