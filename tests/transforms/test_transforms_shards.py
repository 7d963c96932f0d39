"""Records in files: each once, truly shuffled, the same bytes however the work is divided; none looks ahead."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.transforms.conftest import SPLITS as STRATEGIES
from tests.transforms.conftest import Workshop
from tests.transforms.shop_log import SHOP_YAML, read_rows, write_shop
from tfrec.dataset.records import read_part
from tfrec.schema import SPLITS
from transforms import encode
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config
from transforms.generate import GENRES, World, generate_log
from transforms.read.blocks import ReadBlocks
from transforms.whole_run import RunRequest

PARTS = (*SPLITS, "users", "items")


def written(directory: Path) -> dict[str, bytes]:
    """Records, vocabularies, statistics and manifest."""
    names = [*PARTS, "vocabulary"]
    files = [path for name in names for path in (directory / name).iterdir()]
    files += [directory / "statistics.json", directory / "manifest.json", directory / "schema.json"]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


def assert_same_bytes(one: Path, other: Path) -> None:
    expected, found = written(one), written(other)
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []


def test_the_same_log_gives_the_same_bytes_whatever_the_blocks_and_the_workers(shops, tmp_path, monkeypatch):
    again = Workshop(tmp_path / "again")
    write_shop(again.input)
    monkeypatch.setitem(ReadBlocks.__init__.__kwdefaults__, "block_bytes", 190)
    arguments = ["--direct_num_workers=2", "--direct_running_mode=multi_threading"]
    again.run(SHOP_YAML, [STRATEGIES["temporal"]], arguments)
    assert_same_bytes(shops("temporal").output, again.output)


def test_the_same_log_gives_the_same_bytes_in_any_number_of_partitions(shops, tmp_path):
    many = Workshop(tmp_path / "many")
    write_shop(many.input)
    many.run(SHOP_YAML, [STRATEGIES["temporal"], "partition_bytes=500"])
    assert_same_bytes(shops("temporal").output, many.output)


def test_tables_exchanged_through_the_runner_give_the_same_bytes_as_through_files(shops, tmp_path, monkeypatch):
    through_runner = Workshop(tmp_path / "runner")
    write_shop(through_runner.input)
    monkeypatch.setattr(RunRequest, "is_local", lambda self, output: False)
    through_runner.run(SHOP_YAML, [STRATEGIES["temporal"], "partition_bytes=500"])
    assert_same_bytes(shops("temporal").output, through_runner.output)


def test_long_partitions_are_encoded_in_stretches_of_any_size(shops, tmp_path, monkeypatch):
    stretched = Workshop(tmp_path / "stretched")
    write_shop(stretched.input)
    monkeypatch.setattr(encode, "STRETCH_VALUES", 70)  # three or four rows
    stretched.run(SHOP_YAML, [STRATEGIES["temporal"]])
    assert_same_bytes(shops("temporal").output, stretched.output)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """A generated log of some 3000 events: its directory, and datasets of one file and of many."""
    root = tmp_path_factory.mktemp("generated")
    generate_log(root / "in", 2, World(users=150, items=90, mean_events=20))
    whole = Workshop(root / "whole")
    config = load_dataset_config("generated", ("split.strategy=random", "split.validation=0.05", "split.test=0.05"))
    write_dataset(config, str(root / "in"), str(whole.output), [])
    many = Workshop(root / "many")
    small = ("shard_bytes=50000", "compression=none", "split={strategy: random, validation: 0.05, test: 0.05}")
    write_dataset(load_dataset_config("generated", small), str(root / "in"), str(many.output), [])
    return root / "in", whole.dataset, many.dataset


def test_with_small_shards_every_row_is_there_exactly_once(generated):
    log, whole, many = generated
    events = read_rows(log / "events.csv")
    assert len(many.files("train")) > 5
    assert len(whole.files("train")) == 1
    for dataset in (whole, many):
        users = [name.decode() for name in read_part(dataset, "users")["raw/user_id"]]
        found = Counter()
        for split in SPLITS:
            records = read_part(dataset, split)
            found.update(zip(records["user_index"].tolist(), records["event_position"].tolist(), strict=True))
        count = Counter(event["user_id"] for event in events)
        assert found == Counter((users.index(user), at) for user, n in count.items() for at in range(n))
    for part in PARTS:
        one, other = read_part(whole, part), read_part(many, part)
        assert set(one) == set(other)
        keys = ["event_position", "user_index"] if part in SPLITS else [f"raw/{part[:-1]}_id"]
        sort_one, sort_other = (np.lexsort([arrays[key] for key in keys]) for arrays in (one, other))
        for name in one:
            assert np.array_equal(one[name][sort_one], other[name][sort_other]), name


def test_files_are_named_by_their_number_and_hold_about_the_same(generated):
    _, _, many = generated
    entries = many.manifest["files"]["train"]
    names = [f"part-{number:05d}-of-{len(entries):05d}.tfrecord" for number in range(len(entries))]
    assert [entry["name"] for entry in entries] == names
    mean = sum(entry["records"] for entry in entries) / len(entries)
    assert all(0.6 * mean < entry["records"] < 1.4 * mean for entry in entries)
    # Uncompressed: the bytes are near what was aimed at.
    assert all(20_000 < entry["bytes"] < 100_000 for entry in entries)


def test_users_and_items_stand_in_the_order_of_their_index_also_over_several_files(generated):
    _, _, many = generated
    assert len(many.files("users")) > 0
    assert read_part(many, "users")["user_index"].tolist() == list(range(150))


def rank_correlation(one, other) -> float:
    ranks = [np.argsort(np.argsort(values, kind="stable"), kind="stable") for values in (one, other)]
    return float(np.corrcoef(*ranks)[0, 1])


def test_records_within_a_file_are_truly_shuffled(generated):
    _, whole, _ = generated
    train = read_part(whole, "train")
    rows = len(train["label"])
    assert rows > 2000
    # Of independent orders the rank correlation has a standard deviation of 1/√rows = 0.02.
    for name in ("event_time_ms", "user_index", "event_position", "item_index"):
        assert abs(rank_correlation(np.arange(rows), train[name])) < 0.1, name
    share = np.bincount(train["user_index"]) / rows
    neighbours = np.mean(train["user_index"][1:] == train["user_index"][:-1])
    assert neighbours < 3 * np.sum(share**2)


def test_the_planted_truth_of_the_generated_log_holds(generated):
    log, _, _ = generated
    genres = {row["item_id"]: set(row["genres"].split("|")) for row in read_rows(log / "items.csv")}
    favourite = {row["user_id"]: row["favourite_genre"] for row in read_rows(log / "truth.csv")}
    last: dict[str, list[set[str]]] = {}
    ratings: dict[bool, list[int]] = {True: [], False: []}
    with (log / "events.csv").open() as file:
        times = []
        for event in csv.DictReader(file):
            last.setdefault(event["user_id"], []).append(genres[event["item_id"]])
            times.append(int(event["timestamp"]))
    assert times == sorted(times)
    hits = [favourite[user] in liked for user, seen in last.items() for liked in seen[-3:]]
    chance = np.mean([[genre in of_item for genre in GENRES] for of_item in genres.values()])
    assert np.mean(hits) > 0.6 > 3 * chance
    for event in read_rows(log / "events.csv"):
        ratings[favourite[event["user_id"]] in genres[event["item_id"]]].append(int(event["rating"]))
    assert np.mean(ratings[True]) > np.mean(ratings[False]) + 0.3


HISTORY_YAML = """\
name: past
events: {files: events.csv}
features:
  user: {role: user, kind: categorical, id: true}
  past: {role: user, kind: sequence, length: 4}
  item: {role: item, kind: categorical, id: true}
