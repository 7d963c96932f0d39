"""Examination of positions: planted values are found again, EM climbs to the maximum that another optimiser finds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import expit

from tfrec.errors import ConfigError, DataError
from tfrec.off_policy import (
    Examination,
    LogisticRelevance,
    RelevanceByGroup,
    examination_by_harvesting,
    examination_from_random_traffic,
    fit_click_model,
    inverse_examination_weights,
)

THETA = np.array([1.0, 0.6, 0.4, 0.3, 0.2])


def click_log(seed, rows=60_000, items=300, bias=2.0):
    """Clicks of the position-based model; with `bias` relevant items stand further up."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(items, 3))
    relevance = expit(features @ [1.0, -1.0, 0.5] - 0.5)
    item = rng.integers(0, items, rows)
    score = bias * relevance[item] + rng.normal(size=rows)
    place = np.digitize(-score, np.quantile(-score, np.arange(1, 5) / 5))
    clicks = rng.random(rows) < THETA[place] * relevance[item]
    return clicks.astype(float), place + 1, item, features


def naive(clicks, positions):
    rates = np.array([clicks[positions == k].mean() for k in range(1, 6)])
    return rates / rates[0]


def test_the_planted_log_misleads_plain_click_rates():
    clicks, positions, _, _ = click_log(1)
    assert (naive(clicks, positions)[2:] < 0.85 * THETA[2:]).all()


@pytest.mark.parametrize("kind", ["features", "items"])
def test_em_recovers_planted_examination_from_a_log_that_shows_relevant_items_first(kind):
    clicks, positions, item, features = click_log(1, rows=30_000 if kind == "features" else 60_000)
    relevance = LogisticRelevance(features[item]) if kind == "features" else RelevanceByGroup(item)
    found = fit_click_model(clicks, positions, relevance)
    assert found.converged
    assert found.examination.relative == pytest.approx(THETA, rel=0.08)
    assert (np.diff(found.log_likelihoods) > -1e-6).all()
    true = expit(features @ [1.0, -1.0, 0.5] - 0.5)[item]
    assert np.corrcoef(found.relevance, true)[0, 1] > 0.95


def test_em_climbs_to_the_maximum_that_a_general_optimiser_finds():
    clicks, positions, item, _ = click_log(2, rows=3000, items=6)

    def negative(x):
        theta, gamma = expit(x[:5]), expit(x[5:])
        chance = theta[positions - 1] * gamma[item]
        return -np.where(clicks == 1, np.log(chance), np.log1p(-chance)).mean()

    best = minimize(
        negative, np.zeros(11), method="L-BFGS-B", options={"maxiter": 5000, "maxfun": 10**6, "ftol": 1e-14}
    )
    found = fit_click_model(
        clicks, positions, RelevanceByGroup(item, prior=0.0), max_iterations=20_000, tolerance=1e-12
    )
    assert -found.log_likelihoods[-1] == pytest.approx(best.fun, abs=1e-6)
    expected = expit(best.x[:5])
    assert found.examination.relative == pytest.approx(expected / expected[0], rel=0.01)


def test_em_that_ran_out_of_steps_says_so():
    clicks, positions, item, _ = click_log(1, rows=2000)
    assert not fit_click_model(clicks, positions, RelevanceByGroup(item), max_iterations=3).converged


def test_harvesting_recovers_planted_examination_with_intervals_around_it():
    clicks, positions, item, _ = click_log(1)
    found = examination_by_harvesting(clicks, positions, item, resamples=30)
    assert found.relative == pytest.approx(THETA, rel=0.12)
    assert (found.low <= found.relative).all()
    assert (found.relative <= found.high).all()
    assert ((found.low <= THETA * 1.02) & (found.high >= THETA * 0.98)).all()
    again = examination_by_harvesting(clicks, positions, item, resamples=30)
    assert np.array_equal(found.low, again.low)


def test_harvesting_two_positions_is_the_ratio_of_click_rates_averaged_over_shared_pairs():
    rng = np.random.default_rng(3)
    pair = rng.integers(0, 40, 3000)
    positions = np.where(pair < 35, rng.integers(1, 3, 3000), 1)  # pairs from 35 on stand first only
    clicks = (rng.random(3000) < np.where(positions == 1, 0.5, 0.3)).astype(float)
    rates = {k: [clicks[(pair == p) & (positions == k)].mean() for p in range(35)] for k in (1, 2)}
    found = examination_by_harvesting(clicks, positions, pair, resamples=0)
    assert found.relative[1] == pytest.approx(np.mean(rates[2]) / np.mean(rates[1]), rel=1e-3)
    assert found.low is None


