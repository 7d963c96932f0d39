"""Slate estimators against the enumeration of every slate, plain loops and the jackknife."""

import itertools
import math

import numpy as np
import pytest

from tfrec.errors import DataError
from tfrec.off_policy import (
    LoggedSlates,
    cascade_doubly_robust,
    evaluate_slates,
    independent_ips,
    reward_interaction_ips,
    standard_ips,
    values_by_position,
)
from tfrec.off_policy.slate_world import SlateWorld


def tiny_world(users, items=4, positions=3):
    return SlateWorld.planted(5, distance=1.0, users=users, types=2, items=items, positions=positions)


def plackett_luce_by_loops(conditional_scores, slate):
    left, result = dict(enumerate(conditional_scores)), []
    for item in slate:
        result.append(left[item] / sum(left.values()))
        del left[item]
    return result


def expectation(world, estimator, **keywords):
    """Over every type and slate, one slate a log; all estimators are linear in the rewards, so their means suffice."""
    types, count = world.expected.shape[:2]
    t, s = (np.array(column) for column in zip(*itertools.product(range(types), range(count)), strict=True))
    log = world.log_of(t[:, None], s[:, None], world.expected[t, s][:, None, :])
    chance = world.logging.of_slate[t, s] / types
    assert chance.sum() == pytest.approx(1)
    return float((chance * estimator(log, **keywords).value).sum())


def test_the_value_is_the_loop_over_every_slate_of_a_plackett_luce_policy():
    world = tiny_world("cascade")
    rng = np.random.default_rng(9)
    odds = np.exp(rng.normal(size=(2, 4)))
    from tfrec.off_policy.slate_world import SlatePolicy

    policy = SlatePolicy.of_scores(np.log(odds), world.slates)
    for t in range(2):
        for n, slate in enumerate(world.slates):
            expected = plackett_luce_by_loops(odds[t], slate)
            assert policy.conditional[t, n] == pytest.approx(expected)
            assert policy.of_slate[t, n] == pytest.approx(math.prod(expected))
            for k, item in enumerate(slate):
                marginal = sum(
                    math.prod(plackett_luce_by_loops(odds[t], other)) for other in world.slates if other[k] == item
                )
                assert policy.marginal[t, n, k] == pytest.approx(marginal)
    value = 0.0
    for t, n, k in itertools.product(range(2), range(len(world.slates)), range(3)):
        value += math.prod(world.target.conditional[t, n]) * world.expected[t, n, k] / 2
    assert world.value == pytest.approx(value)


@pytest.mark.parametrize("users", ["independent", "cascade"])
@pytest.mark.parametrize("estimator", [standard_ips, reward_interaction_ips, cascade_doubly_robust])
def test_what_follows_the_slate_from_the_top_is_unbiased_for_both_kinds_of_users(users, estimator):
    world = tiny_world(users)
    assert expectation(world, estimator) == pytest.approx(world.value, abs=1e-12)


def test_independent_ips_is_unbiased_for_independent_users_and_biased_for_those_who_read_from_the_top():
    world = tiny_world("independent")
    assert expectation(world, independent_ips) == pytest.approx(world.value, abs=1e-12)
    world = tiny_world("cascade")
    assert abs(expectation(world, independent_ips) - world.value) > 0.001


def test_the_worlds_reward_model_has_the_policys_own_mean_as_its_target_prediction():
    world = tiny_world("cascade")
    logged, target = world._predictions()
    for n, slate in enumerate(world.slates):
        for k in range(3):
            same = [m for m, other in enumerate(world.slates) if tuple(other[:k]) == tuple(slate[:k])]
            for t in range(2):
                chance = [math.prod(world.target.conditional[t, m]) for m in same]
                mean = sum(c * logged[t, m, k] for c, m in zip(chance, same, strict=True)) / sum(chance)
                assert target[t, n, k] == pytest.approx(mean)


def short_slates(seed=0, slates=300, positions=3, labels=None):
    """Slates of one to three items with unlike probabilities."""
    rng = np.random.default_rng(seed)
    shape = (slates, positions)
    length = rng.integers(1, positions + 1, slates)
    shown = np.arange(positions) < length[:, None]

    def of_shown(values, past):
        return np.where(shown, values, past)

    return LoggedSlates(
        of_shown(rng.random(shape) < 0.4, 0.0),
        of_shown(rng.uniform(0.2, 1, shape), 1.0),
        of_shown(rng.uniform(0.1, 1, shape), 1.0),
        of_shown(rng.uniform(0.2, 1, shape), 1.0),
        of_shown(rng.uniform(0.1, 1, shape), 1.0),
        is_shown=shown,
        position_weights=np.array([1.0, 0.6, 0.5]),
        labels=labels,
    )


def value_by_loops(log, kind, self_normalised):
    slates, positions = log.rewards.shape
    total = 0.0
    for k in range(positions):
        weighted = weight_sum = shown = 0.0
        for s in range(slates):
            if not log.is_shown[s, k]:
                continue
            ratio = [log.target_probabilities[s, j] / log.propensities[s, j] for j in range(positions)]
            if kind == "standard":
                weight = math.prod(ratio)
            elif kind == "prefix":
                weight = math.prod(ratio[: k + 1])
            else:
                weight = log.position_target_probabilities[s, k] / log.position_propensities[s, k]
            weighted += weight * log.position_weights[k] * log.rewards[s, k]
            weight_sum += weight
            shown += 1
        total += weighted / weight_sum * shown / slates if self_normalised else weighted / slates
    return total


