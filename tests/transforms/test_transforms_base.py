"""`--base`: a new day keeps every id, appends what is new, and goes on with each user's past."""

from __future__ import annotations

import numpy as np
import pytest

from tests.transforms.conftest import Workshop
from tfrec.config_file import parse_config
from tfrec.dataset.records import read_part
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import SPLITS
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig

DAYS_YAML = """\
name: days
events: {files: "events*"}
users: {files: users.csv}
items: {files: items.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric}
  activity: {role: user, kind: numeric, so_far: user_events, standardize: false}
  past: {role: user, kind: sequence, length: 4}
  past_devices: {role: user, kind: sequence, length: 4, of: device}
  past_times: {role: user, kind: sequence, length: 4, of: event_time_ms}
  past_gaps: {role: user, kind: sequence, length: 4, of: gap_seconds}
  item_id: {role: item, kind: categorical, id: true, min_count: 2}
  title: {role: item, kind: text}
  tags: {role: item, kind: categorical, separator: "|", max_values: 3}
  popularity: {role: item, kind: numeric, so_far: item_events, standardize: false}
  device: {role: context, kind: categorical}
  mood: {role: user, kind: categorical}
  shelf: {role: item, kind: categorical}
  price: {role: context, kind: numeric, buckets: 4}
timestamp: {column: time, unit: s}
filters: {duplicates: keep}
split: {strategy: temporal, validation: 0, test: 0.1}
"""
START, DAY = 1_600_000_000, 86_400
EVENTS, DAYS = 240, 2


def write_days(directory, days) -> None:
    """Events of some of two days; users and items that the days know. Day 1 brings new ones."""
    generator = np.random.default_rng(11)
    rows = []
    for n in range(EVENTS):
        day = n * DAYS // EVENTS
        gone = day == 0 and n % 40 == 0  # user and item of the first day alone
        user, item = int((14 + 6 * day) * generator.random()), int((10 + 5 * day) * generator.random() ** 2)
        device = ["tv", "pc", "phone"][int((2 + day) * generator.random())]
        price = round(float(10 * generator.random()), 2)
        time = START + n * DAYS * DAY // EVENTS
        if gone:
            user, item = 99, 77
        rows.append((day, f"u{user},i{item},{time},{device},{price},m{n % 5},s{n % 4}\n"))
    directory.mkdir(exist_ok=True)
    header = "user_id,item_id,time,device,price,mood,shelf\n"
    (directory / "events.csv").write_text(header + "".join(text for day, text in rows if day in days))
    known = range(20 if 1 in days else 14)
    (directory / "users.csv").write_text("user_id,age\n" + "".join(f"u{n},{20 + n}\n" for n in known))
    items = range(15 if 1 in days else 10)
    tags = ["drama", "crime", "music"]
    text = "".join(f"i{n},Title {n},{tags[n % 2 + (n >= 10)]}|{tags[0]}\n" for n in items)
    (directory / "items.csv").write_text("item_id,title,tags\n" + text)


