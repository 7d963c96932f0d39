"""The shop's records, features, histories and catalogues against plain loops over its csv files."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
import tensorflow as tf

from tests.transforms.shop_log import PlainShop, leave_one_out, read_rows, temporal
from tfrec.dataset.records import read_part, record_dataset
from tfrec.schema import SPLITS

STRATEGIES = ("leave_one_out", "temporal", "random")


@pytest.fixture(scope="module")
def checked(shops):
    """Strategy → (records of every part, what they should be)."""
    done = {}

    def get(strategy):
        if strategy not in done:
            shop = shops(strategy)
            parts = {part: read_part(shop.dataset, part) for part in (*SPLITS, "users", "items")}
            events = read_rows(shop.input / "events.csv")
            split_of = {
                "leave_one_out": lambda: leave_one_out(events),
                "temporal": lambda: temporal(events, 0.1, 0.2),
                "random": lambda: as_written(events, parts),  # a hash decides: take it as it is
            }[strategy]()
            done[strategy] = parts, PlainShop(shop.input, split_of, is_random=strategy == "random")
        return done[strategy]

    return get


def as_written(events, parts):
    """The split in which the dataset has each event; users and positions name an event."""
    order = [name.decode() for name in parts["users"]["raw/user"]]
    found = {
        (order[user], position): split
        for split in SPLITS
        for user, position in zip(parts[split]["user_index"], parts[split]["event_position"], strict=True)
    }
    plain = PlainShop.__new__(PlainShop)
    plain.events = events
    return [found[event["user"], len(plain.past(row))] for row, event in enumerate(events)]


def assert_same_records(found, expected):
    assert set(found) == set(expected[0])
    for name, values in found.items():
        wanted = [record[name] for record in expected]
        if values.dtype == np.float32:
            # A year less the mean year is taken in float32, which leaves five decimals.
            np.testing.assert_allclose(values, wanted, rtol=1e-5, atol=2e-5, err_msg=name)
        else:
            assert values.tolist() == wanted, name


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("split", SPLITS)
def test_every_record_of_a_split_is_what_plain_loops_make_of_its_event(checked, strategy, split):
    parts, plain = checked(strategy)
    expected = [plain.record(row) for row in range(len(plain.events)) if plain.split_of[row] == split]
    assert len(expected) > 0
    expected.sort(key=lambda record: (record["user_index"], record["event_position"]))
    found = parts[split]
    order = np.lexsort((found["event_position"], found["user_index"]))
    assert_same_records({name: values[order] for name, values in found.items()}, expected)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_users_stand_by_training_events_then_id_with_their_latest_history(checked, strategy):
    parts, plain = checked(strategy)
    assert_same_records(parts["users"], [plain.user_record(user) for user in plain.user_order])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_items_stand_by_training_events_then_id_with_their_last_known_features(checked, strategy):
    parts, plain = checked(strategy)
    assert_same_records(parts["items"], [plain.item_record(item) for item in plain.item_order])


def test_users_and_items_of_their_tables_alone_are_in_the_catalogue_at_the_end(checked):
    parts, _ = checked("leave_one_out")
    assert parts["users"]["raw/user"][-2:].tolist() == [b"a_new", b"u_new"]
    assert parts["items"]["raw/item"][-2:].tolist() == [b"b_only", b"z_only"]
    assert parts["users"]["past"][-2:].tolist() == [[0, 0, 0]] * 2


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_vocabularies_and_their_counts_come_from_the_training_split_alone(shops, checked, strategy):
    _, plain = checked(strategy)
    directory = shops(strategy).output / "vocabulary"
    values = {
        "user": [[event["user"]] for event in plain.train],
        "item": [[event["item"]] for event in plain.train],
        "city": [[plain._user(event, "city") or "nowhere"] for event in plain.train],
        "langs": [plain._langs(event["user"]) for event in plain.train],
        "mood": [[event["mood"]] for event in plain.train],
        "tags": [plain._tags(event["item"]) for event in plain.train],
        "labels": [plain._labels(event["item"]) for event in plain.train],
        "device": [[event["device"]] for event in plain.train],
    }
    for feature, tokens in plain.vocabulary.items():
        assert (directory / f"{feature}.txt").read_text(encoding="utf-8").split("\n")[:-1] == tokens, feature
        count = Counter(token for row in values[feature] for token in row)
        counts = (directory / f"{feature}.counts").read_text().split("\n")[:-1]
        assert counts == [str(count[token]) for token in tokens], feature


def test_tokens_that_only_other_splits_have_are_out_of_vocabulary(checked):
    parts, plain = checked("temporal")
    last = int(np.argmax(parts["test"]["event_time_ms"]))
    record = {name: values[last] for name, values in parts["test"].items()}
    assert "visor" not in plain.vocabulary["device"]
    assert record["device"] == 1
    assert record["item"] == 1
    assert parts["items"]["raw/item"][record["item_index"]] == b"late"


def test_the_statistics_are_those_of_the_training_split(shops, checked):
    _, plain = checked("temporal")
    statistics = json.loads((shops("temporal").output / "statistics.json").read_text())
    for split in SPLITS:
        events = [event for event, of in zip(plain.events, plain.split_of, strict=True) if of == split]
        found = statistics["splits"][split]
        assert found["rows"] == len(events)
        assert found["label_mean"] == pytest.approx(sum(float(e["stars"]) >= 4 for e in events) / len(events))
        assert found["first_time_ms"] == 1000 * min(int(event["when"]) for event in events)
        assert found["last_time_ms"] == 1000 * max(int(event["when"]) for event in events)
    amounts = [float(event["amount"]) for event in plain.train if event["amount"]]
    amount = statistics["features"]["amount"]
    assert amount["mean"] == pytest.approx(np.mean(amounts))
    assert amount["standard_deviation"] == pytest.approx(np.std(amounts))
    assert amount["missing_share"] == pytest.approx(1 - len(amounts) / len(plain.train))
    assert amount["quantiles"]["0.5"] == sorted(amounts)[-(-len(amounts) // 2) - 1]
    device = statistics["features"]["device"]
    known = sum(event["device"] in plain.vocabulary["device"] for event in plain.train)
    present = sum(event["device"] != "" for event in plain.train)
    assert device["out_of_vocabulary_share"] == pytest.approx(1 - known / present)
    assert device["vocabulary_size"] == len(plain.vocabulary["device"])


def test_items_keep_their_raw_values_beside_the_encoded_ones(shops, checked):
    _, plain = checked("leave_one_out")
    records = [
        tf.train.Example.FromString(r)
        for r in record_dataset(shops("leave_one_out").dataset.files("items")).as_numpy_iterator()
    ]
    for item, record in zip(plain.item_order, records, strict=True):
        feature = record.features.feature
        row = plain.items.get(item, {"year": "", "tags": "", "name": ""})
        assert feature["raw/name"].bytes_list.value[0].decode() == row["name"]
        assert [tag.decode() for tag in feature["raw/tags"].bytes_list.value] == plain._tags(item)
        [year] = feature["raw/year"].float_list.value
        assert np.isnan(year) if row["year"] == "" else year == float(row["year"])


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_the_manifest_counts_the_records_and_sums_their_bytes(shops, checked, strategy):
    import hashlib

    shop = shops(strategy)
    parts, plain = checked(strategy)
    for part, entries in shop.dataset.manifest["files"].items():
        assert sum(entry["records"] for entry in entries) == len(next(iter(parts[part].values())))
        for entry in entries:
            content = (shop.output / part / entry["name"]).read_bytes()
            assert (entry["bytes"], entry["sha256"]) == (len(content), hashlib.sha256(content).hexdigest())
    assert sum(shop.dataset.rows(split) for split in SPLITS) == len(plain.events)
