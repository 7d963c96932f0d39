"""Vectors, weights and targets of a log in the records, and the same rows through the graph, by plain loops."""

import math

import numpy as np
import pytest
import tensorflow as tf

from tests.transforms.catalogue_log import (
    NUMBERS_YAML,
    plain_target,
    plain_vector,
    plain_weights,
    positions,
    write_catalogue_log,
)
from tests.transforms.conftest import Workshop
from tfrec.config_file import parse_config
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from tfrec.feature_transform import FeatureTransform
from tfrec.schema import SPLITS
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    workshop = Workshop(tmp_path_factory.mktemp("numbers") / "shop")
    log = write_catalogue_log(workshop.input)
    workshop.run(NUMBERS_YAML)
    return workshop.dataset, log


@pytest.fixture(scope="module")
def rows(shop):
    """Split → (records, the event of each)."""
    dataset, (_, _, events) = shop
    users = [user.decode() for user in read_part(dataset, "users")["raw/user"]]
    by_place, found = positions(events), {}
    for split in SPLITS:
        records = read_part(dataset, split)
        places = zip(records["user_index"], records["event_position"], strict=True)
        found[split] = records, [by_place[users[user], int(place)] for user, place in places]
    assert sum(len(events) for _, events in found.values()) == 150
    return found


def expected_numbers(event, users, items):
    user, item = users.get(event["user"], {}), items.get(event["item"], {})
    return {
        "taste": plain_vector(user.get("taste", ""), 3),
        "mood": plain_vector(event["mood"], 2),
        "picture": plain_vector(item.get("picture", ""), 4),
        "tag_weights": plain_weights(
            item.get("tags", "").split("|"), [float(w) for w in item.get("tag_weights", "").split("|") if w], 3
        ),
        "word_weights": plain_weights(event["words"], event["word_weights"], 4),
    }


def test_every_record_has_the_vectors_and_weights_of_its_rows(shop, rows):
    _, (users, items, _) = shop
    for records, events in rows.values():
        for row, event in enumerate(events):
            for name, numbers in expected_numbers(event, users, items).items():
                assert records[name].dtype == np.float32
                assert records[name][row].tolist() == np.float32(numbers).tolist(), name


def test_weights_are_0_exactly_where_there_is_no_value(rows):
    for records, events in rows.values():
        assert not records["tag_weights"][records["tags"] == 0].any()
        assert not records["word_weights"][records["words"] == 0].any()
        counts = [sum(word != "" for word in event["words"]) for event in events]
        assert (records["words"] > 0).sum(axis=1).tolist() == [min(count, 4) for count in counts]


def test_every_record_has_the_targets_of_its_event(rows):
    for records, events in rows.values():
        for name in ("like", "seconds", "long"):
            expected = [plain_target(event, name) for event in events]
            found = [None if math.isnan(value) else value for value in records[name].tolist()]
            assert found == expected, name
            assert records[name].dtype == np.float32


def test_a_raw_row_is_encoded_by_the_graph_as_by_the_pipeline(shop, rows):
    dataset, (users, items, _) = shop
    transform = tf.function(FeatureTransform(dataset.schema, dataset.transform))
    for records, events in rows.values():
        raw = raw_rows(events, users, items)
        for name, values in transform(raw).items():
            np.testing.assert_array_equal(values.numpy(), records[name], err_msg=name)


def raw_rows(events, users, items):
    of_user = [users.get(event["user"], {}) for event in events]
    of_item = [items.get(event["item"], {}) for event in events]

    def numbers(rows, width):
        return tf.constant([[*map(float, row), *[math.nan] * (width - len(row))] for row in rows], tf.float32)

    def tokens(rows, width):
        return tf.constant([[*row, *[""] * (width - len(row))] for row in rows])

    def parsed(text):
        return text.strip("[]").replace(",", " ").split()

    words = [[math.nan if weight is None else weight for weight in event["word_weights"]] for event in events]
    return {
        "user": tf.constant([event["user"] for event in events]),
        "item": tf.constant([event["item"] for event in events]),
        "taste": numbers([parsed(user.get("taste", "")) for user in of_user], 3),
        "mood": numbers([event["mood"] or [] for event in events], 2),
        "picture": numbers([parsed(item.get("picture", "")) for item in of_item], 5),
        "tags": tokens([item.get("tags", "").split("|") for item in of_item], 6),
        "tag_weights": numbers([[w for w in item.get("tag_weights", "").split("|") if w] for item in of_item], 7),
        "words": tokens([event["words"] for event in events], 6),
        "word_weights": numbers(words, 6),
        "hour": tf.constant([float(event["hour"]) for event in events]),
    }


