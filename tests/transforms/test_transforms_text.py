"""Texts of events, users and items: their words in the records, by plain loops over the log."""

import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.tfrec.test_tfrec_text_tokens import TEXTS, plain_words
from tests.transforms.conftest import Workshop
from tests.transforms.text_log import (
    OPTIONS,
    SOME_TEXTS,
    TEXT_YAML,
    plain_features,
    plain_ids,
    plain_vocabulary,
    write_text_log,
)
from tfrec.dataset.records import read_part
from tfrec.feature_transform import FeatureTransform
from tfrec.models.inputs import id_counts
from tfrec.schema import SPLITS
from transforms.steps.encode import encode_table


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    """The dataset and the rows of its log."""
    workshop = Workshop(tmp_path_factory.mktemp("texts") / "shop")
    log = write_text_log(workshop.input)
    workshop.run(TEXT_YAML)
    return workshop.dataset, log


@pytest.fixture(scope="module")
def graph(shop):
    dataset, _ = shop
    return FeatureTransform(dataset.schema, dataset.transform), dataset.schema


def test_the_ids_of_every_record_are_those_of_its_words(shop):
    dataset, log = shop
    features = plain_features(log)
    vocabularies = {name: plain_vocabulary(features, name)[0] for name in OPTIONS} | {"mood": []}
    users = [user.decode() for user in read_part(dataset, "users")["raw/user"]]
    checked = 0
    for split in SPLITS:
        records = read_part(dataset, split)
        for row, user in enumerate(records["user_index"]):
            wanted, texts = features[users[user], int(records["event_position"][row])]
            assert wanted == split
            for name, text in texts.items():
                assert records[name][row].tolist() == plain_ids(name, text, vocabularies[name]), (name, text)
                checked += 1
    assert checked == 5 * len(log[0])


def test_users_and_items_have_the_ids_of_their_words(shop):
    dataset, log = shop
    features, (_, about, titles) = plain_features(log), log
    for part, key, name, texts in (("users", "user", "about", about), ("items", "item", "title", titles)):
        vocabulary = plain_vocabulary(features, name)[0]
        found = read_part(dataset, part)
        for row, raw in enumerate(found[f"raw/{key}"]):
            assert found[name][row].tolist() == plain_ids(name, texts.get(raw.decode(), ""), vocabulary)
    items = read_part(dataset, "items")
    assert [text.decode() for text in items["raw/title"]] == [titles.get(i.decode(), "") for i in items["raw/item"]]


@pytest.mark.parametrize("name", OPTIONS)
def test_vocabulary_and_statistics_count_the_words_of_training(shop, name):
    dataset, log = shop
    features = plain_features(log)
    vocabulary, counts = plain_vocabulary(features, name)
    lines = (dataset.path / "vocabulary" / f"{name}.txt").read_text(encoding="utf-8").splitlines()
    assert lines == vocabulary
    train = [texts[name] for split, texts in features.values() if split == "train"]
    found = dataset.statistics["features"][name]
    values = sum(counts.values())
    assert found["vocabulary_size"] == len(vocabulary)
    assert found["distinct"] == len(counts)
    assert found["values"] == values
    assert found["values_per_row"] == pytest.approx(values / len(train))
    in_vocabulary = sum(counts[word] for word in vocabulary)
    assert found["out_of_vocabulary_share"] == pytest.approx(1 - in_vocabulary / values)
    # Users and items of no table have no row that could count a missing text.
    if name in ("blurb", "query"):
        assert found["missing_share"] == pytest.approx(sum(not plain_words(text) for text in train) / len(train))
    assert id_counts(dataset)[name] == 1 + OPTIONS[name][3] + len(vocabulary)


def test_hashed_words_have_no_vocabulary(shop):
    dataset, _ = shop
    assert dataset.vocabulary_size("mood") == 0
    assert id_counts(dataset)["mood"] == 1 + 7


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(TEXTS | st.sampled_from(SOME_TEXTS), min_size=1, max_size=5))
def test_a_raw_text_is_encoded_by_the_graph_as_by_the_pipeline(graph, texts):
    transform, schema = graph
    lists = encode_table(transform, schema, pa.table({"title": texts})).column("title").to_pylist()
    asked = tf.function(transform)({"title": tf.constant(texts)})["title"].numpy().tolist()
    assert [row + [0] * (4 - len(row)) for row in lists] == asked


def test_a_dataset_of_packed_records_has_the_same_words(shop, tmp_path):
    dataset, _ = shop
    workshop = Workshop(tmp_path / "packed")
    write_text_log(workshop.input)
    manifest = workshop.run(TEXT_YAML, ["rows_per_record=50"])
    assert (
        json.loads((workshop.output / "manifest.json").read_text())["rows_per_record"]
        == 50
        == manifest["rows_per_record"]
    )
    for part in (*SPLITS, "users", "items"):
        one, other = read_part(dataset, part), read_part(workshop.dataset, part)
        for name, column in one.items():
            np.testing.assert_array_equal(column, other[name], strict=True, err_msg=name)
    assert dataset.rows("train") == workshop.dataset.rows("train") > 100
