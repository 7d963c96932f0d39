"""Single-action estimators against exact enumeration of small worlds, hand calculations, loops and the jackknife."""

import itertools
import json
import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from tfrec.errors import DataError
from tfrec.off_policy import (
    LoggedActions,
    clipped_ips,
    direct_method,
    doubly_robust,
    evaluate_actions,
    ips,
    replay,
    self_normalised_doubly_robust,
    self_normalised_ips,
    slope_threshold,
    switch_doubly_robust,
)
from tfrec.off_policy.clusters import Clusters
from tfrec.off_policy.intervals import hall_inverse, hall_transform, influence_interval
from tfrec.off_policy.world import BanditWorld

ESTIMATORS = (
    ips,
    self_normalised_ips,
    clipped_ips,
    replay,
    direct_method,
    doubly_robust,
    self_normalised_doubly_robust,
    switch_doubly_robust,
)


def tiny_world(seed=3):
    return BanditWorld.planted(seed, distance=1.0, types=3, num_actions=4)


def every_outcome(world, propensities=None, predicted=None):
    """All (type, action, reward) as logs of one row, and the chance of each."""
    types, actions = world.expected.shape
    cells = list(itertools.product(range(types), range(actions), (0.0, 1.0)))
    t, a, r = (np.array(column) for column in zip(*cells, strict=True))
    rate = world.expected[t, a]
    chance = world.logging[t, a] / types * np.where(r == 1, rate, 1 - rate)
    predicted = world.predicted if predicted is None else predicted
    log = LoggedActions(
        r[:, None],
        (world.logging if propensities is None else propensities)[t, a][:, None],
        world.target[t, a][:, None],
        None,
        predicted[t, a][:, None],
        (world.target * predicted).sum(axis=1)[t][:, None],
    )
    return log, chance


def truth_by_loops(world):
    types, actions = world.expected.shape
    return sum(world.target[t, a] * world.expected[t, a] for t in range(types) for a in range(actions)) / types


def random_log(seed, rows=300, labels=None, runs=None):
    world = BanditWorld.planted(seed, distance=0.8)
    log = world.draw(seed, np.ones(rows, int), runs)
    return log if labels is None else replace(log, labels=labels)


# --- Unbiasedness, by enumeration -----------------------------------------------------------------------------------


def test_the_worlds_value_is_the_loop_over_types_and_actions():
    world = tiny_world()
    assert world.value == pytest.approx(truth_by_loops(world), abs=1e-12)


@pytest.mark.parametrize("estimator", [ips, doubly_robust])
def test_the_expectation_over_every_outcome_is_the_truth(estimator):
    world = tiny_world()
    log, chance = every_outcome(world)
    assert chance.sum() == pytest.approx(1)
    assert (chance * estimator(log).value).sum() == pytest.approx(truth_by_loops(world), abs=1e-12)


def test_doubly_robust_is_unbiased_with_wrong_propensities_where_the_reward_model_is_right():
    world = tiny_world()
    wrong = np.full_like(world.logging, 0.25)
    log, chance = every_outcome(world, propensities=wrong, predicted=world.expected)
    truth = truth_by_loops(world)
    assert (chance * doubly_robust(log).value).sum() == pytest.approx(truth, abs=1e-12)
    assert (chance * ips(log).value).sum() != pytest.approx(truth, abs=1e-3)


@pytest.mark.parametrize("largest", [0.5, 1.0, 2.0])
def test_the_bias_of_clipping_stays_within_its_bound(largest):
    world = tiny_world()
    log, chance = every_outcome(world)
    bias = (chance * clipped_ips(log, largest).value).sum() - truth_by_loops(world)
    clipped = np.minimum(log.weights[:, 0], largest)
    assert -(1 - (chance * clipped).sum()) <= bias < 0


def test_the_stated_bound_of_clipping_is_the_clipped_away_weight_times_the_largest_reward():
    log = LoggedActions(np.array([2.0, -3.0, 1.0, 1.0]), np.full(4, 0.2), np.array([0.8, 0.1, 0.02, 0.02]))
    found = clipped_ips(log, 2.0)  # weights 4, 0.5, 0.1, 0.1, of which 2, 0.5, 0.1, 0.1 are left
    assert found.value == pytest.approx((4 - 1.5 + 0.2) / 4)
    assert found.bias_bound == pytest.approx(max(1 - 2.7 / 4, 2 / 4) * 3)  # two estimates of the same share
    assert not found.claims_interval
    assert clipped_ips(log, 4.0).bias_bound == 0


