"""The closed loop: reproducible, causal, and showing what it is there to show."""

from dataclasses import fields

import numpy as np
import pytest

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.simulation import measures
from tfrec.simulation.clicks import attraction
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.loop import LoopConfig, run_loop
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Softmax, Uniform
from tfrec.simulation.shadow import Shadow
from tfrec.simulation.state import State
from tfrec.simulation.traffic import serve
from tfrec.simulation.training import TrainingConfig, table_scorer, training_rows, validation_rows, weights
from tfrec.simulation.world import World, WorldConfig

SMALL = WorldConfig(users=60, items=60, visits_per_round=4, user_churn=0.1)
POLICIES = {"greedy": {}, "epsilon": {"policy": EpsilonGreedy(epsilon=0.3)}, "softmax": {"policy": Softmax()}}


@pytest.fixture(scope="module")
def loops():
    return {name: run_loop(LoopConfig(rounds=4, world=SMALL, **more), 3) for name, more in POLICIES.items()}


def columns(log):
    return {field.name: getattr(log, field.name) for field in fields(ImpressionLog)}


def assert_same(one, other):
    for name, values in columns(one).items():
        np.testing.assert_array_equal(values, getattr(other, name), err_msg=name)


def test_a_seed_gives_the_same_loop_again_and_another_seed_another(loops):
    again = run_loop(LoopConfig(rounds=4, world=SMALL), 3)
    assert_same(loops["greedy"].log, again.log)
    assert again.figures[-1] == loops["greedy"].figures[-1]
    assert len(run_loop(LoopConfig(rounds=4, world=SMALL), 4).log) != len(again.log)


def test_what_is_served_does_not_depend_on_how_long_the_loop_will_go_on(loops):
    short = run_loop(LoopConfig(rounds=2, world=SMALL, policy=Softmax()), 3).log
    assert_same(short, loops["softmax"].log.of(np.arange(len(short))))


