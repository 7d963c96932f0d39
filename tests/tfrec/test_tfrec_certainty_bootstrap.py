"""Bootstrap intervals of means over users, against plain loops and SciPy's."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfrec.certainty import BootstrapSums, bootstrap_mean
from tfrec.certainty.draws import poisson_counts, random_signs, user_keys
from tfrec.errors import ConfigError, DataError

MASK = 2**64 - 1
THRESHOLDS = [round(p * 2**16) for p in stats.poisson.cdf(range(8), 1)]


def splitmix(state):
    """SplitMix64's output function, in Python's whole numbers."""
    state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & MASK
    return state ^ (state >> 31)


def plain_count(user, resample, seed):
    """How often this resample holds this user: the Poisson quantile of 16 of the hash's bits."""
    gamma = 0x9E3779B97F4A7C15
    key = splitmix(user ^ splitmix((seed + gamma) & MASK))
    bits = splitmix((key + (resample // 4) * gamma) & MASK) >> 16 * (resample % 4) & 0xFFFF
    return sum(bits >= threshold for threshold in THRESHOLDS)


def plain_means(values, weights, users, resamples, seed):
    means = []
    for r in range(resamples):
        counts = [plain_count(int(user), r, seed) for user in users]
        total = sum(c * w * v for c, w, v in zip(counts, weights, values))
        means.append(total / sum(c * w for c, w in zip(counts, weights)))
    return np.array(means)


def ndcg_like(rng, users):
    return (rng.random(users) < 0.2) / np.log2(2 + rng.integers(0, 10, users))


def ends(interval):
    return np.array([interval.low, interval.high])


def test_counts_are_poisson_and_those_of_two_users_or_two_resamples_are_independent():
    counts = poisson_counts(user_keys(np.arange(1, 2001), 3), 0, 100)
    assert counts.shape == (2000, 400)
    seen = np.bincount(counts.astype(int).ravel(), minlength=9)
    expected = stats.poisson.pmf(np.arange(9), 1) * counts.size
    expected[8] += counts.size - expected.sum()
    assert stats.chisquare(seen, expected).pvalue > 1e-4
    for matrix in (counts[:400], counts.T):
        correlations = np.corrcoef(matrix)[np.triu_indices(len(matrix), 1)]
        z = correlations * np.sqrt(matrix.shape[1])
        assert abs(z.std() - 1) < 0.02
        assert abs(z).max() < 6


def test_signs_are_fair_and_independent():
    signs = random_signs(user_keys(np.arange(500), 0), 0, 10)
    assert set(np.unique(signs)) == {-1.0, 1.0}
    assert abs(signs.mean()) < 4 / np.sqrt(signs.size)
    z = np.corrcoef(signs)[np.triu_indices(500, 1)] * np.sqrt(640)
    assert abs(z.std() - 1) < 0.02


def test_the_percentile_interval_is_that_of_a_plain_loop_over_users_and_resamples():
    rng = np.random.default_rng(0)
    values, weights, users = rng.normal(size=30), rng.random(30), rng.permutation(10**6)[:30]
    found = bootstrap_mean(values, weights=weights, users=users, resamples=70, seed=5, method="percentile")
    means = plain_means(values, weights, users, 70, 5)
    assert found.mean == pytest.approx(np.average(values, weights=weights), rel=1e-12)
    np.testing.assert_allclose(ends(found), np.quantile(means, [0.025, 0.975]), rtol=1e-9)


@pytest.mark.parametrize("are_tied", [False, True])
def test_bca_is_efrons_formula_with_a_jackknife_and_hesterbergs_widening(are_tied):
    rng = np.random.default_rng(1)
    values, weights = rng.lognormal(size=25), rng.random(25) + 0.5
    if are_tied:
        values, weights = np.repeat([0.0, 1.0], [20, 5]), np.ones(25)
    found = bootstrap_mean(values, weights=weights, resamples=200, seed=2, confidence=0.9)
    means = plain_means(values, weights, range(25), 200, 2)
    mean = np.average(values, weights=weights)
    influence = weights * (values - mean)  # the infinitesimal jackknife
    a = (influence**3).sum() / (6 * (influence**2).sum() ** 1.5)
    means = np.where(np.isclose(means, mean, rtol=1e-12), mean, means)
    assert (means == mean).any() == are_tied
    bias = stats.norm.ppf(((means < mean).mean() + (means <= mean).mean()) / 2)
    z = bias + np.sqrt(25 / 24) * stats.t.ppf([0.05, 0.95], 24)
    np.testing.assert_allclose(ends(found), np.quantile(means, stats.norm.cdf(bias + z / (1 - a * z))), rtol=1e-9)


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_intervals_agree_with_scipys_bootstrap(method):
    values = ndcg_like(np.random.default_rng(2), 400)
    ours = bootstrap_mean(values, resamples=20_000, method=method)
    scipys = stats.bootstrap((values,), np.mean, n_resamples=9999, method=method, batch=500, rng=0).confidence_interval
    width = scipys.high - scipys.low
    np.testing.assert_allclose(ends(ours), [scipys.low, scipys.high], atol=0.03 * width)


def test_metrics_side_by_side_have_the_intervals_they_have_alone():
    rng = np.random.default_rng(3)
    table = np.stack([ndcg_like(rng, 300), rng.normal(5, 1, 300), rng.lognormal(size=300)], axis=1)
    table[rng.random(table.shape) < 0.2] = np.nan
    both = bootstrap_mean(table, resamples=300)
    for m in range(3):
        alone = bootstrap_mean(table[:, m], resamples=300)
        assert isinstance(alone.mean, float)
        assert isinstance(alone.users, int)
        assert alone.users == both.users[m] == (~np.isnan(table[:, m])).sum()
        assert alone.missing == both.missing[m] == 300 - alone.users
        np.testing.assert_allclose([both.mean[m], both.low[m], both.high[m]], [alone.mean, *ends(alone)], rtol=1e-9)


def test_users_without_a_value_are_left_out():
    values = np.array([1.0, np.nan, 3.0, 5.0, np.nan])
    keep = ~np.isnan(values)
    found = bootstrap_mean(values, users=np.arange(5), resamples=200)
    expected = bootstrap_mean(values[keep], users=np.flatnonzero(keep), resamples=200)
    assert found.mean == 3.0
    assert (found.users, found.missing) == (3, 2)
    np.testing.assert_allclose(ends(found), ends(expected), rtol=1e-12)


def test_the_order_of_the_users_and_their_split_into_parts_change_nothing():
    rng = np.random.default_rng(4)
    values, weights, users = ndcg_like(rng, 3000), rng.random(3000), rng.permutation(10**5)[:3000]
    whole = bootstrap_mean(values, weights=weights, users=users)
    order = rng.permutation(3000)
    shuffled = bootstrap_mean(values[order], weights=weights[order], users=users[order])
    left, right = BootstrapSums(), BootstrapSums()
    for part, rows in ((left, order[:700]), (left, order[700:705]), (right, order[705:])):
        part.add(values[rows], users=users[rows], weights=weights[rows])
    left.merge(BootstrapSums())
    left.merge(right)
    for other in (shuffled, left.interval()):
        assert other.users == 3000
        np.testing.assert_allclose([other.mean, *ends(other)], [whole.mean, *ends(whole)], rtol=1e-9)


def test_the_seed_decides_the_draws():
    values = np.random.default_rng(5).random(500)
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1).low != bootstrap_mean(values, seed=2).low


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e3), st.integers(0, 100))
@settings(max_examples=30, deadline=None)
def test_an_interval_moves_and_scales_with_its_values(shift, scale, seed):
    values = np.random.default_rng(seed).lognormal(size=40)
    plain, moved = (bootstrap_mean(v, resamples=100, seed=seed) for v in (values, shift + scale * values))
    expected = shift + scale * np.array([plain.mean, *ends(plain)])
    np.testing.assert_allclose([moved.mean, *ends(moved)], expected, rtol=1e-7, atol=1e-7 * scale)


