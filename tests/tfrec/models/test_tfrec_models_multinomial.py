"""The multinomial autoencoders against loops in NumPy, and the contract of retrieval models."""

from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tfrec.models.mult_dae import MultDAE, MultDAEConfig
from tfrec.models.mult_vae import MultVAE, MultVAEConfig
from tfrec.schema import USER_INDEX

NON_DEFAULT = {
    "profile": "history",
    "half_life": 2.5,
    "hidden_units": [30, 20],
    "latent_dim": 7,
    "input_dropout": 0.25,
    "l2": 0.125,
}
SMALL = ("train.batch_size=50", "train.epochs=10", "train.learning_rate=0.01", "model.half_life=4")


class TestMultVAE(PersonalContract):
    model = "mult_vae"
    overrides = (*SMALL, "model.hidden_units=[60]", "model.latent_dim=30", "model.anneal_steps=50")
    non_default = {**NON_DEFAULT, "beta": 0.5, "anneal_steps": 77}
    favourite_genre_share, favourite_genre_gain = 0.5, 3.0

    def test_the_stated_table_shapes_are_those_of_the_tables(self, trained):
        model, data, config = trained
        shapes = model.table_shapes(config.model, data.schema, data.model_inputs.num_ids, data.catalogue.size)
        assert [(s.rows, s.dim) for s in shapes] == [tuple(table.variable.shape) for table in model.id_tables()]


class TestMultDAE(PersonalContract):
    model = "mult_dae"
    overrides = (*SMALL, "model.latent_dim=60")
    non_default = NON_DEFAULT
    favourite_genre_share, favourite_genre_gain = 0.5, 3.0


ITEMS = 6
lists = st.lists(st.integers(0, ITEMS - 1), min_size=1, max_size=8)


def made(kind, inputs, steps=None, **config):
    """A model whose every weight is drawn anew, so that none is 0; `steps`: how many an optimiser has taken."""
    model = MultVAE(MultVAEConfig(**config), inputs) if kind == "vae" else MultDAE(MultDAEConfig(**config), inputs)
    random = np.random.default_rng(5)
    for variable in model.trainable_variables:
        variable.assign(random.normal(0, 0.5, variable.shape))
    if steps is not None:
        model.optimizer = SimpleNamespace(iterations=tf.constant(steps, tf.int64))
    return model


def code_by_hand(model, profile):
    """What the encoder gives for one profile {item: weight}, without dropout."""
    norm = np.sqrt(sum(weight**2 for weight in profile.values()))
    first, *more = model._encoder_biases
    hidden = first.numpy().astype(float)
    for item, weight in profile.items():
        hidden += weight / norm * model._input.numpy()[2 + item]
    for matrix, bias in zip(model._encoder, more, strict=True):
        hidden = np.tanh(hidden) @ matrix.numpy() + bias.numpy()
    return hidden


def logits_by_hand(model, latent):
    hidden = latent
    for matrix, bias in zip(model._decoder, model._decoder_biases, strict=True):
        hidden = np.tanh(hidden @ matrix.numpy() + bias.numpy())
    return np.array(
        [hidden @ model._output.numpy()[2 + i] + model._output_bias.numpy()[2 + i, 0] for i in range(ITEMS)]
    )


