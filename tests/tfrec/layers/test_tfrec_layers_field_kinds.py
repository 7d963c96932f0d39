"""Fields of vectors, of weighted values and of declared crosses, against loops over rows and values."""

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.layers.differences import finite_differences
from tests.tfrec.layers.field_world import COMPOSED, DIM, NUM_IDS, ROWS, SCHEMA, embedding_of
from tests.tfrec.layers.test_tfrec_layers_crosses import slow_id
from tfrec.config_file import parse_config
from tfrec.layers import FeatureEmbedding, FieldPlan
from tfrec.row_sums import sum_rows
from tfrec.schema import Schema

CROSSES = {"user_x_age": (("user_id", "age"), 40), "age_x_tags": (("age", "tags"), 30)}


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


@pytest.fixture(scope="module")
def batch():
    rng = np.random.default_rng(3)

    def several(size, width):
        count = np.arange(ROWS)[:, None] % (width + 1)
        return rng.integers(1, size, [ROWS, width]) * (count > np.arange(width))

    tags = several(12, 3)
    weights = rng.choice([0.0, 0.5, 1.0, 3.0], [ROWS, 3]).astype(np.float32)
    weights[-1] = 0.0  # a row whose values all weigh nothing
    return {
        "user_id": rng.integers(1, 20, ROWS),
        "age": np.arange(ROWS) % 6,
        "score": rng.normal(size=ROWS).astype(np.float32),
        "item_id": rng.integers(1, 25, ROWS),
        "tags": tags,
        "tag_weights": weights * (tags != 0),
        "topics": several(9, 2),
        "picture": rng.normal(size=(ROWS, 4)).astype(np.float32) * (np.arange(ROWS) % 3 != 0)[:, None].astype("f4"),
        "sound": rng.normal(size=(ROWS, 2)).astype(np.float32),
    }


def tensors(batch):
    return {name: tf.constant(values) for name, values in batch.items()}


def slow_mean(rows, weights):
    total = sum(abs(weight) for weight in weights)
    width = rows[0].shape[0] if rows else DIM
    return sum((w * r for w, r in zip(weights, rows, strict=True)), np.zeros(width)) / (total or 1.0)


def crossed(name, batch, row):
    """(ids, weights) of a cross in one row."""
    parts, buckets = CROSSES[name]
    if name == "user_x_age":
        return [slow_id([int(batch[part][row]) for part in parts], buckets)], [1.0]
    ids = [slow_id((int(batch["age"][row]), int(tag)), buckets) for tag in batch["tags"][row]]
    kept = [(i, float(w)) for i, w in zip(ids, batch["tag_weights"][row], strict=True) if i != 0]
    return [i for i, _ in kept], [w for _, w in kept]


def slow_field(layer, variables, name, batch, row):
    """One field of one row from a set of tables, by loops."""
    begin = layer.plan.first_row
    if name in ("picture", "sound"):
        matrix = variables[f"vector_{name}"].numpy()
        return sum(value * matrix[place] for place, value in enumerate(batch[name][row]))
    if name == "score":
        return batch[name][row] * variables["numbers"].numpy()[0]
    table = variables["embedding"].numpy()
    if name == "user_x_age":
        return table[begin[name] + crossed(name, batch, row)[0][0]]
    if name == "age_x_tags":
        ids, weights = crossed(name, batch, row)
        return slow_mean([table[begin[name] + i] for i in ids], weights) if ids else np.zeros(table.shape[1])
    if name in ("tags", "topics"):
        values = batch["tag_weights"][row] if name == "tags" else np.ones(2)
        kept = [(table[begin[name] + i], w) for i, w in zip(batch[name][row], values, strict=True) if i != 0]
        return slow_mean([r for r, _ in kept], [float(w) for _, w in kept]) if kept else np.zeros(table.shape[1])
    return table[begin[name] + batch[name][row]]


CASES = {
    "a vector alone": (["picture"], {}),
    "vectors between other kinds": (["picture", "user_id", "score", "sound"], {}),
    "weighted values beside others": (["topics", "tags", "age"], {}),
    "weighted values alone": (["tags"], {}),
    "crosses as fields": (["user_id", "tags"], {"crosses": ("age_x_tags", "user_x_age")}),
    "wide crosses": (["user_id", "score", "picture"], {"wide_crosses": ("age_x_tags", "user_x_age")}),
    "a wide cross alone": ([], {"wide_crosses": ("user_x_age",)}),
    "all": (["user_id", "age", "score", "item_id", "tags", "topics", "picture", "sound"], {"crosses": tuple(CROSSES)}),
}


@pytest.mark.parametrize("case", CASES)
def test_fields_and_terms_are_the_loop_over_rows_and_values(schema, batch, case):
    features, crosses = CASES[case]
    layer = embedding_of(schema, features, dim=DIM if features else 0, **crosses)
    plan = layer.plan
    assert sorted(plan.fields) == sorted([*features, *crosses.get("crosses", ())])
    assert sorted(plan.terms) == sorted([*plan.fields, *crosses.get("wide_crosses", ())])
    found = layer(tensors(batch))
    assert found.vectors.shape == (ROWS, len(plan.fields), DIM if features else 0)
    assert found.weights.shape == (ROWS, len(plan.terms))
    for row in range(ROWS):
        for place, name in enumerate(plan.fields):
            expected = slow_field(layer, layer._tables, name, batch, row)
            np.testing.assert_allclose(found.vectors[row, place], expected, rtol=1e-5, atol=1e-6)
        for place, name in enumerate(plan.terms):
            expected = slow_field(layer, layer._first_order, name, batch, row)
            np.testing.assert_allclose(found.weights[row, place], expected[0], rtol=1e-5, atol=1e-6)