def test_equal_values_have_an_interval_of_no_width():
    found = bootstrap_mean(np.full(50, 0.3))
    np.testing.assert_allclose([found.mean, *ends(found)], 0.3, rtol=1e-12)


def test_one_user_has_a_mean_and_no_interval_and_no_user_has_neither():
    one = bootstrap_mean(np.array([0.5, np.nan]))
    assert one.mean == 0.5
    assert np.isnan(ends(one)).all()
    for values in (np.full(3, np.nan), np.zeros(0), np.zeros(3)):
        weights = np.zeros(3) if values.size and not np.isnan(values).any() else None
        found = bootstrap_mean(values, weights=weights)
        assert np.isnan([found.mean, *ends(found)]).all()


def test_memory_does_not_grow_with_the_resamples():
    values = np.random.default_rng(6).random((100_000, 3))
    tracemalloc.start()
    bootstrap_mean(values, resamples=200)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6  # all weights at once are 160 MB


@pytest.mark.parametrize(
    ("values", "keywords", "error", "says"),
    [
        ([[[1.0]]], {}, DataError, "got shape"),
        ([1.0, np.inf], {}, DataError, "1 are infinite"),
        ([1.0, 2.0], {"weights": [1.0]}, DataError, "weights: got shape"),
        ([1.0, 2.0], {"weights": [1.0, -1.0]}, DataError, "negative"),
        ([1.0, 2.0], {"weights": [1.0, np.nan]}, DataError, "NaN"),
        ([1.0, 2.0], {"users": [1]}, DataError, "one user index per value"),
        ([1.0, 2.0], {"users": [0.5, 1.5]}, DataError, "whole numbers"),
        ([1.0, 2.0], {"confidence": 95}, ConfigError, "got 95"),
        ([1.0, 2.0], {"resamples": 0}, ConfigError, "resamples: got 0"),
        ([1.0, 2.0], {"method": "basic"}, ConfigError, "bca, percentile"),
    ],
)
def test_what_cannot_be_is_said_in_one_line(values, keywords, error, says):
    arrays = {name: np.array(value) if isinstance(value, list) else value for name, value in keywords.items()}
    with pytest.raises(error, match=says) as caught:
        bootstrap_mean(np.array(values), **arrays)
    assert "\n" not in str(caught.value)


def test_parts_of_different_draws_are_not_merged():
    with pytest.raises(ConfigError, match="seed: got 0 and 1"):
        BootstrapSums().merge(BootstrapSums(seed=1))
    one, two = BootstrapSums(), BootstrapSums()
    one.add(np.ones(3), users=np.arange(3))
    two.add(np.ones((3, 2)), users=np.arange(3))
    with pytest.raises(DataError, match="different metrics"):
        one.merge(two)
    with pytest.raises(DataError, match="no users were added"):
        BootstrapSums().interval()
