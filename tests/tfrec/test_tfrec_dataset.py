"""Reading a dataset: records, interactions, batches, and what is said of a damaged directory."""

import gzip
import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.planted_world import USERS, read_csv
from tfrec.dataset.batches import Batches
from tfrec.dataset.directory import DatasetDirectory, part_name
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.records import read_part
from tfrec.errors import ArtifactError, DataError, SchemaError
from tfrec.models.inputs import id_counts


@pytest.fixture(scope="module")
def dataset(world):
    return DatasetDirectory(world.dataset())


@pytest.fixture
def copied(world, tmp_path):
    """A copy of the dataset that a test may damage."""
    return shutil.copytree(world.dataset(), tmp_path / "dataset")


def slow_records(dataset, part):
    """One record after the other through the protobuf class."""
    for entry in dataset.manifest["files"][part]:
        path = str(dataset.path / part / entry["name"])
        for record in tf.data.TFRecordDataset(path, compression_type="GZIP").as_numpy_iterator():
            features = tf.train.Example.FromString(record).features.feature
            yield {
                name: list(getattr(value, value.WhichOneof("kind")).value) if value.WhichOneof("kind") else []
                for name, value in features.items()
            }


WIDTHS = {"history": 20, "genres": 4}


@pytest.mark.parametrize("part", ["train", "validation", "test", "users", "items"])
def test_a_part_is_read_as_its_records_say(dataset, part):
    found = read_part(dataset, part)
    records = list(slow_records(dataset, part))
    assert len(records) == dataset.rows(part)
    for name, column in found.items():
        width = WIDTHS.get(name)
        expected = [(r.get(name, []) + [0] * width)[:width] if width else r[name][0] for r in records]
        assert column.tolist() == (np.float32(expected).tolist() if column.dtype == np.float32 else expected)


def test_an_empty_part_has_all_columns_with_their_widths(copied):
    manifest = json.loads((copied / "manifest.json").read_text())
    manifest["files"]["test"] = []
    (copied / "manifest.json").write_text(json.dumps(manifest))
    found = read_part(DatasetDirectory(copied), "test")
    full = read_part(DatasetDirectory(copied), "train")
    assert {n: (v.dtype, v.shape) for n, v in found.items()} == {
        n: (v.dtype, (0, *v.shape[1:])) for n, v in full.items()
    }


def test_users_and_items_are_read_in_the_order_of_their_index(dataset):
    assert read_part(dataset, "users")["user_index"].tolist() == list(range(USERS + 1))
    log = [row["item_id"].encode() for row in read_csv(dataset.path.parents[1] / "logs" / "items.csv")]
    assert sorted(read_part(dataset, "items")["raw/item_id"]) == sorted(log)


def test_the_number_of_ids_is_one_above_the_highest_possible(dataset):
    counts = id_counts(dataset)
    lines = {
        name: len((dataset.path / "vocabulary" / f"{name}.txt").read_text().splitlines())
        for name in ("user_id", "item_id", "country", "genres")
    }
    assert counts == {
        **{name: 1 + 1 + size for name, size in lines.items()},
        "country_hash": 1 + 50,
        "age": 1 + 6,
        "history": 2 + lines["item_id"],
    }


# --- Interactions ---------------------------------------------------------------------------------------------------

EVENTS = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 7)), max_size=40)


def records_of(events, seed):
    """Event records in mixed order; the position counts each user's events as they stand in `events`."""
    seen, rows = {}, []
    for user, item in events:
        rows.append((user, item, seen.setdefault(user, 0)))
        seen[user] += 1
    order = np.random.default_rng(seed).permutation(len(rows))
    table = np.array(rows, np.int64).reshape(-1, 3)[order]
    return dict(zip(("user_index", "item_index", "event_position"), table.T, strict=True))


@settings(max_examples=120, deadline=None)
@given(events=EVENTS, seed=st.integers(0, 9), length=st.integers(1, 6), asked=st.lists(st.integers(0, 6), max_size=8))
def test_interactions_are_the_loops_over_the_events(events, seed, length, asked):
    found = Interactions.from_records(records_of(events, seed), num_users=7, num_items=9)
    items_of = [[item for user, item in events if user == u] for u in range(7)]
    assert (found.num_users, found.num_items, found.num_events) == (7, 9, len(events))
    assert [found.of_user(u).tolist() for u in range(7)] == items_of
    assert found.item_counts().tolist() == [sum(item == i for _, item in events) for i in range(9)]
    users = np.array(asked, np.int64)
    last = [items_of[u][-length:] for u in asked]
    expected = [items + [-1] * (length - len(items)) for items in last]
    assert found.last(users, length).tolist() == expected
    rows, items = found.pairs_of(users)
    pairs = [(row, item) for row, u in enumerate(asked) for item in items_of[u]]
    assert list(zip(rows.tolist(), items.tolist(), strict=True)) == pairs


def test_interactions_take_labels_times_and_weights_along_in_their_own_order():
    records = records_of([(2, 5), (0, 1), (2, 4), (2, 5)], seed=4)
    number = records["user_index"] * 10 + records["event_position"]  # tells every event apart
    more = {"label": number / 4, "event_time_ms": number * 1000, "weight": number / 8}
    found = Interactions.from_records({**records, **more}, num_users=4, num_items=9)
    assert found.users.tolist() == [0, 2, 2, 2]
    assert found.users.dtype == np.int64
    assert found.items.tolist() == [1, 5, 4, 5]
    assert found.labels.tolist() == [0, 5, 5.25, 5.5]
    assert found.times_ms.tolist() == [0, 20_000, 21_000, 22_000]
    assert found.weights.tolist() == [0, 2.5, 2.625, 2.75]
    assert (found.labels.dtype, found.times_ms.dtype, found.weights.dtype) == (np.float32, np.int64, np.float32)
    plain = Interactions.from_records(records, num_users=4, num_items=9)
    assert (plain.labels, plain.times_ms, plain.weights) == (None, None, None)


