"""The Boltzmann machine against sums over all its states, and the contract of retrieval models."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.rated_rows import FEW, FEW_ITEMS, check_job_on_ratings, few_rated, many_rated
from tests.tfrec.models.taken_items import FIRST_ID, inputs_of, request
from tfrec.errors import ConfigError
from tfrec.models.autoencoders import observed
from tfrec.models.autoencoders.gibbs import drawn_levels, drawn_units
from tfrec.models.autoencoders.observed import Observed
from tfrec.models.rbm import RBM, RBMConfig
from tfrec.schema import ITEM_INDEX, USER_INDEX

NON_DEFAULT = {
    "rows": "users",
    "profile": "history",
    "hidden_dim": 7,
    "l2": 2.5,
    "conditional": False,
    "cd_steps": [1, 3],
    "cd_stage_steps": 50,
    "weight_stddev": 0.1,
    "max_levels": 5,
}


class TestRBMOfUsers(PersonalContract):
    model = "rbm"
    overrides = (
        *("model.rows=users", "model.hidden_dim=64", "model.l2=1", "train.batch_size=50", "train.learning_rate=0.03"),
        "train.epochs=12",
    )
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.25, 2.0


class TestRBMOfItems(PersonalContract):
    model = "rbm"
    overrides = (
        *("model.rows=items", "model.hidden_dim=64", "model.l2=1", "train.batch_size=32", "train.learning_rate=0.01"),
        "train.epochs=40",
    )
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.25, 2.0


# --- All states ---


def with_random_weights(model, seed=3, stddev=0.7):
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, stddev, variable.shape))
    model.refresh()
    return model


class AllStates:
    """The machine of one row, by sums over all states of its visible and hidden units, in float64."""

    def __init__(self, model, columns):
        """`columns`: of the row, by index; for binary units those of all ids."""
        units = model.config.hidden_dim
        ids = [FIRST_ID + column for column in columns]
        self.levels = model.levels if model.is_explicit else 2
        w = model.decoder.numpy().astype(float).reshape(-1, model.levels, units)[ids]
        b = model.decoder_bias.numpy().astype(float)[ids]
        if not model.is_explicit:  # of two levels, and the first has no weights
            w, b = (np.concatenate([np.zeros_like(part), part], axis=1) for part in (w, b))
        self.w, self.b = w, b
        self.c = model._hidden_bias.numpy().astype(float).copy()
        self.rated = None if model._rated is None else model._rated.numpy().astype(float)[ids]
        if self.rated is not None:
            self.c += self.rated.sum(axis=0)
        self.hidden_states = [np.array(h, float) for h in itertools.product((0, 1), repeat=units)]
        self.visible_states = list(itertools.product(range(self.levels), repeat=len(columns)))

    def energy(self, v, h):
        total = -self.c @ h
        for place, level in enumerate(v):
            total -= self.b[place, level] + self.w[place, level] @ h
        return total

    def free_energy(self, v):
        return -np.log(sum(np.exp(-self.energy(v, h)) for h in self.hidden_states))

    def hidden_given(self, v):
        """Probability of each hidden state."""
        weights = np.array([np.exp(-self.energy(v, h)) for h in self.hidden_states])
        return weights / weights.sum()

    def visible_given(self, h):
        """Probability of each visible state."""
        weights = np.array([np.exp(-self.energy(v, h)) for v in self.visible_states])
        return weights / weights.sum()

    def transitions(self):
        """Probability of each visible state after one step of the chain from each."""
        to_hidden = np.array([self.hidden_given(v) for v in self.visible_states])
        to_visible = np.array([self.visible_given(h) for h in self.hidden_states])
        return to_hidden @ to_visible

    def mean_hidden(self, v):
        return self.hidden_given(v) @ np.array(self.hidden_states)

    def probabilities(self, h):
        """Of each level of each visible unit, given hidden units."""
        found = np.zeros([len(self.b), self.levels])
        for v, p in zip(self.visible_states, self.visible_given(h), strict=True):
            for place, level in enumerate(v):
                found[place, level] += p
        return found

    def gradient(self, shares):
        """∂F by W, b and c where each visible unit takes its levels in these shares."""
        total = self.c.copy()
        for place, of_levels in enumerate(shares):
            for level, share in enumerate(of_levels):
                total += share * self.w[place, level]
        mean = 1 / (1 + np.exp(-total))
        return -shares[:, :, None] * mean, -shares, -mean

    def contrast(self, v, steps):
        """∂F at the data less the expectation of ∂F at the end of chains of so many steps, by W, b and c."""
        of_visible = np.linalg.matrix_power(self.transitions(), steps - 1)[self.visible_states.index(v)]
        of_hidden = of_visible @ np.array([self.hidden_given(other) for other in self.visible_states])
        found = list(self.gradient(np.eye(self.levels)[list(v)]))
        for p, h in zip(of_hidden, self.hidden_states, strict=True):
            for part, other in zip(found, self.gradient(self.probabilities(h)), strict=True):
                part -= p * other
        return found


def levels_of(model, row):
    scale = sorted({value for other in FEW for value in other.values()})
    return tuple(scale.index(value) for value in row.values())


def batch_of(row):
    columns = tf.constant([FIRST_ID + column for column in row], tf.int64)
    return Observed(tf.zeros_like(columns), columns, tf.constant([*row.values()], tf.float32))


@pytest.mark.parametrize("conditional", [True, False])
@pytest.mark.parametrize("dense_from", [0.0, 2.0], ids=["whole", "sparse"])
def test_hidden_probabilities_are_sums_over_all_hidden_states(monkeypatch, conditional, dense_from):
    monkeypatch.setattr(observed, "DENSE_FROM", dense_from)
    inputs, rows = few_rated("users")
    model = with_random_weights(RBM(RBMConfig(rows="users", hidden_dim=3, conditional=conditional), inputs))
    for row in rows[:3]:
        hidden = model.encode(batch_of(row), tf.constant(1), density=model.matrix.density)[0]
        np.testing.assert_allclose(hidden, AllStates(model, row).mean_hidden(levels_of(model, row)), rtol=1e-5)


@pytest.mark.parametrize("dense_from", [0.0, 2.0], ids=["whole", "sparse"])
def test_the_loss_is_the_difference_of_free_energies(monkeypatch, dense_from):
    """Of a machine whose chain has one end alone: hidden units that are as good as certain."""
    monkeypatch.setattr(observed, "DENSE_FROM", dense_from)
    inputs, rows = few_rated("users")
    model = with_random_weights(RBM(RBMConfig(rows="users", hidden_dim=2, l2=0.0), inputs))
    model._hidden_bias.assign([40.0, -40.0])
    states = AllStates(model, rows[0])
    shares = states.probabilities(np.array([1.0, 0.0]))
    total = states.c + np.einsum("ik,ikj->j", shares, states.w)
    at_chain = -(shares * states.b).sum() - np.logaddexp(0, total).sum()
    found = float(model.compute_loss({USER_INDEX: tf.constant([0], tf.int64)}, training=True))
    expected = states.free_energy(levels_of(model, rows[0])) - at_chain
    assert found * model.matrix.entries_per_row == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_the_gradient_is_that_of_the_data_less_that_of_the_chain_after_k_steps(steps):
    inputs, rows = few_rated("users")
    config = RBMConfig(rows="users", hidden_dim=2, cd_steps=(steps,), l2=0.0)
    model = with_random_weights(RBM(config, inputs))
    row = rows[0]
    expected = AllStates(model, row).contrast(levels_of(model, row), steps)
    repeats = 40_000  # of the same row: the mean over their chains
    with tf.GradientTape() as tape:
        loss = model.compute_loss({USER_INDEX: tf.zeros([repeats], tf.int64)}, training=True)
    found = tape.gradient(loss, [model.decoder, model.decoder_bias, model._hidden_bias, model._rated])
    w, b, c, rated = (tf.convert_to_tensor(g).numpy() * model.matrix.entries_per_row for g in found)
    ids = [FIRST_ID + column for column in row]
    np.testing.assert_allclose(w.reshape(-1, model.levels, 2)[ids], expected[0], atol=0.01)
    np.testing.assert_allclose(b[ids], expected[1], atol=0.01)
    np.testing.assert_allclose(c, expected[2], atol=0.01)
    np.testing.assert_allclose(rated[ids], [expected[2]] * len(ids), atol=0.01)
    assert max(np.abs(part).max() for part in expected) > 0.3
    others = [id for id in range(model.matrix.num_columns) if id not in ids]
    assert not w[others].any()
    assert not b[others].any()


@pytest.mark.parametrize("steps", [1, 2])
def test_without_ratings_the_gradient_is_that_of_binary_units_of_all_columns(steps):
    inputs, rows = few_rated("users", has_ratings=False)
    model = with_random_weights(RBM(RBMConfig(rows="users", hidden_dim=2, l2=0.0, cd_steps=(steps,)), inputs))
    assert model._rated is None
    columns = range(-FIRST_ID, FEW_ITEMS)
    states = AllStates(model, columns)
    data = tuple(int(column in rows[0]) for column in columns)
    w, b, c = states.contrast(data, steps)
    with tf.GradientTape() as tape:
        loss = model.compute_loss({USER_INDEX: tf.zeros([40_000], tf.int64)}, training=True)
    found = tape.gradient(loss, [model.decoder, model.decoder_bias, model._hidden_bias])
    for gradient, expected in zip(found, (w[:, 1], b[:, 1:], c), strict=True):
        np.testing.assert_allclose(gradient * model.matrix.entries_per_row, expected, atol=0.01)
        assert np.abs(expected).max() > 0.2
    hidden = model.encode(batch_of(rows[0]), tf.constant(1), density=0.0)[0]
    np.testing.assert_allclose(hidden, states.mean_hidden(data), rtol=1e-5)


@pytest.mark.parametrize("rows_of", ["users", "items"])
def test_a_rating_is_the_mean_of_its_levels_given_the_mean_hidden_units(rows_of):
    inputs, rows = few_rated(rows_of)
    model = with_random_weights(RBM(RBMConfig(rows=rows_of, hidden_dim=3), inputs))
    scale = np.array([1.0, 2.0, 3.0, 4.0, 5.0])
    w = model.decoder.numpy().astype(float).reshape(-1, 5, 3)
    b = model.decoder_bias.numpy().astype(float)
    mean = np.mean([value for row in FEW for value in row.values()])
    pairs = [(user, item) for user in range(len(FEW)) for item in range(FEW_ITEMS)]
    found = model.predicted_ratings(
        {**request([user for user, _ in pairs]), ITEM_INDEX: tf.constant([item for _, item in pairs], tf.int64)}
    )
    scores = model.scores(request(range(len(FEW)))).numpy()
    for (user, item), rating in zip(pairs, found.numpy(), strict=True):
        row, column = (rows[user], item) if rows_of == "users" else (rows[item], user)
        if not FEW[user] or not any(item in other for other in FEW):
            assert rating == pytest.approx(mean)
            continue
        hidden = AllStates(model, row).mean_hidden(levels_of(model, row))
        weights = np.exp(b[FIRST_ID + column] + w[FIRST_ID + column] @ hidden)
        expected = scale @ weights / weights.sum()
        assert rating == pytest.approx(expected, rel=1e-5)
        assert scores[user, item] == pytest.approx(expected, rel=1e-5)


def test_an_item_of_the_history_without_a_rating_speaks_by_having_been_rated():
    inputs, _ = few_rated("users", history=3)
    model = with_random_weights(RBM(RBMConfig(rows="users", hidden_dim=3), inputs))
    found = model.scores({**request([None], [[0, 3]]), "ratings": tf.constant([[2.0, 0.0]])}).numpy()[0]
    states = AllStates(model, {0: 2.0, 3: None})
    w = model.decoder.numpy().astype(float).reshape(-1, 5, 3)
    total = states.c + w[FIRST_ID, 1]  # 2 is the second level
    hidden = 1 / (1 + np.exp(-total))
    weights = np.exp(model.decoder_bias.numpy()[FIRST_ID + 1] + w[FIRST_ID + 1] @ hidden)
    assert found[1] == pytest.approx(np.arange(1, 6) @ weights / weights.sum(), rel=1e-5)


def test_visible_biases_start_at_what_the_columns_hold():
    inputs, _ = few_rated("users")
    model = RBM(RBMConfig(rows="users"), inputs)
    counts = np.array([[sum(row.get(item) == level for row in FEW) for level in range(1, 6)] for item in range(5)])
    of_all = (counts.sum(axis=0) + 1) / (counts.sum() + 5)
    expected = (counts + 10 * of_all) / (counts.sum(axis=1, keepdims=True) + 10)
    np.testing.assert_allclose(tf.nn.softmax(model.decoder_bias)[FIRST_ID:], expected, rtol=1e-5)
    taken = RBM(RBMConfig(rows="users"), few_rated("users", has_ratings=False)[0])
    of_rows = (np.array(counts.sum(axis=1)) + 0.5) / (3 + 1)
    np.testing.assert_allclose(tf.sigmoid(taken.decoder_bias)[FIRST_ID:, 0], of_rows, rtol=1e-5)


def test_k_follows_its_schedule():
    inputs, _ = few_rated("users")
    model = RBM(RBMConfig(rows="users", cd_steps=(1, 3, 9), cd_stage_steps=10), inputs)
    assert int(model._cd_steps()) == 1
    steps = []
    for done in (0, 9, 10, 19, 20, 500):
        model.optimizer = SimpleNamespace(iterations=tf.constant(done, tf.int64))
        steps.append(int(model._cd_steps()))
    assert steps == [1, 1, 3, 3, 9, 9]


def test_draws_follow_their_probabilities():
    random = np.random.default_rng(2)
    logits = random.normal(0, 2, 4)
    many = tf.repeat(tf.constant(logits[None], tf.float32), 40_000, axis=0)
    shares = np.bincount(drawn_levels(many, tf.constant([1, 2])), minlength=4) / 40_000
    np.testing.assert_allclose(shares, np.exp(logits) / np.exp(logits).sum(), atol=0.01)
    units = tf.reduce_mean(drawn_units(many, tf.constant([3, 4])), axis=0)
    np.testing.assert_allclose(units, 1 / (1 + np.exp(-logits)), atol=0.01)


def test_a_label_of_too_many_values_is_refused_with_the_way_out():
    inputs = inputs_of([[0, 1, 2]], 3, ratings=[[0.1, 0.2, 0.3]])
    with pytest.raises(ConfigError, match=r"model\.max_levels=2: the label has 3 distinct values .*autorec"):
        RBM(RBMConfig(max_levels=2), inputs)


@pytest.mark.parametrize("rows", ["items", "users"])
def test_it_learns_what_users_of_two_tastes_gave(rows):
    inputs, (users, items, ratings) = many_rated()
    model = RBM(RBMConfig(rows=rows, hidden_dim=8, l2=0.1), inputs)
    model.optimizer = tf.keras.optimizers.Adam(0.02)
    name = USER_INDEX if rows == "users" else ITEM_INDEX
    index = tf.constant(np.flatnonzero(~model.matrix.is_empty_row))

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            loss = model.compute_loss({name: index}, training=True)
        weights = model.trainable_variables
        model.optimizer.apply_gradients(zip(tape.gradient(loss, weights), weights, strict=True))

    for _ in range(100):
        step()
    model.refresh()
    found = model.predicted_ratings({**request(users), ITEM_INDEX: tf.constant(items, tf.int64)}).numpy()
    of_mean = np.sqrt(np.mean((ratings - inputs.train.labels.mean()) ** 2))
    assert np.sqrt(np.mean((ratings - found) ** 2)) < 0.5 * of_mean


def test_the_stated_tables_are_those_that_are_made():
    for rows in ("items", "users"):
        inputs, _ = few_rated(rows)
        config = RBMConfig(rows=rows, hidden_dim=3, max_levels=5)
        model = RBM(config, inputs)
        stated = {s.name: (s.rows, s.dim) for s in model.table_shapes(config, inputs.schema, inputs.num_ids, FEW_ITEMS)}
        made = {"weights": model.decoder, "rated_weights": model._rated, "column_biases": model.decoder_bias}
        if rows == "items":
            made["item_hidden"] = model._item_hidden
        assert stated == {name: tuple(variable.shape) for name, variable in made.items()}


def test_a_job_on_ratings_is_chosen_by_its_errors_and_its_export_ranks_by_them(world, tmp_path):
    overrides = ("model.rows=items", "model.hidden_dim=16", "model.l2=1", "train.epochs=5", "train.batch_size=32")
    check_job_on_ratings(world, tmp_path, "rbm", *overrides, "train.learning_rate=0.01")
