"""Warm start of two towers: new items start from those that share their content."""

import numpy as np
import pytest

from tests.trainer.grown_world import (
    NEW_ITEMS,
    earlier_job,
    grown_data,
    ids_by_token,
    lines_of,
    rows_of,
    started,
    tables_of,
    vector,
)
from trainer.model import load_model
from trainer.warm_start.token_map import content_means

FEATURES = ("model.item_features=[genres]", "model.user_features=[country]")
ITEMS = ("_item_table", "item_id", False)
USERS = ("_user_table", "user_id", False)


@pytest.fixture(scope="module")
def grown(world):
    return grown_data(world)


def genres_of(data):
    """Item id → names of its genres, from the encoded catalogue."""
    names = {number: token for token, number in ids_by_token(data, "genres").items()}
    rows = zip(data.catalogue.ids, data.catalogue.features["genres"], strict=True)
    return {item: {names[number] for number in row if number in names} for item, row in rows}


def test_a_new_item_is_the_mean_over_its_genres_of_the_mean_known_item(world, grown):
    job = earlier_job(world, "two_tower", *FEATURES)
    old, old_data, _ = load_model(job)
    new, _, start = started(world, grown, job, "two_tower", *FEATURES)
    was, now = ids_by_token(old_data, "item_id"), ids_by_token(grown, "item_id")
    before, after, genres = tables_of(old)[ITEMS], tables_of(new)[ITEMS], genres_of(grown)
    of_genre = {}
    for item in now.keys() & was.keys() & genres.keys():
        for genre in genres[item]:
            of_genre.setdefault(genre, []).append(vector(before, was[item]))
    for item in ("brand_new", "brand_new_2"):
        assert genres[item.encode()] == {genre.encode() for genre in NEW_ITEMS[item].split("|")}
        expected = np.mean([np.mean(of_genre[genre], axis=0) for genre in genres[item.encode()]], axis=0)
        np.testing.assert_allclose(vector(after, now[item.encode()]), expected, rtol=1e-4, atol=1e-6)
    for item in now.keys() & was.keys():
        assert np.array_equal(vector(after, now[item]), vector(before, was[item]))
    counts = lines_of(start)[ITEMS[:2]].counts
    assert (counts.from_content, counts.from_unknown + counts.from_mean) == (2, 1)
    assert counts.copied == len(now.keys() & was.keys())


def test_an_item_like_no_other_and_a_new_user_start_as_unknown_ones(world, grown):
    """Users are dropped at random while training, so that the unknown user is trained; the unknown item never is."""
    job = earlier_job(world, "two_tower", *FEATURES)
    old, _, _ = load_model(job)
    new, _, start = started(world, grown, job, "two_tower", *FEATURES)
    items, users = ids_by_token(grown, "item_id"), ids_by_token(grown, "user_id")
    expected = rows_of(tables_of(old)[ITEMS])[2:].mean(axis=0)
    np.testing.assert_allclose(vector(tables_of(new)[ITEMS], items[b"unlike_any"]), expected, rtol=1e-4, atol=1e-6)
    assert lines_of(start)[ITEMS[:2]].counts.from_mean == 1
    assert np.array_equal(vector(tables_of(new)[USERS], users[b"new_user"]), vector(tables_of(old)[USERS], 1))
    assert lines_of(start)[USERS[:2]].counts.from_unknown == 1


def test_without_item_features_new_items_start_from_the_mean(world, grown):
    job = earlier_job(world, "two_tower")
    _, _, start = started(world, grown, job, "two_tower")
    counts = lines_of(start)[ITEMS[:2]].counts
    assert (counts.from_content, counts.from_mean) == (0, 3)


def test_the_history_weights_come_over_and_item_vectors_follow_from_the_rows(world, grown):
    job = earlier_job(world, "two_tower", *FEATURES)
    old, _, _ = load_model(job)
    new, _, start = started(world, grown, job, "two_tower", *FEATURES)
    assert np.array_equal(new._pooling.weights_by_recency, old._pooling.weights_by_recency)
    assert start.fresh == {}
    assert "_item_vectors" not in start.copied  # another catalogue: they are computed


def test_content_means_are_loops_over_ids_and_values():
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.arange(5, 45))
    columns = {"single": rng.integers(0, 6, 40), "bag": rng.integers(0, 9, [40, 3])}
    first_value = {"single": 1, "bag": 3}
    known = rng.random(40) < 0.6
    vectors = rng.normal(size=(known.sum(), 2)).astype(np.float32)
    of_known = dict(zip(np.flatnonzero(known), vectors, strict=True))
    values = [
        [("single", number) for number in [columns["single"][row]] if number >= 1]
        + [("bag", number) for number in columns["bag"][row] if number >= 3]
        for row in range(40)
    ]
    expected = {}
    for row in np.flatnonzero(~known):
        means = []
        for value in values[row]:
            sharing = [of_known[other] for other in of_known for each in values[other] if each == value]
            means += [np.mean(sharing, axis=0)] if sharing else []
        if means:
            expected[ids[row]] = np.mean(means, axis=0)
    found_ids, found = content_means(ids, columns, first_value, known, vectors)
    assert found_ids.tolist() == sorted(expected)
    np.testing.assert_allclose(found, [expected[number] for number in found_ids], rtol=1e-4, atol=1e-6)