# --- Batches --------------------------------------------------------------------------------------------------------


def rows_of(batches):
    return [batch["row"].tolist() for batch in batches.as_numpy_iterator()]


def batches_of(rows, size, seed=3):
    return Batches({"row": np.arange(rows), "pair": np.arange(2 * rows).reshape(rows, 2)}, size, seed)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 40), size=st.integers(1, 50), epoch=st.integers(0, 3), seed=st.integers(0, 5))
def test_every_epoch_has_every_row_once_in_batches_of_the_size(rows, size, epoch, seed):
    batches = batches_of(rows, size, seed)
    found = rows_of(batches.epoch(epoch))
    assert sorted(row for batch in found for row in batch) == list(range(rows))
    assert len(found) == batches.steps_per_epoch
    assert [len(batch) for batch in found[:-1]] == [size] * (len(found) - 1)
    assert 1 <= len(found[-1]) <= size


def test_columns_of_a_batch_belong_together():
    for batch in batches_of(10, 4).epoch(0).as_numpy_iterator():
        assert batch["pair"].tolist() == [[2 * row, 2 * row + 1] for row in batch["row"]]


def test_the_order_follows_from_seed_and_epoch_alone():
    assert rows_of(batches_of(50, 7).epoch(2)) == rows_of(batches_of(50, 7).epoch(2))
    orders = [rows_of(batches_of(50, 7, seed).epoch(epoch)) for seed in (1, 2) for epoch in (0, 1)]
    assert len({str(order) for order in orders}) == 4


@pytest.mark.parametrize("skip", [0, 1, 3, 7, 8])
def test_skipping_goes_on_where_the_epoch_would(skip):
    batches = batches_of(50, 7)
    assert rows_of(batches.epoch(1, skip=skip)) == rows_of(batches.epoch(1))[skip:]


def test_in_order_gives_all_rows_as_they_stand():
    assert rows_of(batches_of(5, 2).in_order()) == [[0, 1], [2, 3], [4]]


# --- Damage ---------------------------------------------------------------------------------------------------------


def test_a_directory_without_manifest_is_no_dataset(tmp_path):
    with pytest.raises(ArtifactError, match=r"not a dataset.*python -m transforms.run"):
        DatasetDirectory(tmp_path)


def test_a_damaged_manifest_is_named(copied):
    (copied / "manifest.json").write_text("{")
    with pytest.raises(ArtifactError, match=r"manifest\.json: cannot be read"):
        DatasetDirectory(copied).files("train")


def first_file(directory, part="train"):
    return directory / part / part_name(0, 1, is_compressed=True)


def test_an_absent_file_is_named(copied):
    first_file(copied).unlink()
    with pytest.raises(ArtifactError, match=r"part-00000-of-00001\.tfrecord\.gz: is absent or incomplete"):
        read_part(DatasetDirectory(copied), "train")


def test_a_truncated_file_is_named(copied):
    content = first_file(copied).read_bytes()
    first_file(copied).write_bytes(content[:-10])
    with pytest.raises(ArtifactError, match=r"part-00000-of-00001\.tfrecord\.gz: is absent or incomplete"):
        read_part(DatasetDirectory(copied), "train")


def declare_size(directory, part="train"):
    """Make the manifest agree with the damaged file: the damage has to be found in the bytes."""
    manifest = json.loads((directory / "manifest.json").read_text())
    manifest["files"][part][0]["bytes"] = first_file(directory, part).stat().st_size
    (directory / "manifest.json").write_text(json.dumps(manifest))


def damage(kind, content):
    if kind == "torn gzip":
        return content[: len(content) // 2]
    if kind == "flipped byte in gzip":
        middle = len(content) // 2
        return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]
    if kind == "not gzip":
        return b"x" * len(content)
    plain = bytearray(gzip.decompress(content))
    if kind == "wrong record checksum":
        plain[20] ^= 255
    elif kind == "torn record":
        plain = plain[:-5]
    return gzip.compress(bytes(plain))


@pytest.mark.parametrize(
    "kind", ["torn gzip", "flipped byte in gzip", "not gzip", "wrong record checksum", "torn record"]
)
def test_torn_records_are_one_clear_data_error(copied, kind):
    first_file(copied).write_bytes(damage(kind, first_file(copied).read_bytes()))
    declare_size(copied)
    with pytest.raises(DataError, match=r"train/part-.*\.gz: records cannot be read .*rerun the transforms") as caught:
        read_part(DatasetDirectory(copied), "train")
    assert "\n" not in str(caught.value)


def test_records_with_other_features_are_a_data_error(copied):
    first_file(copied, "train").write_bytes(first_file(copied, "items").read_bytes())
    declare_size(copied)
    with pytest.raises(DataError, match=r"train/part-.*\.gz: records cannot be read"):
        read_part(DatasetDirectory(copied), "train")


def test_a_schema_that_was_edited_is_refused(copied):
    path = copied / "schema.json"
    path.write_text(path.read_text().replace('"buckets": 6', '"buckets": 5'))
    with pytest.raises(SchemaError, match="was changed after it was written"):
        read_part(DatasetDirectory(copied), "train")


def test_a_part_that_no_dataset_has_is_the_callers_error(dataset):
    with pytest.raises(ValueError, match="no part 'training'"):
        dataset.files("training")
