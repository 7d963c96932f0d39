"""Who comes, what arrives, how tastes move, and what may be shown."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.simulation.state import Requests, State
from tfrec.simulation.world import World, WorldConfig


def test_two_worlds_of_one_seed_are_the_same_and_of_two_seeds_are_not():
    one, same, other = (World(WorldConfig(), seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.item_genres, same.item_genres)
    assert not np.allclose(one.item_genres, other.item_genres)
    np.testing.assert_allclose(one.item_genres.sum(axis=1), 1)


@settings(max_examples=40, deadline=None)
@given(items=st.integers(20, 200), late=st.floats(0, 0.7), rounds=st.integers(1, 12))
def test_late_items_arrive_in_equal_parts_from_round_1(items, late, rounds):
    config = WorldConfig(items=items, late_items=late, arrival_rounds=rounds)
    counts = np.bincount(World(config, 3).arrival_round, minlength=rounds + 1)
    assert counts[0] == items - int(items * late)
    assert counts[1:].max() - counts[1:].min() <= 1
    assert len(counts) == rounds + 1


def test_users_come_as_often_as_their_mean_says():
    state = State.at_start(World(WorldConfig(users=2000, mean_activity=0.3), 1))
    seen = np.zeros(2000)
    for state.moment in range(200):
        requests = state.requests()
        seen[requests.slots] += 1
        assert len(np.unique(requests.slots)) == len(requests)
    rate = state.world.activity(state.user_ids)
    assert rate.mean() == pytest.approx(0.3, abs=0.02)
    z = (seen / 200 - rate) / np.sqrt(np.maximum(rate * (1 - rate), 1e-9) / 200)
    assert np.abs(z[(rate > 0.05) & (rate < 0.95)]).max() < 4.5
    contexts = np.bincount(requests.contexts, minlength=3) / len(requests)
    np.testing.assert_allclose(contexts, 1 / 3, atol=0.08)


def test_tastes_are_standard_normal_and_stay_so_while_they_drift():
    world = World(WorldConfig(users=20_000, segments=500, taste_drift=0.3, user_churn=0), 1)
    state = State.at_start(world)
    first = state.tastes.copy()
    for _ in range(10):
        state.next_round()
    for tastes in (first, state.tastes):
        assert tastes.mean() == pytest.approx(0, abs=0.05)
        assert tastes.std() == pytest.approx(1, abs=0.05)
    # An autoregression of coefficient √(1 − d²), ten steps on.
    assert np.corrcoef(first.ravel(), state.tastes.ravel())[0, 1] == pytest.approx((1 - 0.3**2) ** 5, abs=0.02)


def test_users_of_a_segment_are_alike_by_its_share_of_the_variance():
    world, users = World(WorldConfig(segments=2000, segment_share=0.7), 1), np.arange(20_000)
    tastes, segments = world.first_tastes(users)[:, 0], world.segments(users)
    order = np.lexsort((users, segments))
    same = segments[order][:-1] == segments[order][1:]
    pairs = tastes[order][:-1][same], tastes[order][1:][same]
    assert np.corrcoef(*pairs)[0, 1] == pytest.approx(0.7, abs=0.03)


def test_who_leaves_is_replaced_by_somebody_new_who_remembers_nothing():
    state = State.at_start(World(WorldConfig(users=500, user_churn=0.2), 1))
    state.shown[...] = 3
    state.clicked[:, 0] = True
    state.fatigue[...] = 1.0
    state.next_round()
    is_new = state.user_ids >= 500
    assert 0.12 < is_new.mean() < 0.28
    assert len(np.unique(state.user_ids)) == 500
    assert state.next_user_id == 500 + is_new.sum() == state.user_ids.max() + 1
    for array, old in ((state.shown, 3), (state.fatigue, 1)):
        assert (array[is_new] == 0).all()
        assert (array[~is_new] == old).all()
    np.testing.assert_allclose(state.tastes[is_new], state.world.first_tastes(state.user_ids[is_new]))


def test_candidates_are_items_that_are_there_and_not_yet_clicked():
    config = WorldConfig(users=3, items=12, slate=3, late_items=0.5)
    state = State.at_start(World(config, 1))
    here = state.world.arrival_round == 0
    first = np.flatnonzero(here)
    state.clicked[0, first[0]] = True
    state.clicked[1, first] = True  # has clicked all that there is: everything again
    found = state.candidates(np.arange(3))
    np.testing.assert_array_equal(found[0], here & (np.arange(12) != first[0]))
    np.testing.assert_array_equal(found[1:], np.stack([here, here]))
    repeats = State.at_start(World(config.model_copy(update={"repeats": True}), 1))
    repeats.clicked[...] = True
    np.testing.assert_array_equal(repeats.candidates(np.arange(3)), np.stack([here] * 3))


def test_a_moment_writes_down_what_was_shown_and_clicked():
    config = WorldConfig(users=3, items=10, slate=2, late_items=0, taste_influence=0.5)
    state = State.at_start(World(config, 1))
    tastes = state.tastes.copy()
    requests = Requests(0, np.array([2, 0]), np.array([2, 0]), np.array([0, 0]))
    state.after(requests, np.array([[4, 5], [5, 6]]), np.array([[False, True], [True, False]]))
    assert np.argwhere(state.shown).tolist() == [[0, 5], [0, 6], [2, 4], [2, 5]]
    assert np.argwhere(state.clicked).tolist() == [[0, 5], [2, 5]]
    assert np.argwhere(state.item_clicks).tolist() == [[5]]
    assert state.item_clicks[5] == 2
    genres = state.world.item_genres[5]
    np.testing.assert_allclose(state.fatigue, [genres, 0 * genres, genres])
    np.testing.assert_allclose(state.tastes - tastes, 0.5 * np.array([genres, 0 * genres, genres]), atol=1e-12)


def test_a_copy_goes_its_own_way():
    state = State.at_start(World(WorldConfig(users=5), 1))
    other = state.copy()
    other.shown[0, 0] = 9
    other.next_round()
    assert state.shown[0, 0] == 0
    assert state.round_number == 0
    assert other.fresh().shown.sum() == 0


def test_a_slate_that_the_first_items_cannot_fill_is_refused():
    with pytest.raises(ConfigError, match=r"slate: 7 items are to be shown, but only 6 of 10 .*take more items"):
        parse_config("items: 10\nslate: 7\n", WorldConfig)