def run(root, days, base=None, overrides=()) -> Workshop:
    shop = Workshop(root)
    write_days(shop.input, days)
    config = parse_config(DAYS_YAML, DatasetConfig, overrides, source="dataset.yaml")
    write_dataset(config, str(shop.input), str(shop.output), [], base=None if base is None else str(base.output))
    return shop


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The first day; the second on top of it; the second with the whole log given again; both days in one run."""
    root = tmp_path_factory.mktemp("days")
    first = run(root / "first", {0})
    second = run(root / "second", {1}, first, ["partition_bytes=700"])
    again = run(root / "again", {0, 1}, first)
    whole = run(root / "whole", {0, 1})
    return first, second, again, whole


def tokens(shop, feature) -> list[str]:
    return (shop.output / "vocabulary" / f"{feature}.txt").read_text().split("\n")[:-1]


def events_of(shop) -> dict:
    """(user, item, time) → record with ids as tokens; all splits together."""
    users = [user.decode() for user in read_part(shop.dataset, "users")["raw/user_id"]]
    items = [item.decode() for item in read_part(shop.dataset, "items")["raw/item_id"]]
    found = {}
    for split in SPLITS:
        part = read_part(shop.dataset, split)
        for row in range(len(part["user_index"])):
            record = {name: values[row] for name, values in part.items()}
            time = int(record["event_time_ms"]) // 1000
            found[users[record["user_index"]], items[record["item_index"]], time] = record
    return found


def words(shop, feature, ids) -> list[str]:
    vocabulary = tokens(shop, feature)
    return [vocabulary[i - 2] if i > 1 else {0: "", 1: "?"}[int(i)] for i in ids]


@pytest.mark.parametrize("feature", ["user_id", "item_id", "tags", "device"])
def test_known_tokens_keep_their_ids_and_new_ones_follow(days, feature):
    first, second, _, _ = days
    before, after = tokens(first, feature), tokens(second, feature)
    assert after[: len(before)] == before
    assert len(after) > len(before)
    assert len(set(after)) == len(after)


def test_counts_of_a_vocabulary_are_those_of_the_new_day(days):
    _, second, _, _ = days
    train = read_part(second.dataset, "train")
    for feature in ("device", "user_id"):
        counts = [int(line) for line in (second.output / "vocabulary" / f"{feature}.counts").read_text().split()]
        assert counts == np.bincount(train[feature], minlength=2 + len(counts))[2:].tolist()
    assert counts[tokens(second, "user_id").index("u99")] == 0  # gone, but its id stays


def test_numbers_are_encoded_as_before(days):
    first, second, _, _ = days
    old, new = (shop.dataset.statistics["features"] for shop in (first, second))
    for feature in ("age", "price"):
        assert new[feature]["encoding"] == old[feature]["encoding"]
        assert new[feature] != old[feature]  # the statistics are the new day's own: they are what drift is seen in


def test_the_new_day_s_events_go_on_from_the_past_as_in_one_run_over_both_days(days):
    first, second, _, whole = days
    found, expected = events_of(second), events_of(whole)
    new = {key for key in expected if key not in events_of(first)}
    assert set(found) == new
    rare = 0
    for key in new:
        mine, theirs = found[key], expected[key]
        for name in ("event_position", "activity", "popularity", "past_times", "past_gaps"):
            assert np.array_equal(mine[name], theirs[name]), (key, name)
        assert words(second, "device", mine["past_devices"]) == words(whole, "device", theirs["past_devices"])
        pairs = list(zip(words(second, "item_id", mine["past"]), words(whole, "item_id", theirs["past"]), strict=True))
        rare += sum(a != b for a, b in pairs)
        assert all(a == b or "?" in (a, b) for a, b in pairs)
    assert rare < 0.1 * len(new)  # what was out of vocabulary on one of the days


def test_events_that_the_base_has_are_left_out_and_counted(days):
    first, second, again, _ = days
    rows = again.dataset.manifest["rows"]["events"]
    assert rows["rows"] == EVENTS
    assert rows["reasons"] == {"not after the last event of the base dataset": EVENTS // 2}
    assert rows["accepted"] == EVENTS // 2
    mine, theirs = events_of(again), events_of(second)
    assert set(mine) == set(theirs)
    assert tokens(again, "item_id") == tokens(second, "item_id")
    for key in mine:
        assert np.array_equal(mine[key]["past"], theirs[key]["past"])
    assert again.dataset.manifest["base"]["fingerprint"] == first.dataset.fingerprint


def test_users_and_items_of_the_base_are_all_still_there(days):
    first, second, _, whole = days
    for part, key in (("users", "raw/user_id"), ("items", "raw/item_id")):
        old, new, both = (read_part(shop.dataset, part) for shop in (first, second, whole))
        assert set(old[key]) <= set(new[key])
        assert set(new[key]) == set(both[key])
    order = {user: row for row, user in enumerate(read_part(whole.dataset, "users")["raw/user_id"])}
    new, both = read_part(second.dataset, "users"), read_part(whole.dataset, "users")
    rows = [order[user] for user in new["raw/user_id"]]
    assert np.array_equal(new["past_times"], both["past_times"][rows])
    assert np.array_equal(new["activity"], both["activity"][rows])
    [idle] = np.flatnonzero(new["raw/user_id"] == b"u99")
    assert np.count_nonzero(new["past"][idle]) == 3


def test_what_stands_in_the_events_alone_is_as_of_the_last_run_that_had_it(days):
    first, second, _, _ = days
    for part, key, feature in (("users", "raw/user_id", "mood"), ("items", "raw/item_id", "shelf")):
        old, new = (read_part(shop.dataset, part) for shop in (first, second))
        before = dict(zip(old[key], words(first, feature, old[feature]), strict=True))
        after = dict(zip(new[key], words(second, feature, new[feature]), strict=True))
        idle = set(before) - {name.encode() for key in events_of(second) for name in key[:2]}
        assert idle
        assert {name: after[name] for name in idle} == {name: before[name] for name in idle}
        active = set(after) - idle
        assert all(after[name] for name in active)
        assert any(after[name] != before.get(name) for name in active)


def test_an_item_stands_where_its_id_says(days):
    _, second, _, _ = days
    items = [item.decode() for item in read_part(second.dataset, "items")["raw/item_id"]]
    assert items[: len(tokens(second, "item_id"))] == tokens(second, "item_id")
    assert sorted(items) == sorted(set(items))


def test_a_third_day_goes_on_from_the_second(days, tmp_path):
    first, second, _, _ = days
    third = Workshop(tmp_path / "third")
    write_days(third.input, {1})
    late = "".join(f"u{n},i{n % 3},{START + 3 * DAY + n},tv,1,m1,s1\n" for n in range(12))
    (third.input / "events.csv").write_text("user_id,item_id,time,device,price,mood,shelf\n" + late)
    config = parse_config(DAYS_YAML, DatasetConfig, [], source="dataset.yaml")
    write_dataset(config, str(third.input), str(third.output), [], base=str(second.output))
    assert tokens(third, "user_id")[: len(tokens(first, "user_id"))] == tokens(first, "user_id")
    old, new = (read_part(shop.dataset, "users") for shop in (second, third))
    place = {user: row for row, user in enumerate(old["raw/user_id"])}
    for user, activity in zip(new["raw/user_id"], new["activity"], strict=True):
        before = old["activity"][place[user]] if user in place else 0
        assert activity == before + (int(user[1:]) < 12)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("features.past.length=9", "feature 'past' is not the same there; ids would change their meaning"),
        ("label={column: price}", "'label' is None there and"),
        ("sessions={gap_minutes: 3}", "'sessions' is None there and {'gap_minutes': 3.0} here; make them the same"),
    ],
)
def test_a_base_of_another_meaning_is_refused(days, tmp_path, override, message):
    with pytest.raises(ConfigError) as caught:
        run(tmp_path / "other", {1}, days[0], [override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_split_may_differ_from_the_base_s(days, tmp_path):
    other = run(tmp_path / "other", {1}, days[0], ["split={strategy: per_user, test: 0.5}"])
    assert other.dataset.rows("test") > days[1].dataset.rows("test")


def test_a_base_that_is_no_dataset_is_refused(tmp_path):
    with pytest.raises(ArtifactError, match="not a dataset"):
        run(tmp_path / "other", {1}, Workshop(tmp_path / "none"))


def test_the_base_is_not_replaced_by_the_new_events_alone(days):
    first, _, _, _ = days
    config = parse_config(DAYS_YAML, DatasetConfig, [], source="dataset.yaml")
    with pytest.raises(ArtifactError, match="is the --base, and would hold the new events alone; name another"):
        write_dataset(config, str(first.input), f"{first.output}/", [], base=str(first.output))
    assert first.dataset.rows("train")
