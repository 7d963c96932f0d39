"""Slices against the raw tables of the planted world."""

from types import SimpleNamespace

import numpy as np
import pytest

from tests.trainer.planted_world import read_csv
from tfrec.schema import NumericFeature
from trainer.report.slices import _numeric, slice_groups
from trainer.report.titles import item_titles, user_ids


@pytest.fixture(scope="module")
def groups(world):
    return {group.title: group for group in slice_groups(world.data())}


def members(group, label, names):
    found = next(one for one in group.slices if one.label == label)
    return {name for name, is_member in zip(names, found.members, strict=True) if is_member}


def raw(world, table, key):
    return {row[key]: row for row in read_csv(world.logs / table)}


def training_counts(world, key):
    """Events of training by id, counted from the log: leave-one-out keeps all but the last two of a user."""
    events = read_csv(world.logs / "events.csv")
    by_user, counts = {}, {}
    for row in events:
        by_user.setdefault(row["user_id"], []).append(row)
    for rows in by_user.values():
        rows.sort(key=lambda row: int(row["timestamp"]))
        for row in rows if len(rows) < 3 else rows[:-2]:
            counts[row[key]] = counts.get(row[key], 0) + 1
    return counts


def test_categorical_slices_hold_who_has_the_value(world, groups):
    group, names, users = groups["user: country"], user_ids(world.data()), raw(world, "users.csv", "user_id")
    shown = [one.label for one in group.slices if one.label not in ("any other", "missing")]
    assert shown
    for country in shown:
        assert members(group, country, names) == {u for u, row in users.items() if row["country"] == country}
    assert members(group, "missing", names) == {u for u, row in users.items() if not row["country"]}


def test_slices_of_a_multi_valued_feature_overlap(world, groups):
    group, items = groups["item: genres"], raw(world, "items.csv", "item_id")
    ids = [item.decode() for item in world.data().catalogue.ids]
    for genre in [one.label for one in group.slices if one.label not in ("any other", "missing")]:
        assert members(group, genre, ids) == {i for i, row in items.items() if genre in row["genres"].split("|")}
    assert sum(int(one.members.sum()) for one in group.slices) > len(ids)


def test_bucketed_numbers_are_cut_at_their_boundaries(world, groups):
    group, names, users = groups["user: age"], user_ids(world.data()), raw(world, "users.csv", "user_id")
    for one in group.slices:
        found = members(group, one.label, names)
        if one.label == "missing":
            assert found == {u for u, row in users.items() if not row["age"]}
            continue
        words = one.label.split()
        low = float(words[0]) if " to below " in one.label else float(words[1]) if words[0] == "from" else -np.inf
        high = float(words[-1]) if "below" in one.label else np.inf
        assert found == {u for u, row in users.items() if row["age"] and low <= float(row["age"]) < high}


def test_a_bucketed_number_without_boundaries_is_one_slice():
    feature = NumericFeature(role="user", buckets=4)
    dataset = SimpleNamespace(statistics={"features": {"age": {"encoding": {"boundaries": []}}}})
    everyone, missing = _numeric(SimpleNamespace(dataset=dataset), "age", feature, np.array([1, 1, 0, 1]))
    assert (everyone.label, everyone.members.tolist()) == ("any", [True, True, False, True])
    assert (missing.label, missing.members.tolist()) == ("missing", [False, False, True, False])


def test_numbers_without_buckets_are_cut_at_quarters_of_their_raw_values(world, groups):
    group, names, users = groups["user: age_in_years"], user_ids(world.data()), raw(world, "users.csv", "user_id")
    known = {u: float(row["age"]) for u, row in users.items() if row["age"]}
    assert np.all(np.sum([one.members for one in group.slices], axis=0) == 1)
    youngest = {u for u in members(group, group.slices[0].label, names) if u in known}
    oldest = {u for u in members(group, group.slices[-1].label, names) if u in known}
    assert max(known[u] for u in youngest) < min(known[u] for u in oldest)
    assert float(group.slices[-1].label.removeprefix("from ")) == pytest.approx(min(known[u] for u in oldest), rel=1e-3)


def test_hashed_features_and_ids_have_no_slices(groups):
    assert not {"user: country_hash", "user: user_id", "item: item_id", "item: title"} & set(groups)


def test_activity_slices_hold_each_user_once_by_training_events(world, groups):
    group, names, counts = (
        groups["User activity: training events"],
        user_ids(world.data()),
        training_counts(world, "user_id"),
    )
    assert np.all(np.sum([one.members for one in group.slices], axis=0) == 1)
    assert members(group, "cold start (none)", names) == {u for u in names if not counts.get(u)}
    for one in group.slices[1:]:
        low, _, high = one.label.partition("–")
        inside = {u for u in names if int(low) <= counts.get(u, 0) <= int(high or low)}
        assert members(group, one.label, names) == inside


def test_head_items_have_half_of_the_training_events(world, groups):
    group, counts = groups["Item popularity: training events"], training_counts(world, "item_id")
    ids = [item.decode() for item in world.data().catalogue.ids]
    head, tail = (members(group, one, ids) for one in ("head (50 %)", "tail (last 20 %)"))
    assert min(counts[i] for i in head) >= max(counts[i] for i in tail)
    total, largest = sum(counts.values()), max(counts.values())
    assert total / 2 <= sum(counts[i] for i in head) <= total / 2 + largest
    assert members(group, "cold start (none)", ids) == {i for i in ids if not counts.get(i)}


def test_titles_are_those_of_the_table(world):
    items = raw(world, "items.csv", "item_id")
    ids = [item.decode() for item in world.data().catalogue.ids]
    assert item_titles(world.data()) == [items[i]["title"] or i for i in ids]