def test_self_normalised_bias_vanishes_and_the_other_estimators_keep_theirs():
    world = tiny_world()
    biases = {}
    for rows in (20, 400):
        log = world.draw(1, np.ones(rows, int), 4000)
        biases[rows] = (
            self_normalised_ips(log).value.mean() - world.value,
            direct_method(log).value.mean() - world.value,
        )
    assert abs(biases[400][0]) < 0.004
    model_bias = (world.target * (world.predicted - world.expected)).sum(axis=1).mean()
    assert biases[400][1] == pytest.approx(model_bias, abs=0.002)


# --- Values, by hand and by loops -----------------------------------------------------------------------------------


def test_values_are_those_of_a_hand_calculation():
    log = LoggedActions(
        rewards=np.array([1.0, 0.0, 1.0]),
        propensities=np.array([0.5, 0.25, 0.5]),
        target_probabilities=np.array([0.25, 0.5, 0.75]),
        logged_predictions=np.array([0.5, 0.5, 1.0]),
        target_predictions=np.array([0.6, 0.4, 0.8]),
    )  # weights ½, 2, 3/2
    assert ips(log).value == pytest.approx(2 / 3)
    assert self_normalised_ips(log).value == pytest.approx(2 / 4)
    assert replay(log).value == pytest.approx(1.0 / 1.5)
    assert direct_method(log).value == pytest.approx(0.6)
    assert doubly_robust(log).value == pytest.approx(0.6 + (0.25 - 1 + 0) / 3)
    assert self_normalised_doubly_robust(log).value == pytest.approx(0.6 + (0.25 - 1 + 0) / 4)
    assert switch_doubly_robust(log, threshold=1.0).value == pytest.approx(0.6 + 0.25 / 3)
    assert log.check.effective_rows == pytest.approx(16 / (0.25 + 4 + 2.25))
    assert log.check.mean == pytest.approx(4 / 3)
    assert log.check.largest == 2
    assert log.check.largest_share == pytest.approx(0.5)


def test_many_logs_at_once_give_what_each_gives_alone():
    labels = np.random.default_rng(0).integers(0, 40, 200)
    together = random_log(1, 200, labels, runs=5)
    for estimator in ESTIMATORS:
        found = estimator(together)
        for run in range(5):
            alone = LoggedActions(
                *(getattr(together, name)[run] for name in ("rewards", "propensities", "target_probabilities")),
                labels,
                together.logged_predictions[run],
                together.target_predictions[run],
            )
            expected = estimator(alone)
            for name in ("value", "standard_error", "low", "high"):
                assert getattr(found, name)[run] == pytest.approx(float(getattr(expected, name)), rel=1e-9), estimator


@settings(max_examples=30, deadline=None)
@given(st.floats(-100, 100), st.integers(0, 1000))
def test_self_normalised_ips_moves_with_a_constant_added_to_all_rewards(shift, seed):
    log = random_log(seed, 60)
    moved = replace(log, rewards=log.rewards + shift)
    found, expected = self_normalised_ips(moved), self_normalised_ips(log)
    assert found.value == pytest.approx(float(expected.value) + shift, abs=1e-9)
    assert found.standard_error == pytest.approx(float(expected.standard_error), rel=1e-6)


def test_replay_is_the_mean_reward_of_agreeing_rows_and_claims_its_interval_for_uniform_logging_alone():
    rng = np.random.default_rng(5)
    logged, wanted = rng.integers(0, 4, 500), rng.integers(0, 4, 500)
    rewards = rng.random(500)
    uniform = LoggedActions(rewards, np.full(500, 0.25), (logged == wanted).astype(float))
    assert replay(uniform).value == pytest.approx(rewards[logged == wanted].mean())
    assert replay(uniform).value == pytest.approx(float(self_normalised_ips(uniform).value))
    assert replay(uniform).claims_interval
    uneven = replace(uniform, propensities=np.linspace(0.1, 0.5, 500))
    assert not replay(uneven).claims_interval
    assert "uniform" in replay(uneven).why_not


