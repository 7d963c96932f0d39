"""Embedded fields against loops over rows, fields and values."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.layers import FeatureEmbedding, FieldPlan, TableConfig, choose_features
from tfrec.schema import Schema

SCHEMA = """
name: fields
features:
  user_id: {role: user, kind: categorical, id: true}
  amount: {role: user, kind: numeric}
  age: {role: user, kind: numeric}
  past: {role: user, kind: sequence, length: 5}
  gaps: {role: user, kind: sequence, length: 5, of: gap_seconds}
  times: {role: user, kind: sequence, length: 5, of: event_time_ms}
  item_id: {role: item, kind: categorical, id: true}
  tags: {role: item, kind: categorical, separator: "|", max_values: 4}
  title: {role: item, kind: text}
  hour: {role: context, kind: categorical}
timestamp: {column: t, unit: s}
split: {strategy: leave_one_out}
"""
NUM_IDS = {"user_id": 60, "item_id": 90, "past": 90, "tags": 30, "hour": 4}
WIDTHS = {"past": 5, "tags": 4}
NUMBERS = ("amount", "age")
DIM = 3
HASHED = TableConfig(kind="hashed", rows=9)
COMPOSED = TableConfig(kind="quotient_remainder", rows=8)


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


def embedding_of(schema, names, tables=None, **more):
    layer = FeatureEmbedding(FieldPlan(schema, NUM_IDS, names, tables), DIM, stddev=0.5, seed=4, **more)
    rng = np.random.default_rng(1)
    for variable in layer.first_order:  # they start at 0: give them values to tell apart
        variable.assign(rng.normal(size=variable.shape))
    return layer


def batch_of(names, rows=12, seed=0):
    """Values of every field; the lists have every length from 0, not always at the front."""
    rng = np.random.default_rng(seed)
    batch = {}
    for name in names:
        if name in NUMBERS:
            batch[name] = rng.normal(size=rows).astype(np.float32)
        elif name in WIDTHS:
            values = rng.integers(1, NUM_IDS[name], [rows, WIDTHS[name]])
            batch[name] = values * (rng.integers(0, WIDTHS[name] + 1, [rows, 1]) > np.arange(WIDTHS[name]))
        else:
            batch[name] = rng.integers(0, NUM_IDS[name], rows)
    return batch


def slow_row(number, config):
    if config.kind == "hashed" and number >= 2:
        return 2 + ((number * 0x9E3779B97F4A7C15) % 2**64 >> 32) * (config.rows - 2) // 2**32
    return number


class Loops:
    """The fields of a layer, one after the other; tables are cut where the sizes of the fields before end."""

    def __init__(self, layer, tables):
        self.layer, self.tables = layer, tables
        self.begin, self.begin_quotient, row, quotient = {}, {}, 0, 0
        for name in layer.plan.fields:
            if name in NUMBERS:
                continue
            self.begin[name], self.begin_quotient[name] = row, quotient
            config = tables.get(name, TableConfig())
            row += NUM_IDS[name] if config.kind == "plain" else config.rows
            quotient += -(-NUM_IDS[name] // config.rows) if config.kind == "quotient_remainder" else 0

    def of_id(self, variables, name, number, combine):
        config = self.tables.get(name, TableConfig())
        if config.kind == "quotient_remainder":
            remainder = variables["embedding"][self.begin[name] + number % config.rows]
            quotient = variables["quotients"][self.begin_quotient[name] + number // config.rows]
            return combine(remainder, quotient)
        return variables["embedding"][self.begin[name] + slow_row(number, config)]

    def field(self, variables, name, value, combine):
        if name in NUMBERS:
            return value * variables["numbers"][[n for n in self.layer.plan.fields if n in NUMBERS].index(name)]
        if name not in WIDTHS:
            return self.of_id(variables, name, int(value), combine)
        kept = [self.of_id(variables, name, int(v), combine) for v in value if v != 0]
        return sum(kept, np.zeros(variables["embedding"].shape[1])) / max(len(kept), 1)


CASES = {
    "single ids": (["user_id", "hour"], {}),
    "single ids and numbers": (["user_id", "amount", "hour", "age"], {}),
    "numbers alone": (["amount", "age"], {}),
    "one bag alone": (["tags"], {}),
    "several bags": (["past", "tags", "item_id"], {}),
    "all kinds, plain": (["user_id", "amount", "tags", "past", "hour"], {}),
    "hashed": (["user_id", "tags", "hour"], {"user_id": HASHED, "tags": HASHED}),
    "composed alone": (["item_id"], {"item_id": COMPOSED}),
    "composed bag alone": (["tags"], {"tags": COMPOSED}),
    "all kinds, all tables": (
        ["past", "amount", "user_id", "tags", "item_id", "hour"],
        {"past": COMPOSED, "item_id": COMPOSED, "user_id": HASHED, "tags": HASHED},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_embedded_fields_are_the_loop_over_rows_and_values(schema, case):
    names, tables = CASES[case]
    layer = embedding_of(schema, names, tables)
    assert sorted(layer.plan.fields) == sorted(names)
    batch = batch_of(names)
    loops = Loops(layer, tables)
    found = layer({name: tf.constant(values) for name, values in batch.items()})
    assert (found.vectors.shape, found.weights.shape) == ((12, len(names), DIM), (12, len(names)))
    vectors = {name: variable.numpy() for name, variable in layer._tables.items()}
    weights = {name: variable.numpy() for name, variable in layer._first_order.items()}
    for row in range(12):
        for field, name in enumerate(layer.plan.fields):
            vector = loops.field(vectors, name, batch[name][row], lambda one, other: one * other)
            weight = loops.field(weights, name, batch[name][row], lambda one, other: one + other)
            np.testing.assert_allclose(found.vectors[row, field], vector, rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(found.weights[row, field], weight[0], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [None, 8, 13, 64, 1000])
def test_every_id_has_its_own_pair_of_quotient_and_remainder(schema, rows):
    for num_ids in (2, 8, 9, 64, 65, 1000):
        tables = {"item_id": TableConfig(kind="quotient_remainder", rows=rows)}
        layer = FeatureEmbedding(
            FieldPlan(schema, {"item_id": num_ids}, ["item_id"], tables), 2, stddev=1.0, seed=1, first_order=False
        )
        remainders, quotients = layer._tables["embedding"], layer._tables["quotients"]
        # A product of (r, 1) and (1, q) is (r, q).
        remainders.assign([[row, 1.0] for row in range(remainders.shape[0])])
        quotients.assign([[1.0, row] for row in range(quotients.shape[0])])
        pairs = layer({"item_id": tf.range(num_ids, dtype=tf.int64)}).vectors.numpy()[:, 0]
        assert len(np.unique(pairs, axis=0)) == num_ids


@pytest.mark.parametrize("tables", [{}, {"past": COMPOSED}, {"past": HASHED, "tags": COMPOSED}])
def test_a_batch_of_empty_lists_is_zero_vectors_and_changes_no_row(schema, tables):
    layer = embedding_of(schema, ("past", "tags"), tables)
    features = {"past": tf.zeros([3, 5], tf.int64), "tags": tf.zeros([3, 4], tf.int64)}
    with tf.GradientTape() as tape:
        found = layer(features)
        result = tf.reduce_sum(found.vectors) + tf.reduce_sum(found.weights)
    assert not found.vectors.numpy().any()
    assert not found.weights.numpy().any()
    for gradient in tape.gradient(result, layer.trainable_variables):
        assert gradient is None or len(gradient.indices) == 0


@pytest.mark.parametrize("tables", [{}, {"past": COMPOSED, "tags": COMPOSED}])
def test_padding_is_not_looked_up_so_an_optimiser_does_not_touch_it(schema, tables):
    """Lazy Adam moves every row of the batch by its momentum, also where the gradient is zero."""
    layer = embedding_of(schema, ("past", "tags"), tables)
    features = {"past": tf.constant([[3, 4, 0, 0, 0]], tf.int64), "tags": tf.constant([[5, 0, 0, 0]], tf.int64)}
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(features).vectors)
    gradient = tape.gradient(result, layer._tables["embedding"])
    begin = layer.plan.first_row
    touched = {begin["past"] + 3, begin["past"] + 4, begin["tags"] + 5}
    assert set(tf.convert_to_tensor(gradient.indices).numpy().tolist()) == touched


def test_missing_is_learnt_in_a_single_field_and_nothing_in_a_list(schema):
    layer = embedding_of(schema, ("hour", "tags"))
    features = {"hour": tf.constant([0], tf.int64), "tags": tf.constant([[0, 2, 0, 0]], tf.int64)}
    with tf.GradientTape() as tape:
        result = tf.reduce_sum(layer(features).vectors)
    rows = tf.convert_to_tensor(tape.gradient(result, layer._tables["embedding"])).numpy()
    begin = layer.plan.first_row
    assert rows[begin["hour"]].tolist() == [1.0, 1.0, 1.0]
    assert rows[begin["tags"] + 2].tolist() == [1.0, 1.0, 1.0]
    assert rows.sum() == 6.0  # and nowhere else


@pytest.mark.parametrize("case", ["all kinds, plain", "all kinds, all tables"])
def test_the_gradients_of_all_tables_are_those_of_finite_differences(schema, case):
    names, tables = CASES[case]
    layer = embedding_of(schema, names, tables)
    batch = {name: tf.constant(values) for name, values in batch_of(names, rows=3).items()}
    rng = np.random.default_rng(2)
    goal, goal_of_weights = rng.normal(size=(3, len(names), DIM)), rng.normal(size=(3, len(names)))

    def value():
        found = layer(batch)
        return tf.reduce_sum(found.vectors * goal) + tf.reduce_sum(found.weights * goal_of_weights)

    with tf.GradientTape() as tape:
        result = value()
    for variable, gradient in zip(
        layer.trainable_variables, tape.gradient(result, layer.trainable_variables), strict=True
    ):
        gradient = tf.convert_to_tensor(gradient).numpy()
        start = variable.numpy()
        some = [tuple(index) for index in rng.permutation(np.argwhere(gradient != 0))[:12]]
        assert some
        for index in [*some, *map(tuple, rng.permutation(np.argwhere(gradient == 0))[:4])]:
            step = np.zeros_like(start)
            step[index] = 0.5  # bilinear in all tables: exact for any step
            variable.assign(start + step)
            up = float(value())
            variable.assign(start - step)
            down = float(value())
            variable.assign(start)
            assert up - down == pytest.approx(gradient[index], abs=1e-4)


def test_without_first_order_terms_the_weights_are_zero(schema):
    layer = embedding_of(schema, ("user_id", "amount", "tags"), first_order=False)
    found = layer({name: tf.constant(values) for name, values in batch_of(("user_id", "amount", "tags")).items()})
    assert found.weights.numpy().tolist() == [[0.0] * 3] * 12
    assert layer.first_order == []
    assert sorted(variable.shape[1] for variable in layer.trainable_variables) == [DIM, DIM]


def test_the_same_seed_gives_the_same_tables_and_rows_differ(schema):
    one, again, other = (
        FeatureEmbedding(FieldPlan(schema, NUM_IDS, ("user_id", "hour")), DIM, stddev=1.0, seed=seed)
        for seed in (4, 4, 5)
    )
    tables = [layer._tables["embedding"].numpy() for layer in (one, again, other)]
    assert np.array_equal(tables[0], tables[1])
    assert not np.array_equal(tables[0], tables[2])
    assert len(np.unique(tables[0], axis=0)) == 64


def test_a_product_starts_as_spread_as_a_plain_row(schema):
    tables = {"item_id": TableConfig(kind="quotient_remainder")}
    layer = FeatureEmbedding(FieldPlan(schema, {"item_id": 10_000}, ["item_id"], tables), 8, stddev=0.05, seed=1)
    found = layer({"item_id": tf.range(10_000, dtype=tf.int64)}).vectors.numpy()
    assert found.std() == pytest.approx(0.05, rel=0.05)
    assert found.mean() == pytest.approx(0.0, abs=0.01)


# --- Which features are fields ---


def test_the_table_shapes_are_those_of_the_variables(schema):
    for names, tables in CASES.values():
        layer = embedding_of(schema, names, tables)
        shapes = layer.plan.table_shapes(DIM, first_order=True)
        found = sorted(tuple(variable.shape) for variable in layer.trainable_variables)
        assert sorted((shape.rows, shape.dim) for shape in shapes) == found


def test_features_are_chosen_by_role_and_sequences_only_by_name(schema):
    assert choose_features(schema, None, roles=("user", "context"), key="k") == ("user_id", "amount", "age", "hour")
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


@pytest.mark.parametrize(("name", "of"), [("gaps", "gap_seconds"), ("times", "event_time_ms")])
def test_a_sequence_without_ids_is_no_field(schema, name, of):
    with pytest.raises(ConfigError) as caught:
        FieldPlan(schema, NUM_IDS, ["user_id", name])
    message = f"feature '{name}': a sequence of {of} has no ids to embed; leave it out of the model's features"
    assert str(caught.value) == message


@pytest.mark.parametrize("name", ["tgas", "amount"])
def test_a_table_of_what_is_no_field_with_ids_is_named(schema, name):
    with pytest.raises(ConfigError, match=f"model.tables: no field with ids is called '{name}'"):
        FieldPlan(schema, NUM_IDS, ["user_id", "tags", "amount"], {name: HASHED})
