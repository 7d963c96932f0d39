"""The plain recommender of the loop against an optimiser that knows nothing of its closed form."""

import numpy as np
import pytest
from scipy.optimize import minimize

from tfrec.simulation.learner import LearnerConfig, fit_scores


def impressions(seed=0, users=6, items=5, rows=60):
    rng = np.random.default_rng(seed)
    return (rng.integers(users, size=rows), rng.integers(items, size=rows), rng.random(rows) < 0.4,
            rng.uniform(0.5, 3, rows)), (users, items)  # fmt: skip


def plain_loss(x, y, config, columns):
    """The docstring's formula; a cell counts its impressions' weights, its target is their weighted mean."""
    users, items, clicks, weights = columns
    mean = np.average(clicks, weights=weights)
    loss = config.regularization * ((x**2).sum() + (y**2).sum())
    for user, item, clicked, weight in zip(users, items, clicks, weights, strict=True):
        if config.signal == "clicks" and clicked:
            loss += weight * (1 - x[user] @ y[item]) ** 2
        if config.signal == "impressions":
            loss += weight * (clicked - mean - x[user] @ y[item]) ** 2
    if config.signal == "clicks":
        loss += config.unobserved_weight * sum((row @ column) ** 2 for row in x for column in y)
    return loss


@pytest.mark.parametrize("signal", ["clicks", "impressions"])
def test_it_minimises_the_stated_loss(signal):
    columns, shape = impressions()
    config = LearnerConfig(signal=signal, factors=2, regularization=0.2, unobserved_weight=0.3, passes=300)
    scores = fit_scores(config, *columns, shape)
    best = np.inf
    for seed in range(5):
        start = np.random.default_rng(seed).normal(size=(shape[0] + shape[1]) * 2)
        found = minimize(
            lambda z: plain_loss(z[: shape[0] * 2].reshape(-1, 2), z[shape[0] * 2 :].reshape(-1, 2), config, columns),
            start,
        )
        if found.fun < best:
            best, z = found.fun, found.x
    np.testing.assert_allclose(scores, z[: shape[0] * 2].reshape(-1, 2) @ z[shape[0] * 2 :].reshape(-1, 2).T, atol=2e-3)


def test_a_user_without_clicks_gets_the_mean_of_the_others():
    (users, items, clicks, weights), shape = impressions()
    scores = fit_scores(LearnerConfig(), users, items, clicks, weights, (shape[0] + 1, shape[1]))
    known = np.unique(users[clicks])
    np.testing.assert_allclose(scores[-1], scores[known].mean(axis=0))


def test_an_impression_of_weight_two_counts_as_two():
    (users, items, clicks, _), shape = impressions()
    twice = [np.concatenate([column, column]) for column in (users, items, clicks)]
    for signal in ("clicks", "impressions"):
        config = LearnerConfig(signal=signal)
        np.testing.assert_allclose(
            fit_scores(config, *twice, np.ones(len(twice[0])), shape),
            fit_scores(config, users, items, clicks, np.full(len(users), 2.0), shape),
            atol=1e-12,
        )