# --- Switch ---------------------------------------------------------------------------------------------------------


def test_switch_is_doubly_robust_without_a_limit_and_the_direct_method_below_all_weights():
    log = random_log(2)
    assert switch_doubly_robust(log, np.inf).value == pytest.approx(float(doubly_robust(log).value))
    assert switch_doubly_robust(log, 0.0).value == pytest.approx(float(direct_method(log).value))


def slope_by_loops(log, count):
    intervals, chosen = [], None
    for share in np.linspace(1, 0, count):
        limit = np.quantile(log.weights, share) if share > 0 else -1.0
        terms = [
            log.target_predictions[i]
            + (log.weights[i] * (log.rewards[i] - log.logged_predictions[i]) if log.weights[i] <= limit else 0)
            for i in range(len(log.rewards))
        ]
        width = 1.45 * np.std(terms, ddof=1) / math.sqrt(len(terms))
        intervals.append((np.mean(terms) - width, np.mean(terms) + width))
        if max(low for low, _ in intervals) > min(high for _, high in intervals):
            break
        chosen = limit
    return chosen


@pytest.mark.parametrize("error", [0.0, 0.1, 0.3, 2.0])
def test_the_threshold_is_the_one_of_a_loop_over_intervals_that_still_meet(error):
    log = random_log(8, 2000)
    log = replace(
        log,
        logged_predictions=log.logged_predictions + error,
        target_predictions=log.target_predictions + 1.5 * error,
    )
    assert slope_threshold(log) == pytest.approx(slope_by_loops(log, 15))


def test_a_poor_reward_model_keeps_the_threshold_high_and_a_right_one_lets_it_fall():
    world = BanditWorld.planted(8, distance=0.8)
    right = replace(world, predicted=world.expected).draw(1, np.ones(4000, int))
    poor = replace(world, predicted=world.expected + 1.0).draw(1, np.ones(4000, int))
    poor = replace(poor, target_predictions=poor.target_predictions + 1.0)
    assert slope_threshold(right) <= np.quantile(right.weights, 0.5)
    assert slope_threshold(poor) > np.quantile(poor.weights, 0.8)


# --- Intervals ------------------------------------------------------------------------------------------------------


def jackknife_error(estimator, log, labels):
    groups = np.unique(labels)
    values = []
    for group in groups:
        left = labels != group
        columns = ("rewards", "propensities", "target_probabilities", "logged_predictions", "target_predictions")
        part = {name: getattr(log, name)[left] for name in columns}
        values.append(float(estimator(LoggedActions(**part)).value))
    count = len(groups)
    return math.sqrt((count - 1) / count * np.square(np.array(values) - np.mean(values)).sum())


@pytest.mark.parametrize(
    "estimator",
    [ips, self_normalised_ips, replay, direct_method, doubly_robust, self_normalised_doubly_robust],
    ids=lambda estimator: estimator.__name__,
)
@pytest.mark.parametrize("users", [None, 60])
def test_standard_errors_are_those_of_the_jackknife_over_users(estimator, users):
    rows = 400
    labels = np.arange(rows) if users is None else np.random.default_rng(0).integers(0, users, rows)
    log = random_log(4, rows, labels)
    assert estimator(log).standard_error == pytest.approx(jackknife_error(estimator, log, labels), rel=0.05)


@settings(max_examples=60, deadline=None)
@given(st.floats(-6, 6), st.floats(-20, 20), st.integers(5, 10_000))
def test_halls_transform_has_its_inverse_and_rises(t, skewness, count):
    moved = hall_transform(np.float64(t), np.float64(skewness), count)
    assert hall_inverse(float(moved), np.float64(skewness), count) == pytest.approx(t, abs=1e-4)
    assert hall_transform(np.float64(t + 0.1), np.float64(skewness), count) > moved


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(-100, 100), min_size=3, max_size=40), st.floats(0.5, 0.99))
def test_an_interval_holds_the_t_interval(values, confidence):
    terms = np.array(values)
    interval = influence_interval(terms - terms.mean(), Clusters.of(None, len(terms)), confidence)
    reach = stats.t.ppf((1 + confidence) / 2, len(terms) - 1) * stats.sem(terms)
    assert interval.standard_error == pytest.approx(stats.sem(terms), abs=1e-9)
    assert interval.low <= -reach + 1e-9
    assert interval.high >= reach - 1e-9