KINDS = {"standard": standard_ips, "prefix": reward_interaction_ips, "marginal": independent_ips}


@pytest.mark.parametrize("self_normalised", [False, True])
@pytest.mark.parametrize("kind", KINDS)
def test_values_of_slates_of_any_length_are_those_of_loops(kind, self_normalised):
    log = short_slates()
    found = KINDS[kind](log, self_normalised=self_normalised)
    assert found.value == pytest.approx(value_by_loops(log, kind, self_normalised))
    assert found.estimator.startswith("self_normalised") == self_normalised


def some(log, rows):
    names = (
        "rewards",
        "propensities",
        "target_probabilities",
        "position_propensities",
        "position_target_probabilities",
        "is_shown",
    )
    return LoggedSlates(
        **{name: getattr(log, name)[rows] for name in names}, position_weights=log.position_weights, labels=None
    )


@pytest.mark.parametrize("self_normalised", [False, True])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("users", [None, 80])
def test_standard_errors_are_those_of_the_jackknife(kind, self_normalised, users):
    labels = None if users is None else np.random.default_rng(1).integers(0, users, 400)
    log = short_slates(slates=400, labels=labels)
    groups = np.arange(400) if labels is None else labels
    known = np.unique(groups)
    values = np.array(
        [float(KINDS[kind](some(log, groups != group), self_normalised=self_normalised).value) for group in known]
    )
    jackknife = math.sqrt((len(known) - 1) / len(known) * np.square(values - values.mean()).sum())
    assert KINDS[kind](log, self_normalised=self_normalised).standard_error == pytest.approx(jackknife, rel=0.05)


@pytest.mark.parametrize("self_normalised", [False, True])
def test_the_parts_by_position_add_up_to_the_value(self_normalised):
    log = short_slates()
    parts = values_by_position(log, log.prefix_weights, self_normalised=self_normalised)
    assert [part.estimator for part in parts] == ["position_1", "position_2", "position_3"]
    whole = reward_interaction_ips(log, self_normalised=self_normalised)
    assert sum(float(part.value) for part in parts) == pytest.approx(float(whole.value))


def test_many_logs_at_once_give_what_each_gives_alone():
    world = SlateWorld.planted(2, distance=0.6, users="cascade")
    together = world.draw(3, np.random.default_rng(0).integers(1, 4, 60), 4)
    found = evaluate_slates(together)
    for run in range(4):
        names = [name for name in LoggedSlates.__dataclass_fields__ if name not in ("labels", "position_weights")]
        columns = {name: getattr(together, name) for name in names}
        alone = LoggedSlates(
            **{name: None if values is None else values[run] for name, values in columns.items()},
            labels=together.labels,
        )
        for one, expected in zip(found.estimates, evaluate_slates(alone).estimates, strict=True):
            assert one.value[run] == pytest.approx(float(expected.value))
            assert one.low[run] == pytest.approx(float(expected.low))


def test_claimed_intervals_cover_the_truth_in_93_to_97_percent_of_1000_logs():
    world = SlateWorld.planted(4, distance=0.6, users="independent")
    for estimate in evaluate_slates(world.draw(4, np.full(300, 2), 1000)).estimates:
        covers = ((estimate.low <= world.value) & (world.value <= estimate.high)).mean()
        assert estimate.claims_interval.all(), estimate.estimator
        assert 0.93 <= covers <= 0.97, estimate.estimator


def test_right_slate_weights_have_a_mean_of_one_at_every_position():
    world = SlateWorld.planted(4, distance=0.6, users="cascade")
    for check in evaluate_slates(world.draw(4, np.ones(800, int), 200)).weights.values():
        assert (check.mean_p_value < 0.05).mean() < 0.1
        assert check.mean.mean() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rewards": np.ones(3)}, r"wanted \[slates, positions\]"),
        ({"propensities": np.zeros((2, 2))}, r"propensities: slate 1, position 1 \(counted from 1\) is 0"),
        ({"position_propensities": np.ones((2, 2))}, "go together"),
        ({"target_predictions": np.ones((2, 2))}, "go together"),
        ({"is_shown": np.ones(2, bool)}, "is_shown"),
        ({"target_probabilities": np.array([[0.0, 1.0], [0.0, 1.0]])}, "no overlap"),
        ({"target_probabilities": np.full((2, 2), np.inf)}, "inf"),
    ],
)
def test_unusable_slates_are_refused_with_what_is_wrong(changes, message):
    good = {name: np.ones((2, 2)) for name in ("rewards", "propensities", "target_probabilities")}
    log = LoggedSlates(**good)
    with pytest.raises(DataError, match="marginal"):
        independent_ips(log)
    with pytest.raises(DataError, match="reward model"):
        cascade_doubly_robust(log)
    with pytest.raises(DataError, match=message):
        LoggedSlates(**(good | changes))
