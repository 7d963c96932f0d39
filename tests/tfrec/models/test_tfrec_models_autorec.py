"""AutoRec against plain loops over ratings, and the contract of retrieval models."""

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.rated_rows import FEW, FEW_ITEMS, POPULAR, check_job_on_ratings, few_rated, many_rated
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of, request
from tfrec.models.autoencoders import observed
from tfrec.models.autorec import AutoRec, AutoRecConfig
from tfrec.models.profiles.cold_start import TIE_BREAK
from tfrec.schema import ITEM_INDEX, USER_INDEX

NON_DEFAULT = {
    "rows": "users",
    "profile": "history",
    "hidden_dim": 7,
    "l2": 2.5,
    "hidden_activation": "relu",
    "output_activation": "sigmoid",
    "center": True,
    "input_dropout": 0.25,
    "unobserved_weight": 0.5,
}


class TestAutoRecOfUsers(PersonalContract):
    model = "autorec"
    overrides = (
        *("model.rows=users", "model.hidden_dim=64", "model.l2=1", "model.input_dropout=0.5", "train.batch_size=50"),
        *("train.learning_rate=0.015", "train.epochs=10"),
    )
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.25, 2.0


class TestAutoRecOfItems(PersonalContract):
    model = "autorec"
    overrides = (
        *("model.rows=items", "model.hidden_dim=64", "model.l2=1", "model.input_dropout=0.5", "train.batch_size=25"),
        *("train.learning_rate=0.015", "train.epochs=10"),
    )
    non_default = {**NON_DEFAULT, "rows": "users"}
    favourite_genre_share, favourite_genre_gain = 0.25, 2.0


# --- Plain loops ---

ACTIVATIONS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": np.tanh,
    "relu": lambda x: np.maximum(x, 0),
    "identity": lambda x: x,
}


def with_random_weights(model, seed=3):
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.5, variable.shape))
    model.refresh()
    return model


class ByHand:
    """What a model says, entry by entry from its weights, in float64."""

    def __init__(self, model, rows):
        """`rows`: of users or items, {column index: value}."""
        self.config, self.rows = model.config, rows
        self.v, self.c, self.w, self.b = (
            variable.numpy().astype(float)
            for variable in (model._encoder, model._encoder_bias, model.decoder, model.decoder_bias)
        )
        values = [value for row in rows for value in row.values()]
        self.is_explicit = model.is_explicit
        self.mean = np.mean(values) if self.is_explicit else 0.0
        self.low, self.high = (min(values), max(values)) if self.is_explicit else (0.0, 1.0)

    def hidden(self, row):
        total = self.c.copy()
        for column, value in row.items():
            total += (value - (self.mean if self.config.center else 0.0)) * self.v[FIRST_ID + column]
        return ACTIVATIONS[self.config.hidden_activation](total)

    def predicted(self, row, column):
        found = self.hidden(row) @ self.w[FIRST_ID + column] + self.b[FIRST_ID + column, 0]
        if self.config.output_activation == "identity":
            return self.mean + found
        return self.low + (self.high - self.low) / (1 + np.exp(-found))

    def penalty(self, count):
        return self.config.l2 / 2 * ((self.v**2).sum() + (self.w**2).sum()) / count