def test_an_interval_of_symmetric_terms_is_the_t_interval_and_of_skewed_ones_reaches_further_to_the_tail():
    symmetric = np.array([-3.0, -1.0, 0.0, 1.0, 3.0])
    reach = stats.t.ppf(0.975, 4) * stats.sem(symmetric)
    found = influence_interval(symmetric, Clusters.of(None, 5))
    assert (found.low, found.high) == (pytest.approx(-reach), pytest.approx(reach))
    skewed = np.random.default_rng(1).exponential(size=200)
    found = influence_interval(skewed - skewed.mean(), Clusters.of(None, 200))
    assert found.high > -found.low


def test_rows_written_twice_for_the_same_user_do_not_make_the_interval_narrower():
    log = random_log(6, 200, np.arange(200))
    columns = ("rewards", "propensities", "target_probabilities", "labels")
    twice = LoggedActions(*(np.repeat(getattr(log, name), 2) for name in columns))
    for estimator in (ips, self_normalised_ips):
        once, again = estimator(log), estimator(twice)
        assert again.standard_error == pytest.approx(float(once.standard_error))
        assert (again.low, again.high) == (pytest.approx(float(once.low)), pytest.approx(float(once.high)))


def test_the_order_of_rows_does_not_matter():
    log = random_log(6, 200, np.random.default_rng(0).integers(0, 30, 200))
    order = np.random.default_rng(1).permutation(200)
    columns = ("rewards", "propensities", "target_probabilities", "labels", "logged_predictions", "target_predictions")
    moved = LoggedActions(*(getattr(log, name)[order] for name in columns))
    for estimator in ESTIMATORS:
        assert estimator(moved).high == pytest.approx(float(estimator(log).high)), estimator


def test_a_single_user_has_no_interval():
    found = ips(random_log(1, 50, np.zeros(50, int)))
    assert found.low == -np.inf
    assert found.high == np.inf
    assert not found.claims_interval
    content = json.dumps(evaluate_actions(random_log(1, 50, np.zeros(50, int))).as_dict(), allow_nan=False)
    assert json.loads(content)["estimates"]["ips"]["low"] is None


@pytest.mark.parametrize("seed", [1, 2])
def test_claimed_intervals_cover_the_truth_in_93_to_97_percent_of_1000_logs_of_dependent_rows(seed):
    world = BanditWorld.planted(seed, distance=0.8, user_effect=0.05)
    users = np.random.default_rng(seed).integers(1, 6, 250)
    log = world.draw(seed, users, 1000)
    for estimator in (ips, self_normalised_ips, doubly_robust, self_normalised_doubly_robust):
        found = estimator(log)
        assert found.claims_interval.all()
        covers = ((found.low <= world.value) & (world.value <= found.high)).mean()
        assert 0.93 <= covers <= 0.97, estimator


def test_intervals_that_ignore_that_rows_of_a_user_depend_on_each_other_miss_the_truth_too_often():
    world = BanditWorld.planted(3, distance=0.3, user_effect=0.1)
    log = world.draw(1, np.full(150, 30), 400)
    coverage = {}
    for name, used in (("by user", log), ("by row", replace(log, labels=None))):
        found = self_normalised_ips(used)
        coverage[name] = ((found.low <= world.value) & (world.value <= found.high)).mean()
    assert coverage["by user"] > 0.92
    assert coverage["by row"] < 0.85


# --- Weights --------------------------------------------------------------------------------------------------------


def test_right_propensities_are_seldom_suspected_and_wrong_ones_always():
    world = BanditWorld.planted(3, distance=0.8)
    log = world.draw(3, np.ones(2000, int), 500)
    assert (log.check.mean_p_value < 0.05).mean() < 0.07
    assert 0.93 <= ((log.check.mean_low <= 1) & (log.check.mean_high >= 1)).mean() <= 0.98
    wrong = replace(log, propensities=0.8 * log.propensities)
    assert (wrong.check.mean_p_value < 0.01).mean() > 0.99