timestamp: {column: when, unit: s}
split: {strategy: random, validation: 0, test: 0}
"""


def named_records(shop: Workshop) -> dict[tuple[str, int], tuple[str, list[str], int]]:
    """(user, position) → (item, history, time), all ids as their tokens."""
    users = read_part(shop.dataset, "users")["raw/user"]
    items = read_part(shop.dataset, "items")["raw/item"]
    tokens = ["", "?", *(shop.output / "vocabulary" / "item.txt").read_text().split("\n")[:-1]]
    train = read_part(shop.dataset, "train")
    result = {}
    for row in range(len(train["label"])):
        key = users[train["user_index"][row]].decode(), int(train["event_position"][row])
        past = [tokens[i] for i in train["past"][row] if i]
        result[key] = items[train["item_index"][row]].decode(), past, int(train["event_time_ms"][row])
    return result


def test_changing_later_events_changes_no_earlier_record(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"u{rng.integers(8)}", f"i{rng.integers(20)}", int(rng.integers(100))) for _ in range(150)]
    cut = 60
    changed = [(u, i, t) if t <= cut else (u, f"other{at}", 1000 - t) for at, (u, i, t) in enumerate(rows)]
    found = []
    for name, events in (("before", rows), ("after", changed)):
        shop = Workshop(tmp_path / name)
        text = "user,item,when\n" + "".join(f"{user},{item},{time}\n" for user, item, time in events)
        shop.log(events=text).run(HISTORY_YAML)
        found.append(named_records(shop))
    before, after = ({key: value for key, value in part.items() if value[2] <= cut * 1000} for part in found)
    assert len(before) == sum(time <= cut for _, _, time in rows) > 50
    assert before == after
    for (user, position), (item, past, time) in found[0].items():
        mine = sorted((t, at, i) for at, (u, i, t) in enumerate(rows) if u == user)
        assert (time, item) == (mine[position][0] * 1000, mine[position][2])
        assert past == [i for _, _, i in mine[max(0, position - 4) : position]]


def test_without_side_tables_users_and_items_come_from_the_events_and_splits_may_be_empty(tmp_path):
    shop = Workshop(tmp_path / "shop").log(events="user,item,when\nb,y,1\na,x,2\na,y,3\n")
    shop.run(HISTORY_YAML)
    assert read_part(shop.dataset, "users")["raw/user"].tolist() == [b"a", b"b"]
    assert read_part(shop.dataset, "users")["past"].tolist() == [[3, 2, 0, 0], [2, 0, 0, 0]]
    assert read_part(shop.dataset, "items")["raw/item"].tolist() == [b"y", b"x"]
    for split in ("validation", "test"):
        assert {name: len(values) for name, values in read_part(shop.dataset, split).items()} == dict.fromkeys(
            read_part(shop.dataset, "train"), 0
        )
