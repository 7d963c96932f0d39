"""Fusion, diversity and exploration against plain loops."""

import random
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.export.plain_orders import mmr_plainly
from tfrec.config_file import parse_config
from tfrec.errors import ConfigError
from tfrec.export.cascade import CascadeConfig
from tfrec.export.diversity import LAST, mmr_order, quota_order
from tfrec.export.exploration import epsilon_propensities, explored_order
from tfrec.export.filters import NEVER
from tfrec.export.fusion import Found, fuse, ranks_in

ITEMS = 12


def some_lists(rng, sources, width):
    """Of each source items and falling scores, the list over after some of them."""
    found = []
    for _ in range(sources):
        length = rng.randint(0, width)
        scores = sorted((rng.choice([0.0, 0.5, 1.0, rng.gauss(0, 1)]) for _ in range(length)), reverse=True)
        padding = [(rng.choice([0, rng.randrange(ITEMS)]), NEVER) for _ in range(width - length)]
        found.append([*zip(rng.sample(range(ITEMS), length), scores, strict=True), *padding])
    return found


def as_found(rows):
    """Lists of a batch → tensors."""
    scores = tf.constant([[score for _, score in row] for row in rows], tf.float32)
    return Found(scores, tf.constant([[item for item, _ in row] for row in rows], tf.int32))


def fused_plainly(lists, weights, kind):
    total = {}
    for one, weight in zip(lists, weights, strict=True):
        there = [(item, score) for item, score in one if score > NEVER]
        for place, (item, score) in enumerate(there):
            low, high = there[-1][1], there[0][1]
            by_score = (score - low) / (high - low) if high > low else 1.0
            share = 1 / (61 + place) if kind == "reciprocal_rank" else by_score
            total[item] = total.get(item, 0.0) + weight * share
    return total


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32), sources=st.integers(2, 3), kind=st.sampled_from(["reciprocal_rank", "score"]))
def test_lists_are_fused_as_sums_over_the_sources_that_found_an_item(seed, sources, kind):
    rng = random.Random(seed)
    width, weights = rng.randint(1, ITEMS), [rng.choice([0.5, 1.0, 3.0]) for _ in range(sources)]
    batch = [some_lists(rng, sources, width) for _ in range(2)]
    found = fuse([as_found([row[one] for row in batch]) for one in range(sources)], weights, kind, ITEMS)
    for row, scores, items in zip(batch, found.scores.numpy(), found.items.numpy(), strict=True):
        expected = fused_plainly(row, weights, kind)
        best = sorted(expected.values(), reverse=True)[:width]
        assert [score for score in scores if score > NEVER] == pytest.approx(best, rel=1e-5, abs=1e-6)
        there = items[scores > NEVER].tolist()
        assert len(there) == len(set(there))
        assert [expected[item] for item in there] == pytest.approx(best, rel=1e-5, abs=1e-6)


def test_a_single_list_stays_as_it_is():
    one = as_found([[(3, 2.5), (0, -1.0), (7, NEVER)]])
    assert fuse([one], [1.0], "reciprocal_rank", ITEMS) is one


def test_ranks_count_from_one_and_are_zero_for_what_was_not_found():
    one = as_found([[(3, 2.5), (0, -1.0), (7, NEVER)]])
    ranks, scores = ranks_in(one, tf.constant([[7, 0, 5, 3]]), ITEMS)
    assert ranks.numpy().tolist() == [[0, 2, 0, 1]]
    assert scores.numpy().tolist() == [[NEVER, -1.0, NEVER, 2.5]]


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32), weight=st.sampled_from([0.0, 0.25, 0.7, 1.0]), count=st.integers(1, 8))
def test_each_place_goes_to_the_best_balance_of_relevance_and_unlikeness(seed, weight, count):
    rng = np.random.default_rng(seed)
    relevance = np.sort(rng.uniform(size=(2, count)).astype(np.float32))[:, ::-1].copy()
    vectors = rng.normal(size=(2, count, 3)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=2, keepdims=True)
    steps = int(rng.integers(1, count + 1))
    likeness = np.einsum("bik,bjk->bij", vectors, vectors)
    found = mmr_order(tf.constant(relevance), tf.constant(likeness), weight, tf.constant(steps)).numpy()
    for row in range(2):
        assert found[row].tolist() == mmr_plainly(relevance[row], vectors[row], weight, steps)


def test_padding_stands_behind_every_item_of_the_list():
    relevance = tf.constant([[1.0, 0.0, LAST, LAST]])
    found = mmr_order(relevance, tf.ones([1, 4, 4]), 1.0, tf.constant(4)).numpy()
    assert found[0, :2].tolist() == [0, 1]
    assert sorted(found[0].tolist()) == [0, 1, 2, 3]


