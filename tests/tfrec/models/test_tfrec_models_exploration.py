"""Gaussian scores and exploration against draws and integrals made by hand."""

import numpy as np
import pytest
import tensorflow as tf

from tfrec.models.posteriors.exploration import ExplorationConfig, Explorer
from tfrec.models.posteriors.gaussian import Gaussian, divergence, draw_scores, score_variances

DRAWS = 40_000


@pytest.fixture(scope="module")
def posterior():
    """Two users and three items of two coordinates: means and standard deviations."""
    random = np.random.default_rng(4)
    return (
        random.normal(size=(2, 2)).astype(np.float32),
        random.uniform(0.2, 0.9, (2, 2)).astype(np.float32),
        random.normal(size=(3, 2)).astype(np.float32),
        random.uniform(0.2, 0.9, (3, 2)).astype(np.float32),
    )


@pytest.fixture(scope="module")
def drawn_by_hand(posterior):
    """Scores of both users for all items with every vector drawn anew. [DRAWS, 2, 3]"""
    m, s, n, t = posterior
    random = np.random.default_rng(9)
    users = m + s * random.normal(size=(DRAWS, 2, 2))
    items = n + t * random.normal(size=(DRAWS, 2, 3, 2))  # a request draws all items for itself
    return np.einsum("bud,buid->bui", users, items)


def of(posterior):
    m, s, n, t = posterior
    return Gaussian(tf.constant(m), tf.math.log(s)), tf.constant(n), tf.constant(t**2)


def test_the_variance_of_scores_is_that_of_draws(posterior, drawn_by_hand):
    found = score_variances(*of(posterior)).numpy()
    np.testing.assert_allclose(found, drawn_by_hand.var(axis=0), rtol=0.05)


def test_drawn_scores_have_mean_variance_and_correlations_of_drawn_vectors(posterior, drawn_by_hand):
    rows, means, variances = of(posterior)
    many = Gaussian(*(tf.repeat(value, DRAWS, axis=0) for value in rows))
    found = draw_scores(many, means, variances, tf.constant([3, 8])).numpy().reshape(2, DRAWS, 3)
    for user in range(2):
        expected = drawn_by_hand[:, user]
        error = np.sqrt(expected.var(axis=0) / DRAWS)
        assert (np.abs(found[user].mean(axis=0) - expected.mean(axis=0)) < 6 * error).all()
        covariance = np.cov(expected.T)
        spread = np.sqrt(np.outer(covariance.diagonal(), covariance.diagonal()))  # 1 / √DRAWS of it is an error
        assert (np.abs(np.cov(found[user].T) - covariance) < 0.04 * spread).all()


def test_divergence_is_the_integral_that_defines_it():
    grid = np.linspace(-12, 12, 40001)

    def log_density(mean, stddev):
        return -0.5 * ((grid - mean) / stddev) ** 2 - np.log(stddev * np.sqrt(2 * np.pi))

    offsets, stddevs, priors = [0.4, -1.1], [0.3, 1.5], [0.5, 0.8]
    expected = 0.0
    for offset, stddev, prior in zip(offsets, stddevs, priors, strict=True):
        q = log_density(offset, stddev)
        expected += np.trapezoid(np.exp(q) * (q - log_density(0, prior)), grid)
    found = divergence(tf.constant([offsets]), tf.math.log([stddevs]), tf.math.log(priors))
    np.testing.assert_allclose(found, [expected], rtol=1e-5)
    at_prior = divergence(tf.zeros([1, 2]), tf.math.log([priors]), tf.math.log(priors))
    np.testing.assert_allclose(at_prior, [0.0], atol=1e-7)


@pytest.mark.parametrize("strength", [0.5, 2.0])
def test_ucb_adds_standard_deviations_to_the_expected_scores(posterior, strength):
    m, s, n, t = (values.astype(float) for values in posterior)
    expected = np.empty((2, 3))
    for user in range(2):
        for item in range(3):
            variance = 0.0
            for d in range(2):
                variance += s[user, d] ** 2 * n[item, d] ** 2 + m[user, d] ** 2 * t[item, d] ** 2
                variance += s[user, d] ** 2 * t[item, d] ** 2
            expected[user, item] = m[user] @ n[item] + strength * np.sqrt(variance)
    explorer = Explorer(ExplorationConfig(kind="ucb", strength=strength), seed=1)
    np.testing.assert_allclose(explorer.scores(*of(posterior)), expected, rtol=1e-5)


def test_without_exploration_scores_are_the_expected_ones(posterior):
    m, _, n, _ = posterior
    explorer = Explorer(ExplorationConfig(), seed=1)
    np.testing.assert_allclose(explorer.scores(*of(posterior)), m @ n.T, rtol=1e-5)
    assert explorer.state == []


@pytest.mark.parametrize("strength", [1.0, 0.25])
def test_thompson_scores_spread_around_the_expected_ones_by_the_strength(posterior, drawn_by_hand, strength):
    rows, means, variances = of(posterior)
    many = Gaussian(*(tf.repeat(value, DRAWS, axis=0) for value in rows))
    explorer = Explorer(ExplorationConfig(kind="thompson", strength=strength), seed=1)
    found = explorer.scores(many, means, variances).numpy().reshape(2, DRAWS, 3)
    expected_means = posterior[0] @ posterior[2].T
    error = strength * np.sqrt(drawn_by_hand.var(axis=0) / DRAWS)
    assert (np.abs(found.mean(axis=1) - expected_means) < 5 * error).all()
    np.testing.assert_allclose(found.var(axis=1), strength**2 * drawn_by_hand.var(axis=0), rtol=0.06)


def test_every_call_draws_anew_and_the_same_seed_draws_the_same_again(posterior):
    def calls(seed):
        explorer = Explorer(ExplorationConfig(kind="thompson"), seed)
        scores = tf.function(explorer.scores)
        return [scores(*of(posterior)).numpy() for _ in range(3)]

    one, again, other = calls(1), calls(1), calls(2)
    np.testing.assert_array_equal(one, again)
    different = [*one, *other]
    assert len({values.tobytes() for values in different}) == 6


def test_rows_of_one_request_are_drawn_independently_of_each_other(posterior):
    rows, means, variances = of(posterior)
    twice = Gaussian(*(tf.repeat(value[:1], DRAWS, axis=0) for value in rows))
    found = draw_scores(twice, means, variances, tf.constant([1, 1])).numpy()[:, 0]
    assert abs(np.corrcoef(found[:-1], found[1:])[0, 1]) < 4 / np.sqrt(DRAWS)
