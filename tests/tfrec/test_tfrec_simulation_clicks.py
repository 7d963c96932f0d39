"""The click model against a plain loop, and what its terms do."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.simulation.clicks import (
    attraction,
    click_probability,
    expected_rating,
    expected_reward,
    logits,
    respond,
)
from tfrec.simulation.policies import Uniform
from tfrec.simulation.state import Requests, State
from tfrec.simulation.world import World, WorldConfig

SMALL = WorldConfig(users=12, items=20, slate=4, genres=5)


def lived_in(config=SMALL, seed=4, moments=8):
    """A state with a past."""
    state = State.at_start(World(config, seed))
    for _ in range(moments):
        requests = state.requests()
        slates = Uniform().choose(np.zeros((len(requests), config.items)), state.candidates(requests.slots),
                                  config.slate, requests, seed)  # fmt: skip
        state.after(requests, slates.items, respond(state, requests, slates.items).clicks)
    return state


def slates_of(state, rows, seed=0):
    rng, config = np.random.default_rng(seed), state.world.config
    return np.array([rng.permutation(config.items)[: config.slate] for _ in range(rows)])


def plain_probability(state, slot, context, item, position):
    """One impression, written out as the module's formula stands."""
    world, c = state.world, state.world.config
    logit = c.base_logit + c.quality_strength * world.quality[item]
    for genre in range(c.genres):
        taste = state.tastes[slot, genre] + c.context_strength * world.context_tastes[context, genre]
        share = world.item_genres[item, genre]
        logit += c.taste_strength * taste * share - c.fatigue_strength * state.fatigue[slot, genre] * share
    most = max(math.log1p(n) for n in state.item_clicks)
    logit += c.popularity_strength * math.log1p(state.item_clicks[item]) / max(most, 1.0)
    seeking = float(world.novelty_seeking(state.user_ids[slot : slot + 1])[0])
    logit += c.novelty_strength * seeking / (1 + state.shown[slot, item])
    wanted = 1 / (1 + math.exp(-logit))
    click = wanted * (1 - c.missed_clicks) + (1 - wanted) * c.false_clicks
    return click / (position + 1) ** c.examination_power


def test_click_probabilities_equal_a_plain_loop_over_impressions():
    state = lived_in()
    assert state.item_clicks.any()
    assert state.fatigue.any()
    requests, _ = state.everybody()
    items = slates_of(state, len(requests))
    found = click_probability(state, requests, items)
    for row in range(len(requests)):
        for position in range(items.shape[1]):
            wanted = plain_probability(
                state, requests.slots[row], requests.contexts[row], items[row, position], position
            )
            assert found[row, position] == pytest.approx(wanted, rel=1e-12)
    np.testing.assert_allclose(expected_reward(state, requests, items), found.sum(axis=1))


def test_logits_of_some_items_are_those_of_the_whole_catalogue():
    state = lived_in()
    requests, _ = state.everybody()
    items = slates_of(state, len(requests))
    whole = np.take_along_axis(logits(state, requests), items, axis=1)
    np.testing.assert_allclose(logits(state, requests, items), whole, rtol=1e-12)


def test_mean_clicks_and_ratings_over_many_draws_are_the_expected_ones():
    state = lived_in(WorldConfig(users=4, items=20, slate=4, genres=5, base_logit=-0.5))
    slots, contexts = np.arange(4), np.zeros(4, int)
    items = slates_of(state, 4)
    runs = 4000
    clicks, stars = np.zeros((4, 4)), np.zeros((4, 4))
    for moment in range(runs):
        done = respond(state, Requests(1000 + moment, slots, state.user_ids[slots], contexts), items)
        clicks += done.clicks
        stars += done.ratings
        assert ((done.ratings > 0) == done.clicks).all()
        assert done.ratings.max() <= 5
    requests = Requests(0, slots, state.user_ids[slots], contexts)
    p = click_probability(state, requests, items)
    z = (clicks / runs - p) / np.sqrt(p * (1 - p) / runs)
    assert np.abs(z).max() < 4.2  # 16 cells
    known = clicks > 100
    error = (stars / np.maximum(clicks, 1) - expected_rating(state, requests, items))[known]
    assert np.abs(error / (2 / np.sqrt(clicks[known]))).max() < 4.2  # stars deviate by 2 at most


def click_of(state, item=0, context=0, position=0):
    requests = Requests(0, np.array([0]), state.user_ids[:1], np.array([context]))
    return float(attraction(state, requests, np.array([[item]]))[0, 0]) * state.world.examination[position]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), clicks=st.integers(0, 5), item=st.integers(0, 19))
def test_the_more_a_user_clicked_of_a_genre_the_less_it_clicks_more_of_it(seed, clicks, item):
    state = State.at_start(World(SMALL, seed))
    state.fatigue[0] = clicks * state.world.item_genres[item]
    before = click_of(state, item)
    state.fatigue[0] += state.world.item_genres[item]
    assert click_of(state, item) < before


def test_fatigue_wears_off_by_its_memory_from_one_moment_to_the_next():
    state = lived_in()
    before = state.fatigue.copy()
    nobody = Requests(state.moment, *(np.zeros(0, int),) * 3)
    state.after(nobody, np.zeros((0, 4), int), np.zeros((0, 4), bool))
    np.testing.assert_allclose(state.fatigue, SMALL.fatigue_memory * before)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), shown=st.integers(0, 20))
def test_what_was_shown_before_appeals_less_and_the_less_the_more_the_user_seeks_novelty(seed, shown):
    state = State.at_start(World(SMALL, seed))
    state.shown[:, 0] = shown
    requests = Requests(0, np.arange(12), state.user_ids, np.zeros(12, int))
    before = logits(state, requests)[:, 0]
    state.shown[:, 0] += 1
    loss = before - logits(state, requests)[:, 0]
    assert (loss > 0).all()
    by_seeking = np.argsort(state.world.novelty_seeking(state.user_ids))
    assert (np.diff(loss[by_seeking]) > 0).all()


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), clicks=st.integers(0, 100))
def test_what_others_clicked_attracts(seed, clicks):
    state = State.at_start(World(SMALL, seed))
    state.item_clicks[:2] = [clicks, 1000]
    before = click_of(state)
    state.item_clicks[0] += 1
    assert click_of(state) > before


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), item=st.integers(0, 19), position=st.integers(0, 2))
def test_a_later_position_is_clicked_less(seed, item, position):
    state = State.at_start(World(SMALL, seed))
    assert click_of(state, item, position=position + 1) < click_of(state, item, position=position)


def test_contexts_shift_tastes_only_where_they_have_strength():
    for strength, differ in ((0.5, True), (0.0, False)):
        state = State.at_start(World(SMALL.model_copy(update={"context_strength": strength}), 1))
        assert (click_of(state, context=0) != click_of(state, context=1)) == differ


def test_strengths_of_zero_leave_only_the_base():
    off = {f"{name}_strength": 0.0 for name in ("taste", "quality", "context", "popularity", "fatigue", "novelty")}
    state = lived_in(SMALL.model_copy(update=off))
    requests, _ = state.everybody()
    np.testing.assert_allclose(logits(state, requests), SMALL.base_logit)