def quota_plainly(groups, at_most):
    first, later, counts = [], [], {}
    for place, group in enumerate(groups):
        counts[group] = counts.get(group, 0) + 1
        (later if group >= 0 and counts[group] > at_most else first).append(place)
    return first + later


@settings(max_examples=30, deadline=None)
@given(groups=st.lists(st.integers(-1, 3), min_size=1, max_size=10), at_most=st.integers(1, 3))
def test_no_value_has_more_items_than_its_quota_before_the_others_had_their_turn(groups, at_most):
    assert quota_order(tf.constant([groups]), at_most).numpy()[0].tolist() == quota_plainly(groups, at_most)


def explored_plainly(wish, is_explored):
    """One place after the other; of each also whether it got the best ranked item left."""
    left, found = [place for place, value in enumerate(wish) if value < np.inf], []
    for flag in is_explored:
        pick = min(left, key=lambda item: wish[item]) if flag else left[0]
        found.append((pick, pick == left[0]))
        left.remove(pick)
    return found


@settings(max_examples=40, deadline=None)
@given(data=st.data(), count=st.integers(1, 9), padding=st.integers(0, 3))
def test_explored_places_go_to_the_preferred_items_left_and_others_to_the_best_ranked(data, count, padding):
    wish = [*map(float, data.draw(st.permutations(range(count)))), *[np.inf] * padding]
    flags = data.draw(st.lists(st.booleans(), min_size=1, max_size=count))
    # Behind the last item stand places that never explore.
    found = explored_order(tf.constant([wish]), tf.constant([flags + [False] * padding]))
    expected = explored_plainly(wish, flags)
    assert found.order.numpy()[0, : len(flags)].tolist() == [pick for pick, _ in expected]
    assert found.is_best.numpy()[0, : len(flags)].tolist() == [is_best for _, is_best in expected]


def chances_by_enumeration(count, places, share):
    """Each list of ranked items 0 … count − 1 with its probability, by all that can happen at each place."""
    lists = {(): 1.0}
    for _ in range(places):
        longer = {}
        for above, chance in lists.items():
            left = [item for item in range(count) if item not in above]
            for item in left:
                of_place = share / len(left) + (1 - share if item == left[0] else 0)
                longer[(*above, item)] = chance * of_place
        lists = longer
    return lists


def test_lists_of_epsilon_come_as_often_as_their_propensities_say():
    count, places, share, draws = 4, 3, 0.4, 20_000
    generator = np.random.default_rng(1)
    wish = generator.random((draws, count + 1), np.float32)
    wish[:, count] = np.inf  # padding
    explored = explored_order(tf.constant(wish), tf.constant(generator.random((draws, places)) < share))
    propensities = epsilon_propensities(explored.is_best, tf.fill([draws], count), share).numpy()
    chances = chances_by_enumeration(count, places, share)
    assert sum(chances.values()) == pytest.approx(1)
    seen = Counter(map(tuple, explored.order.numpy().tolist()))
    assert set(seen) == set(chances)
    for ids, chance in chances.items():
        assert abs(seen[ids] / draws - chance) < 5 * np.sqrt(chance * (1 - chance) / draws)
    lists = map(tuple, explored.order.numpy().tolist())
    said = {ids: float(row.prod()) for ids, row in zip(lists, propensities, strict=True)}
    assert said == pytest.approx(chances)


def test_a_place_without_an_item_has_no_propensity_and_the_last_item_is_certain():
    found = epsilon_propensities(tf.constant([[True, True, True]]), tf.constant([2]), 0.3).numpy()
    assert found[0] == pytest.approx([0.7 + 0.3 / 2, 1, 0])


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("candidate=5", "unknown key 'candidate'; did you mean 'candidates'"),
        ("diversity.kind=quota", "quota needs it"),
        ("exploration.share=0", "exploration.share"),
        ("fusion=sum", "fusion"),
    ],
)
def test_a_setting_that_is_not_allowed_is_named(setting, message):
    with pytest.raises(ConfigError, match=message):
        parse_config("", CascadeConfig, [setting])


def test_weights_are_one_for_each_source():
    assert CascadeConfig().weights_of(3) == (1.0, 1.0, 1.0)
    with pytest.raises(ConfigError, match=r"got \[1.0, 2.0\] for 3 sources"):
        CascadeConfig(weights=(1.0, 2.0)).weights_of(3)