CONFIGS = [
    {"rows": "items"},
    {"rows": "users"},
    {"rows": "items", "center": True, "hidden_activation": "tanh", "output_activation": "sigmoid"},
    {"rows": "users", "center": True, "hidden_activation": "relu", "l2": 30.0},
    {"rows": "users", "hidden_activation": "identity", "output_activation": "sigmoid"},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@pytest.mark.parametrize("dense_from", [0.0, 2.0], ids=["whole", "sparse"])
def test_the_loss_is_the_squared_error_of_what_was_observed_and_the_penalty(monkeypatch, config, dense_from):
    monkeypatch.setattr(observed, "DENSE_FROM", dense_from)
    inputs, rows = few_rated(config["rows"])
    model = with_random_weights(AutoRec(AutoRecConfig(hidden_dim=3, **config), inputs))
    oracle = ByHand(model, rows)
    taken = [index for index, row in enumerate(rows) if row]
    count = sum(len(row) for row in rows)
    errors = [
        sum((value - oracle.predicted(rows[index], column)) ** 2 for column, value in rows[index].items())
        for index in taken
    ]
    name = USER_INDEX if config["rows"] == "users" else ITEM_INDEX
    assert model.train_columns() == {name}

    def loss(index):
        return float(model.compute_loss({name: tf.constant(index, tf.int64)}, training=True))

    assert loss(taken) == pytest.approx(sum(errors) / count + oracle.penalty(count), rel=1e-5)
    # Over all rows the losses of single rows have the same mean: batches are fair shares of the whole.
    assert np.mean([loss([index]) for index in taken]) == pytest.approx(loss(taken), rel=1e-5)


@pytest.mark.parametrize("rows_of", ["items", "users"])
def test_without_ratings_zeros_count_with_their_weight(rows_of):
    inputs, rows = few_rated(rows_of, has_ratings=False)
    model = with_random_weights(
        AutoRec(AutoRecConfig(hidden_dim=3, rows=rows_of, unobserved_weight=0.3, l2=2.0), inputs)
    )
    oracle = ByHand(model, rows)
    taken = [index for index, row in enumerate(rows) if row]
    expected = 0.0
    for index in taken:
        for column in range(-FIRST_ID, model.matrix.num_columns - FIRST_ID):  # ids that stand for nobody are zeros too
            value = float(column in rows[index])
            expected += (1.0 if value else 0.3) * (value - oracle.predicted(rows[index], column)) ** 2
    count = sum(len(row) for row in rows)
    name = USER_INDEX if rows_of == "users" else ITEM_INDEX
    found = model.compute_loss({name: tf.constant(taken, tf.int64)}, training=True)
    assert float(found) == pytest.approx(expected / count + oracle.penalty(count), rel=1e-5)


def test_dropped_inputs_are_targets_still_and_follow_from_the_seed():
    inputs, _ = few_rated("users")
    batch = {USER_INDEX: tf.constant([0, 1, 2], tf.int64)}

    def losses(seed):
        model = with_random_weights(AutoRec(AutoRecConfig(rows="users", input_dropout=0.5), inputs, seed=seed))
        return [float(model.compute_loss(batch, training=training)) for training in (True, True, False)]

    first, again, without = losses(1)
    assert first == again != without
    assert losses(2)[0] != first
    assert losses(2)[2] == without


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_answers_are_those_of_the_loops_and_the_mean_where_nothing_is_known(config):
    inputs, rows = few_rated(config["rows"])
    model = with_random_weights(AutoRec(AutoRecConfig(hidden_dim=3, **config), inputs))
    oracle = ByHand(model, rows)
    users, items = [*range(len(FEW)), None], range(FEW_ITEMS)
    expected = np.full([len(users), FEW_ITEMS], oracle.mean)
    for user, own in enumerate(FEW):
        for item in items:
            if own and any(item in other for other in FEW):
                row, column = (rows[user], item) if config["rows"] == "users" else (rows[item], user)
                expected[user, item] = oracle.predicted(row, column)
    pairs = [(user, item) for user in users for item in items]
    features = request([user for user, _ in pairs])
    found = model.predicted_ratings({**features, ITEM_INDEX: tf.constant([item for _, item in pairs], tf.int64)})
    np.testing.assert_allclose(tf.reshape(found, expected.shape), np.clip(expected, 1, 5), rtol=1e-5)
    scores = model.scores(request(users)).numpy()
    is_known = np.array([bool(given) for given in FEW] + [False])
    is_new = np.array([not any(item in given for given in FEW) for item in items])
    np.testing.assert_allclose(scores[is_known][:, ~is_new], expected[is_known][:, ~is_new], rtol=1e-5)
    assert (scores[is_known][:, is_new] <= scores[is_known].min(axis=1, keepdims=True)).all()
    counts = np.array([sum(item in given for given in FEW) for item in items])
    np.testing.assert_allclose(scores[~is_known], [TIE_BREAK * counts / counts.max()] * 2, rtol=1e-6)


def test_a_user_that_training_never_saw_is_answered_from_the_history_with_its_ratings():
    inputs, _ = few_rated("users", history=4)
    model = with_random_weights(AutoRec(AutoRecConfig(rows="users", hidden_dim=3), inputs))
    oracle = ByHand(model, [*FEW])
    new = {0: 5.0, 3: 1.0}
    features = {**request([None], [[0, 3]]), "ratings": tf.constant([[5.0, 1.0]])}
    scores = model.scores(features).numpy()[0]
    for item in range(FEW_ITEMS):
        if item != POPULAR.index(0):
            assert scores[item] == pytest.approx(oracle.predicted(new, item), rel=1e-5)
    # An item of the history whose rating is not known counts as rated with the mean.
    unrated = model.scores({**features, "ratings": tf.constant([[5.0, 0.0]])}).numpy()[0]
    assert unrated[1] == pytest.approx(oracle.predicted({0: 5.0, 3: oracle.mean}, 1), rel=1e-5)


@settings(max_examples=20, deadline=None)
@given(
    rows=st.lists(st.dictionaries(st.integers(0, 4), st.floats(-3, 3, width=32), max_size=5), min_size=1, max_size=5),
    levels=st.integers(1, 3),
)
def test_whole_matrices_and_observed_entries_give_the_same_products(rows, levels):
    random = np.random.default_rng(len(rows))
    table = random.normal(size=(5, 2 * levels)).astype(np.float32)
    hidden = random.normal(size=(len(rows), 2)).astype(np.float32)
    entries = [(row, column, value) for row, of_row in enumerate(rows) for column, value in of_row.items()]
    places, columns = (tf.constant([entry[i] for entry in entries], tf.int64) for i in (0, 1))
    values = tf.constant([entry[2] for entry in entries], tf.float32)
    sums = np.zeros([len(rows), 2 * levels])
    found = np.zeros([len(entries), levels])
    for number, (row, column, value) in enumerate(entries):
        sums[row] += value * table[column]
        for level in range(levels):
            found[number, level] = hidden[row] @ table[column, 2 * level : 2 * level + 2]
    for density in (0.0, 1.0):
        of_rows = observed.summed(tf.constant(table), places, columns, values, len(rows), density=density)
        np.testing.assert_allclose(of_rows, sums, rtol=1e-4, atol=1e-4)
        of_pairs = observed.products(tf.constant(hidden), tf.constant(table), places, columns, density=density)
        np.testing.assert_allclose(of_pairs, found, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("rows", ["items", "users"])
def test_it_learns_what_users_of_two_tastes_gave(rows):
    inputs, held_out = many_rated()
    model = AutoRec(AutoRecConfig(rows=rows, hidden_dim=8, l2=1.0), inputs)
    optimizer = tf.keras.optimizers.Adam(0.02)
    name = USER_INDEX if rows == "users" else ITEM_INDEX
    index = tf.constant(np.flatnonzero(~model.matrix.is_empty_row))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss({name: index}, training=True)
        weights = model.trainable_variables
        optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(100):
        step()
    model.refresh()
    users, items, ratings = held_out
    found = model.predicted_ratings({**request(users), ITEM_INDEX: tf.constant(items, tf.int64)}).numpy()
    of_mean = np.sqrt(np.mean((ratings - inputs.train.labels.mean()) ** 2))
    assert np.sqrt(np.mean((ratings - found) ** 2)) < 0.5 * of_mean


def test_a_pair_that_was_rated_twice_counts_once_with_its_last_rating():
    inputs = inputs_of([[0, 1, 0], [1]], 2, ratings=[[1, 2, 5], [4]])
    model = AutoRec(AutoRecConfig(rows="users"), inputs)
    found = model.matrix.observed(tf.constant([0, 1, 0], tf.int64))
    np.testing.assert_array_equal(found.rows, [0, 0, 1, 2, 2])
    np.testing.assert_array_equal(found.columns, [FIRST_ID, FIRST_ID + 1, FIRST_ID + 1, FIRST_ID, FIRST_ID + 1])
    np.testing.assert_array_equal(found.values, [5, 2, 4, 5, 2])
    assert model.matrix.mean == pytest.approx(11 / 3)


def test_the_stated_tables_are_those_that_are_made():
    for rows in ("items", "users"):
        inputs, _ = few_rated(rows)
        config = AutoRecConfig(rows=rows, hidden_dim=3)
        model = AutoRec(config, inputs)
        stated = {s.name: (s.rows, s.dim) for s in model.table_shapes(config, inputs.schema, inputs.num_ids, FEW_ITEMS)}
        made = {"encoder": model._encoder, "decoder": model.decoder, "column_biases": model.decoder_bias}
        if rows == "items":
            made["item_hidden"] = model._item_hidden
        assert stated == {name: tuple(variable.shape) for name, variable in made.items()}


def test_a_job_on_ratings_is_chosen_by_its_errors_and_its_export_ranks_by_them(world, tmp_path):
    overrides = ("model.rows=users", "model.profile=training", "model.hidden_dim=16", "model.l2=10", "train.epochs=5")
    check_job_on_ratings(world, tmp_path, "autorec", *overrides, "train.learning_rate=0.01", "train.batch_size=64")