def test_policies_meet_the_same_users_in_the_same_contexts(loops):
    one, *others = (loop.log for loop in loops.values())
    for other in others:
        for name in ("request", "user", "context", "moment", "position"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        first = one.round_number == 0
        assert_same(one.of(first), other.of(first))


@pytest.mark.parametrize("name", POLICIES)
def test_the_log_obeys_causality(loops, name):
    loop = loops[name]
    log, arrival = loop.log, loop.state.world.arrival_round
    assert (np.diff(log.moment) >= 0).all()
    assert (np.diff(log.request) >= 0).all()
    assert (arrival[log.item] <= log.round_number).all()
    assert (arrival[log.item] > 0).any() or name == "greedy"
    clicked = set()
    for user, item, click in zip(log.user.tolist(), log.item.tolist(), log.clicked.tolist(), strict=True):
        assert (user, item) not in clicked  # without repeats
        if click:
            clicked.add((user, item))
    for rows in np.split(np.arange(len(log)), np.flatnonzero(np.diff(log.request)) + 1):
        assert log.position[rows].tolist() == list(range(SMALL.slate))
        assert len(set(log.item[rows])) == SMALL.slate
        assert len(set(log.user[rows])) == 1
    assert ((log.rating > 0) == log.clicked).all()


@pytest.mark.parametrize("name", POLICIES)
def test_logged_propensities_are_probabilities_of_what_was_shown(loops, name):
    log = loops[name].log
    for values in (log.propensity, log.propensity_in_slate, log.propensity_given_above):
        assert (values > 0).all()
        assert (values <= 1 + 1e-7).all()
    assert (log.propensity <= log.propensity_in_slate + 1e-12).all()
    assert log.is_random[log.round_number == 0].all()


def test_weights_by_inverse_propensity_count_every_candidate_alike():
    """Σ 1/p over the rows of an item estimates how many requests could have been shown it."""
    config = WorldConfig(users=3000, items=20, late_items=0, repeats=True, visits_per_round=4)
    state = State.at_start(World(config, 1))
    table = np.random.default_rng(1).normal(0, 1, (1, 20))
    log = serve(state, Softmax(temperature=1.0), table_scorer(table), moments=4, seed=1).log
    requests = log.request[-1] + 1
    shown = np.bincount(log.item, minlength=20)
    assert shown.max() > 3 * shown.min()
    found = np.bincount(log.item, 1 / log.propensity_in_slate, minlength=20) / requests
    np.testing.assert_allclose(found, 1, atol=0.15)


def test_training_weights_are_clipped_at_a_multiple_of_the_smallest(loops):
    log = loops["epsilon"].log
    config = TrainingConfig(weights="inverse_propensity", max_weight=4)
    found = weights(config, log)
    assert found.mean() == pytest.approx(1)
    assert found.max() / found.min() == pytest.approx(4)
    both = np.argsort(log.propensity_in_slate)
    assert (np.diff(found[both]) <= 1e-12).all()
    assert (weights(TrainingConfig(), log) == 1).all()


def test_what_is_learnt_from_and_validated_on_is_what_was_asked_for(loops):
    log = loops["epsilon"].log
    assert 0 < log.is_random[log.round_number > 0].mean() < 0.5
    assert training_rows(TrainingConfig(), log) is log
    np.testing.assert_array_equal(training_rows(TrainingConfig(rows="random"), log).item, log.item[log.is_random])
    assert validation_rows(TrainingConfig(), log).all()
    np.testing.assert_array_equal(validation_rows(TrainingConfig(validation_rows="random"), log), log.is_random)


def lived_in(users=4000):
    """A state of some moments of greedy traffic, and a scorer that knows half of the truth."""
    world = World(WorldConfig(users=users, items=60, late_items=0), 1)
    state, table = State.at_start(world), world.first_tastes(np.arange(users)) @ world.item_genres.T
    serve(state, Greedy(), table_scorer(table), moments=6, seed=1)
    assert state.clicked.any(axis=1).mean() > 0.5
    return state, table_scorer(table)


def test_the_offline_metric_of_random_traffic_is_the_true_one():
    """Whatever was served before: what random clicks say is what they stand for, up to their number."""
    state, scorer = lived_in()
    shadow = Shadow(scorer, 10)
    log = serve(state, Uniform(), scorer, moments=10, seed=1, observe=shadow).log
    offline, true = shadow.offline_recall(TrainingConfig(), log), shadow.true_recall()
    assert true > 0.2  # 10 of 60 at random: 0.17
    assert offline == pytest.approx(true, abs=4 * np.sqrt(true * (1 - true) / log.clicked.sum()))


def test_of_a_mixture_the_random_part_and_the_weighted_whole_are_true_and_the_whole_is_not():
    state, scorer = lived_in()
    shadow = Shadow(scorer, 10)
    log = serve(state, EpsilonGreedy(epsilon=0.5), scorer, moments=10, seed=1, observe=shadow).log
    naive = shadow.offline_recall(TrainingConfig(), log)
    random = shadow.offline_recall(TrainingConfig(validation_rows="random"), log)
    weighted = shadow.offline_recall(TrainingConfig(weights="inverse_propensity", max_weight=1e9), log)
    true = shadow.true_recall()
    error = np.sqrt(true * (1 - true) / (log.clicked & log.is_random).sum())
    assert random == pytest.approx(true, abs=4 * error)
    assert weighted == pytest.approx(true, abs=4 * error)
    assert naive > true + 20 * error


def test_recalls_equal_a_plain_loop_over_requests():
    state, scorer = lived_in(users=30)
    shadow, seen = Shadow(scorer, 7), []

    def observe(state, requests, candidates, slates):
        shadow(state, requests, candidates, slates)
        seen.append((requests, candidates.copy(), scorer(requests), attraction(state, requests)))

    log = serve(state, Softmax(), scorer, moments=3, seed=1, observe=observe).log
    hits, clicks, listed_appeal, all_appeal, row = 0, 0, 0.0, 0.0, 0
    for requests, candidates, scores, appeal in seen:
        for at in range(len(requests)):
            open_items = [item for item in range(60) if candidates[at, item]]
            ranked = sorted(open_items, key=lambda item, at=at, scores=scores: (-scores[at, item], item))[:7]
            for _ in range(5):
                hits += int(log.clicked[row] and log.item[row] in ranked)
                clicks += int(log.clicked[row])
                row += 1
            listed_appeal += sum(appeal[at, item] for item in ranked) / len(open_items)
            all_appeal += sum(appeal[at, item] for item in open_items) / len(open_items)
    assert row == len(log)
    assert shadow.offline_recall(TrainingConfig(), log) == pytest.approx(hits / clicks)
    assert shadow.true_recall() == pytest.approx(listed_appeal / all_appeal)


def test_without_a_remedy_the_log_praises_what_random_traffic_would_not():
    """The self-feedback loop at half the default size: the claim of docs/simulate.md."""
    world = WorldConfig(users=500)
    loop, even = (run_loop(LoopConfig(rounds=6, world=world, **more), 1) for more in ({}, {"policy": Uniform()}))
    first, last = loop.figures[1], loop.figures[-1]
    assert last.offline_recall > 8 * last.true_recall
    assert last.offline_recall > 3 * loop.figures[0].offline_recall
    assert last.true_recall < first.true_recall
    assert last.coverage < 0.5
    assert last.late_items < 0.1
    assert last.greedy_reward < even.figures[-1].greedy_reward
    assert abs(even.figures[-1].illusion) < 0.1


def test_measures_equal_a_hand_calculation():
    assert measures.gini(np.array([5, 5, 5])) == pytest.approx(0)
    assert measures.gini(np.array([0, 0, 0, 8])) == pytest.approx(0.75)
    counts = np.array([1, 4, 0, 7, 7])
    plain = sum(abs(a - b) for a in counts for b in counts) / (2 * len(counts) * counts.sum())
    assert measures.gini(counts) == pytest.approx(plain)
    lists = np.array([[0, 1, 2], [2, 1, 5], [7, 8, 9]])
    found = measures.jaccard(lists, np.array([0, 0]), np.array([1, 2]))
    assert found == pytest.approx((2 / 4 + 0 / 6) / 2)
    first, second = measures.random_pairs(3, seed=1)
    assert (first != second).all()
    assert set(first) | set(second) == {0, 1, 2}


def test_taste_coverage_is_the_share_of_favourite_genres_listed():
    world = World(WorldConfig(users=1, items=40), 1)
    tastes = np.zeros((1, 8))
    tastes[0, [1, 3, 4]] = 1
    lists = np.array([[int(np.flatnonzero(world.main_genre == genre)[0]) for genre in (1, 3, 0)]])
    assert measures.taste_coverage(world, tastes, lists) == pytest.approx(2 / 3)


def test_lists_longer_than_the_first_catalogue_are_refused():
    with pytest.raises(ConfigError, match="k: lists of 50 cannot be filled, 36 items are there"):
        parse_config("k: 50\nworld: {items: 60}\n", LoopConfig)


def test_a_round_without_a_moment_to_learn_from_is_refused():
    with pytest.raises(ConfigError, match="validation_visits: 4 of 4 visits_per_round leave none to learn from"):
        parse_config("training: {validation_visits: 4}\nworld: {visits_per_round: 4}\n", LoopConfig)