def test_warnings_say_what_is_wrong_in_words():
    world = BanditWorld.planted(3, distance=0.5)
    right = world.draw(1, np.ones(3000, int))
    assert evaluate_actions(right).warnings() == []
    low = replace(right, propensities=0.7 * right.propensities)
    assert "propensities are too low" in evaluate_actions(low).warnings()[0]
    unseen = replace(right, target_probabilities=0.7 * right.target_probabilities)
    assert "the log never shows" in evaluate_actions(unseen).warnings()[0]
    few = world.draw(1, np.ones(60, int))
    assert "effective independent units" in evaluate_actions(few).warnings()[0]
    assert not any(estimate.claims_interval for estimate in evaluate_actions(few).estimates)
    heavy = replace(right, target_probabilities=np.where(np.arange(3000) == 7, 1.0, 1e-3))
    assert any("one row carries" in warning for warning in evaluate_actions(heavy).warnings())


def test_a_policy_that_is_the_logging_policy_has_weights_of_one_and_its_value_is_the_logs():
    log = replace(random_log(1), target_probabilities=random_log(1).propensities)
    assert log.check.mean_p_value == 1
    assert log.check.effective_rows == pytest.approx(300)
    for estimator in (ips, self_normalised_ips, clipped_ips):
        assert estimator(log).value == pytest.approx(log.rewards.mean())
    assert evaluate_actions(log).logged_value.value == pytest.approx(log.rewards.mean())


# --- Refusals -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"propensities": np.array([0.5, 0.0])},
            r"propensities: row 2 \(the first is row 1\) is 0.*allowed: above 0, up to 1",
        ),
        ({"propensities": np.array([1.5, 0.5])}, r"propensities: row 1 .* is 1.5"),
        ({"target_probabilities": np.array([-0.1, 0.5])}, r"target_probabilities: row 1 .* is -0.1.*0 to 1"),
        ({"target_probabilities": np.zeros(2)}, "no overlap"),
        ({"rewards": np.array([1.0, np.nan])}, "rewards: row 2 .* is nan"),
        ({"rewards": np.zeros(0)}, "no rows"),
        ({"propensities": np.array([0.5])}, r"propensities: got the shape \(1,\)"),
        ({"logged_predictions": np.zeros(2)}, "go together"),
    ],
)
def test_an_unusable_log_is_refused_with_what_is_wrong(changes, message):
    good = {
        "rewards": np.array([1.0, 0.0]),
        "propensities": np.array([0.5, 0.5]),
        "target_probabilities": np.array([0.5, 0.5]),
    }
    LoggedActions(**good)
    with pytest.raises(DataError, match=message):
        LoggedActions(**(good | changes))


def test_labels_of_another_length_and_a_missing_reward_model_are_refused():
    log = LoggedActions(np.ones(3), np.ones(3), np.ones(3), np.zeros(2))
    with pytest.raises(DataError, match="one label per row"):
        ips(log)
    for estimator in (direct_method, doubly_robust, switch_doubly_robust):
        with pytest.raises(DataError, match="reward model"):
            estimator(replace(log, labels=None))
    assert {e.estimator for e in evaluate_actions(replace(log, labels=None)).estimates} == {
        "ips",
        "self_normalised_ips",
        "clipped_ips",
        "replay",
    }


def test_a_refuted_mean_weight_takes_the_claim_from_the_intervals():
    rng = np.random.default_rng(0)
    rewards = rng.integers(0, 2, 2000).astype(float)
    right = LoggedActions(rewards, np.full(2000, 0.2), rng.permutation(np.repeat([0.1, 0.3], 1000)))
    wrong = LoggedActions(rewards, right.propensities / 3, right.target_probabilities)
    assert ips(right).claims_interval
    assert not ips(wrong).claims_interval
    assert wrong.check.effective_clusters > 1000
    (said,) = wrong.check.warnings()
    assert said.startswith("the mean weight is 3.000, not 1 (p = ")