def test_a_composed_field_of_weighted_values_is_their_weighted_mean(schema, batch):
    layer = embedding_of(schema, ["tags"], {"tags": COMPOSED})
    found = layer(tensors(batch)).vectors.numpy()[:, 0]
    remainders, quotients = layer._tables["embedding"].numpy(), layer._tables["quotients"].numpy()
    for row in range(ROWS):
        kept = [
            (remainders[i % 8] * quotients[i // 8], float(w))
            for i, w in zip(batch["tags"][row], batch["tag_weights"][row], strict=True)
            if i != 0
        ]
        expected = slow_mean([r for r, _ in kept], [w for _, w in kept])
        np.testing.assert_allclose(found[row], expected, rtol=1e-5, atol=1e-6)


def test_equal_weights_are_a_plain_mean_whatever_they_are(schema, batch):
    layer = embedding_of(schema, ["tags"])
    is_value = (batch["tags"] != 0).astype(np.float32)
    of_ones, of_threes = (
        layer(tensors({**batch, "tag_weights": weight * is_value})).vectors.numpy() for weight in (1.0, 3.0)
    )
    np.testing.assert_allclose(of_ones, of_threes, rtol=1e-6)


@pytest.mark.parametrize("case", ["vectors between other kinds", "all", "wide crosses"])
def test_the_gradients_of_all_tables_are_those_of_finite_differences(schema, batch, case):
    features, crosses = CASES[case]
    layer = embedding_of(schema, features, **crosses)
    batch = {name: values[:5] for name, values in batch.items()}
    rng = np.random.default_rng(2)
    of_vectors = rng.normal(size=(5, len(layer.plan.fields), DIM))
    of_weights = rng.normal(size=(5, len(layer.plan.terms)))

    def value():
        found = layer(tensors(batch))
        return tf.reduce_sum(found.vectors * of_vectors) + tf.reduce_sum(found.weights * of_weights)

    with tf.GradientTape() as tape:
        result = value()
    variables = layer.trainable_variables
    for variable, gradient in zip(variables, tape.gradient(result, variables), strict=True):
        gradient = tf.convert_to_tensor(gradient).numpy()
        start = variable.numpy()
        for index in map(tuple, rng.permutation(np.argwhere(gradient != 0))[:8]):
            moved = []
            for sign in (0.5, -0.5):  # linear in every table: exact for any step
                step = np.zeros_like(start)
                step[index] = sign
                variable.assign(start + step)
                moved.append(float(value()))
            variable.assign(start)
            assert moved[0] - moved[1] == pytest.approx(gradient[index], abs=1e-4)


def test_the_table_shapes_are_those_of_the_variables(schema):
    for features, crosses in CASES.values():
        layer = embedding_of(schema, features, dim=DIM if features else 0, **crosses)
        shapes = layer.plan.table_shapes(DIM if features else 0, first_order=True)
        found = sorted(tuple(variable.shape) for variable in layer.trainable_variables)
        assert sorted((shape.rows, shape.dim) for shape in shapes) == found


def test_a_projected_vector_starts_as_spread_as_an_embedding(schema):
    text = SCHEMA.replace("length: 4", "length: 400")
    plan = FieldPlan(parse_config(text, Schema), NUM_IDS, ["picture"])
    layer = FeatureEmbedding(plan, 64, stddev=0.05, seed=1, first_order=False)
    values = np.random.default_rng(0).normal(size=(200, 400)).astype(np.float32)
    assert layer({"picture": tf.constant(values)}).vectors.numpy().std() == pytest.approx(0.05, rel=0.05)


def test_the_gradient_of_weighted_means_in_float64_is_that_of_finite_differences():
    """Of the vectors and of the weights, through the sum over values."""
    rng = np.random.default_rng(0)
    vectors, places, goal = rng.normal(size=(6, 2)), [0, 0, 1, 1, 1, 3], rng.normal(size=(4, 2))
    weights = rng.uniform(0.1, 1, 6)

    def value(vectors, weights):
        return tf.reduce_sum(sum_rows(vectors, tf.constant(places), 4, weights) * goal)

    variables = tf.Variable(vectors), tf.Variable(weights)
    with tf.GradientTape() as tape:
        result = value(*map(tf.convert_to_tensor, variables))
    of_vectors, of_weights = (tf.convert_to_tensor(g).numpy() for g in tape.gradient(result, variables))
    expected = finite_differences(lambda x: float(value(tf.constant(x), tf.constant(weights))), vectors)
    np.testing.assert_allclose(of_vectors, expected, rtol=1e-6, atol=1e-8)
    expected = finite_differences(lambda w: float(value(tf.constant(vectors), tf.constant(w))), weights)
    np.testing.assert_allclose(of_weights, expected, rtol=1e-6, atol=1e-8)