def test_positions_that_share_no_pair_are_refused():
    positions = np.repeat([1, 2, 3], 40)
    pairs = np.concatenate([np.tile(np.arange(10), 8), np.arange(100, 140)])
    with pytest.raises(DataError, match="position 3: no pair connects it"):
        examination_by_harvesting(np.ones(120), positions, pairs)


def test_random_traffic_gives_the_ratio_of_click_rates():
    clicks, positions, _, _ = click_log(4, rows=3000, bias=0.0)
    found = examination_from_random_traffic(clicks, positions)
    assert found.relative == pytest.approx(naive(clicks, positions))
    assert found.positions.tolist() == [1, 2, 3, 4, 5]
    assert found.low[0] == found.high[0] == 1


def test_random_traffic_intervals_cover_the_truth_in_93_to_97_percent_of_1000_logs():
    rng = np.random.default_rng(7)
    requests = np.repeat(np.arange(800), 5)
    covers = np.zeros(5)
    for _ in range(1000):
        positions = np.tile(np.arange(5), 800)
        clicks = rng.random(4000) < THETA[positions] * rng.beta(1, 3, 800)[requests]
        found = examination_from_random_traffic(clicks, positions, labels=requests)
        covers += (found.low <= THETA) & (found.high >= THETA)
    assert ((covers[1:] >= 930) & (covers[1:] <= 970)).all()


def test_a_swap_experiment_compares_within_its_own_traffic():
    """Experiment 3 sees twice as relevant items as experiment 2: pooling would be wrong."""
    rng = np.random.default_rng(5)
    swapped = rng.choice([2, 3], 200_000)
    positions = np.where(rng.random(200_000) < np.where(swapped == 2, 0.3, 0.8), 1, swapped)
    clicks = rng.random(200_000) < np.where(swapped == 3, 0.6, 0.3) * THETA[positions - 1]
    found = examination_from_random_traffic(clicks, positions, swapped_with=swapped)
    assert found.relative == pytest.approx(THETA[:3], rel=0.03)
    pooled = examination_from_random_traffic(clicks, positions)
    assert abs(pooled.relative[1] / THETA[1] - 1) > 0.1


def test_inverse_examination_weights_are_clipped_inverses():
    examination = Examination(np.array([1, 2, 5]), np.array([1.0, 0.25, 0.01]))
    weights = inverse_examination_weights(np.array([5, 1, 2, 2]), examination, largest=20.0)
    assert weights.tolist() == [20.0, 1.0, 4.0, 4.0]
    zero = Examination(np.array([1, 2]), np.array([1.0, 0.0]))
    assert inverse_examination_weights(np.array([2]), zero, largest=5.0).tolist() == [5.0]
    with pytest.raises(DataError, match="position 3 has no examination"):
        inverse_examination_weights(np.array([1, 3]), examination)
    with pytest.raises(ConfigError, match="from 1"):
        inverse_examination_weights(np.array([1]), examination, largest=0.5)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_weighted_clicks_count_each_item_as_if_it_stood_first(seed):
    """E[click · θ_1/θ_k] = relevance: the sum of weights of all outcomes, in expectation."""
    rng = np.random.default_rng(seed)
    theta = np.sort(rng.uniform(0.1, 1, 4))[::-1]
    examination = Examination(np.arange(4), theta / theta[0])
    relevance = rng.random()
    positions = rng.integers(0, 4, 50)
    chance = theta[positions] * relevance
    expected = (chance * inverse_examination_weights(positions, examination, largest=100.0)).mean()
    assert expected == pytest.approx(theta[0] * relevance)


@pytest.mark.parametrize(
    ("clicks", "positions", "message"),
    [
        ([1, 2], [1, 2], "allowed: 0 and 1"),
        ([1], [1, 2], "alike"),
        ([], [], "wanted"),
        ([0, 1], [1, 2], "no click at the first position"),
    ],
)
def test_unusable_clicks_are_refused(clicks, positions, message):
    with pytest.raises(DataError, match=message):
        examination_from_random_traffic(np.array(clicks, float), np.array(positions))
    with pytest.raises(DataError, match=message):
        fit_click_model(np.array(clicks, float), np.array(positions), RelevanceByGroup(np.array(positions)))


def test_a_position_without_clicks_and_relevance_of_other_rows_are_refused():
    with pytest.raises(DataError, match="position 2: no click"):
        examination_from_random_traffic(np.array([1, 0]), np.array([1, 2]))
    with pytest.raises(DataError, match="relevance is of 3 rows"):
        fit_click_model(np.array([1, 1]), np.array([1, 2]), RelevanceByGroup(np.arange(3)))