def latent_by_hand(kind, code):
    """(what answers decode, the divergence from a standard normal)."""
    if kind == "dae":
        return np.tanh(code), 0.0
    mean, log_variance = code[: len(code) // 2], code[len(code) // 2 :]
    return mean, sum(0.5 * (np.exp(v) + m * m - 1 - v) for m, v in zip(mean, log_variance, strict=True))


@pytest.mark.parametrize("kind", ["vae", "dae"])
@settings(max_examples=8, deadline=None)
@given(
    taken=st.lists(lists, min_size=1, max_size=4),
    hidden=st.sampled_from([(), (4,), (5, 3)]),
    half_life=st.sampled_from([None, 2.0]),
)
def test_loss_and_scores_are_those_of_loops_over_users_and_items(kind, taken, hidden, half_life):
    config = {"hidden_units": hidden, "latent_dim": 3, "l2": 0.01, "half_life": half_life}
    model = made(kind, inputs_of(taken, ITEMS), **config)
    losses, expected_scores = [], []
    for row in taken:
        # Training reads all items alike; answers weigh them by recency.
        latent, divergence = latent_by_hand(kind, code_by_hand(model, profile_by_hand(row, None)))
        logits = logits_by_hand(model, latent)
        log_normaliser = np.log(sum(np.exp(logit) for logit in logits))
        losses.append(sum(log_normaliser - logits[item] for item in set(row)) + 0.2 * divergence)
        latent, _ = latent_by_hand(kind, code_by_hand(model, profile_by_hand(row, half_life)))
        expected_scores.append(logits_by_hand(model, latent))
    matrices = [model._input, model._output, *model._encoder, *model._decoder]
    penalty = 0.01 * sum(float((matrix.numpy().astype(float) ** 2).sum()) for matrix in matrices)
    users = tf.range(len(taken), dtype=tf.int64)
    np.testing.assert_allclose(model.compute_loss({USER_INDEX: users}), np.mean(losses) + penalty, rtol=1e-4)
    scores = model.scores(request(range(len(taken)))).numpy()
    was_taken = np.isin(np.arange(ITEMS), np.concatenate(taken))
    np.testing.assert_allclose(scores[:, was_taken], np.array(expected_scores)[:, was_taken], rtol=1e-4, atol=1e-4)
    assert (scores[:, ~was_taken] <= scores.min(axis=1, keepdims=True) + 1e-6).all()


@pytest.mark.parametrize("kind", ["vae", "dae"])
def test_a_new_user_with_a_history_is_answered_as_one_who_was_trained_with_it(kind):
    taken = [[3, 1, 4], [0, 5, 2, 1]]
    model = made(kind, inputs_of(taken, ITEMS, history=8), hidden_units=(4,), latent_dim=3)
    known, new = request([0, 1], [[], []]), request([None, None], taken)
    np.testing.assert_allclose(model.scores(new), model.scores(known), rtol=1e-5)


def test_dropout_leaves_items_out_at_its_rate_and_scales_the_others_up():
    taken = [[0, 1, 2, 3]] * 3000
    model = made("dae", inputs_of(taken, ITEMS), hidden_units=(), latent_dim=ITEMS, input_dropout=0.3)
    model._input.assign(np.eye(2 + ITEMS, ITEMS, -2))  # what is read stands in the code
    model._encoder_biases[0].assign(np.zeros(ITEMS))
    read = model._encode(model._profiles(request(range(3000))), tf.constant(3000), tf.constant([1, 2])).numpy()
    assert set(np.unique(read[:, 4:])) == {0.0}
    kept = read[:, :4] != 0
    np.testing.assert_allclose(read[:, :4][kept], 0.5 / 0.7, rtol=1e-6)  # of norm 1 before: 4 values of 1 / 2
    assert abs(kept.mean() - 0.7) < 4 * np.sqrt(0.3 * 0.7 / kept.size)


@pytest.fixture(scope="module")
def vae():
    return made("vae", inputs_of([[0, 1]], ITEMS), steps=50, latent_dim=2, hidden_units=(), beta=0.4, anneal_steps=200)


def test_the_penalty_is_the_annealed_divergence_from_a_standard_normal(vae):
    code = np.array([[0.7, -1.2, np.log(0.3), np.log(2.5)]], np.float32)
    grid = np.linspace(-14, 14, 40001)

    def density(mean, variance):
        return np.exp(-((grid - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)

    divergence = 0.0
    for mean, variance in ((0.7, 0.3), (-1.2, 2.5)):  # the integral of q log(q / p), by the trapezium rule
        found = density(mean, variance)
        divergence += np.trapezoid(found * (np.log(found + 1e-300) - np.log(density(0, 1) + 1e-300)), grid)
    for steps, weight in ((0, 0.0), (50, 0.1), (199, 0.398), (200, 0.4), (10**6, 0.4)):
        vae.optimizer = SimpleNamespace(iterations=tf.constant(steps, tf.int64))
        np.testing.assert_allclose(vae._latent(code, training=True)[1], [weight * divergence], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(vae._latent(code, training=False)[1], [0.4 * divergence], rtol=1e-4)


def test_latent_vectors_have_the_stated_mean_and_variance_in_training_and_are_the_mean_in_answers(vae):
    code = np.tile([[0.7, -1.2, np.log(0.3), np.log(2.5)]], (20000, 1)).astype(np.float32)
    drawn, mean = (vae._latent(code, training=training)[0].numpy() for training in (True, False))
    assert (mean == np.float32([0.7, -1.2])).all()
    variance = np.array([0.3, 2.5])
    assert (np.abs(drawn.mean(axis=0) - [0.7, -1.2]) < 4 * np.sqrt(variance / 20000)).all()
    assert (np.abs(drawn.var(axis=0) - variance) < 4 * variance * np.sqrt(2 / 20000)).all()
    assert abs(np.corrcoef(drawn.T)[0, 1]) < 4 / np.sqrt(20000)


def test_without_annealing_the_weight_is_there_at_once():
    model = made("vae", inputs_of([[0, 1]], ITEMS), latent_dim=2, anneal_steps=0)
    assert [float(model.beta_at(tf.constant(step))) for step in (0, 1, 10**6)] == [pytest.approx(0.2)] * 3