def test_weights_alone_cannot_be_encoded(shop):
    dataset, _ = shop
    transform = FeatureTransform(dataset.schema, dataset.transform)
    with pytest.raises(ValueError, match="'tag_weights' weighs 'tags', which is not given"):
        transform({"tag_weights": tf.constant([[1.0]])})


def test_users_and_items_have_their_vectors_and_weights(shop):
    dataset, (users, items, events) = shop
    found = read_part(dataset, "items")
    for row, item in enumerate(found["raw/item"]):
        expected = expected_numbers(
            {"user": "", "item": item.decode(), "mood": None, "words": [], "word_weights": []}, users, items
        )
        for name in ("picture", "tag_weights"):
            assert found[name][row].tolist() == np.float32(expected[name]).tolist()
    found = read_part(dataset, "users")
    for row, user in enumerate(found["raw/user"]):
        [*_, last] = [event for event in events if event["user"] == user.decode()]
        assert found["mood"][row].tolist() == np.float32(plain_vector(last["mood"], 2)).tolist()


def test_statistics_say_how_often_each_is_missing_in_training(shop, rows):
    dataset, _ = shop
    _, events = rows["train"]
    features = dataset.statistics["features"]
    assert features["mood"] == {"missing_share": pytest.approx(sum(not e["mood"] for e in events) / len(events))}
    without = sum(not any(w is not None for _, w in zip_kept(e)) for e in events)
    assert features["word_weights"]["missing_share"] == pytest.approx(without / len(events))


def zip_kept(event):
    pairs = zip(event["words"], event["word_weights"], strict=False)
    return [(word, weight) for word, weight in pairs if word]


def test_statistics_have_the_means_of_the_targets_that_are_there(shop, rows):
    dataset, _ = shop
    for split, (_, events) in rows.items():
        figures = dataset.statistics["splits"][split]
        for name in ("like", "seconds", "long"):
            there = [value for event in events if (value := plain_target(event, name)) is not None]
            assert figures["targets"][name]["mean"] == pytest.approx(sum(there) / len(there))
            assert figures["targets"][name]["missing_share"] == pytest.approx(1 - len(there) / len(events))
        assert figures["label_mean"] == pytest.approx(sum(event["clicked"] for event in events) / len(events))


def test_packed_records_and_a_base_keep_them(shop, tmp_path):
    """The log in two days, the second on the base of the first, packed: its records are those of the whole log."""
    dataset, _ = shop
    workshop = Workshop(tmp_path / "days")
    _, _, events = write_catalogue_log(workshop.input)
    cut = events[100]["when"]
    days = "filters.time_until=2020-09-13T12:28:20"
    assert cut == 1_600_000_100
    first = Workshop(tmp_path / "first")
    write_catalogue_log(first.input)
    first.run(NUMBERS_YAML, [days])
    config = parse_config(NUMBERS_YAML, DatasetConfig, ["rows_per_record=16"])
    write_dataset(config, str(workshop.input), str(workshop.output), base=str(first.output))
    users = [user.decode() for user in read_part(workshop.dataset, "users")["raw/user"]]
    by_place, checked = positions(events), 0
    for split in SPLITS:
        records = read_part(workshop.dataset, split)
        for row, place in enumerate(records["event_position"].tolist()):
            event = by_place[users[records["user_index"][row]], place]
            assert records["mood"][row].tolist() == np.float32(plain_vector(event["mood"], 2)).tolist()
            assert records["word_weights"][row].tolist() == plain_weights(event["words"], event["word_weights"], 4)
            checked += 1
    assert checked == 50
    old, new = (read_part(of, "items") for of in (dataset, workshop.dataset))
    pictures = [dict(zip(of["raw/item"].tolist(), of["picture"].tolist(), strict=True)) for of in (old, new)]
    assert pictures[0] == pictures[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ["features.picture.column=image"],
            "items have no column 'image' for feature 'picture'|events have no key 'image'",
        ),
        (["targets.like.column=lked"], "for the target 'like'.*did you mean 'liked'"),
        (["features.tag_weights={role: item, kind: weights, of: tags, list: true}"], "'list: true' reads JSONL"),
        (
            ["features.tag_weights={role: item, kind: weights, of: tags, separator: '|', column: word_weights}"],
            "'tag_weights': is read from events, but 'tags' from items",
        ),
        (["features.words.column=mood"], "one reads 'mood' as a list|both columns"),
    ],
)
def test_what_the_files_do_not_have_is_said_before_the_run(shop, tmp_path, change, message):
    workshop = Workshop(tmp_path / "odd")
    write_catalogue_log(workshop.input)
    if "words" in change[0] and "mood" in change[0]:
        change = ["features.mood={role: user, kind: vector, length: 2, separator: ' '}", *change]
    with pytest.raises(ConfigError, match=message):
        workshop.run(NUMBERS_YAML, change)
