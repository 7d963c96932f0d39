"""The users of a dataset as a store gets them: raw values, and histories back in raw tokens."""

import gzip
import json

import pyarrow as pa
import pytest

from serving import load_users
from serving.users import UserRecord, open_store
from serving.users.dataset_users import DatasetUsers
from tfrec.codec.tfrecord import frame_records
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema

FEATURES = {
    "user": {"role": "user", "kind": "categorical", "id": True},
    "age": {"role": "user", "kind": "numeric"},
    "tags": {"role": "user", "kind": "categorical", "separator": "|", "max_values": 3},
    "taste": {"role": "user", "kind": "vector", "length": 2, "list": True},
    "item": {"role": "item", "kind": "categorical", "id": True, "num_oov_indices": 2},
    "device": {"role": "context", "kind": "categorical", "hash_buckets": 10},
    "past": {"role": "user", "kind": "sequence", "length": 4},
    "devices": {"role": "user", "kind": "sequence", "length": 4, "of": "device"},
    "ratings": {"role": "user", "kind": "sequence", "length": 4, "of": "label"},
    "times": {"role": "user", "kind": "sequence", "length": 4, "of": "event_time_ms"},
}


@pytest.fixture
def dataset(tmp_path):
    """Two users, written by hand as the transforms write them: id 3 is the first token, 1 and 2 are unknown ones."""
    directory = tmp_path / "dataset"
    for name in ("users", "vocabulary"):
        (directory / name).mkdir(parents=True)
    schema = Schema.model_validate(
        {"name": "t", "features": FEATURES, "label": {"column": "r"}, "timestamp": {"column": "t"}}
    )
    schema.save(directory / "schema.json")
    (directory / "vocabulary" / "item.txt").write_text("first\nsecond\u2028x\n", encoding="utf-8")
    table = pa.table(
        {
            "user_index": [0, 1],
            "raw/user": ["ann", "böb"],
            "raw/age": pa.array([30.5, None], pa.float32()),
            "raw/tags": [["x", "y"], []],
            "raw/taste": pa.array([[0.5, 1.5], None], pa.list_(pa.float32())),
            "user": [2, 3],
            "age": pa.array([0.1, 0.0], pa.float32()),
            "past": pa.array([[3, 4, 1], []], pa.list_(pa.int64())),
            "devices": pa.array([[7, 1, 2], []], pa.list_(pa.int64())),
            "ratings": pa.array([[5.0, 1.0, 2.5], []], pa.list_(pa.float32())),
            "times": pa.array([[1, 2, 2**41], []], pa.list_(pa.int64())),
            "event_count": [3, 0],
            "event_time_ms": pa.array([2**41, None], pa.int64()),
        }
    )
    part = directory / "users" / "part-00000-of-00001.tfrecord.gz"
    part.write_bytes(gzip.compress(frame_records(table)))
    (directory / "manifest.json").write_text(json.dumps({"files": {"users": [{"name": part.name}]}}))
    return directory


def test_records_hold_raw_values_and_histories_in_raw_tokens(dataset):
    users = DatasetUsers(dataset)
    assert dict(users) == {
        "ann": UserRecord(
            {"age": 30.5, "tags": ["x", "y"], "taste": [0.5, 1.5]},
            {"past": ["first", "second\u2028x", "[unknown]"], "ratings": [5.0, 1.0, 2.5], "times": [1, 2, 2**41]},
            2**41,
        ),
        "böb": UserRecord({}, {"past": [], "ratings": [], "times": []}, None),
    }
    assert users.left_out == ["devices"]


def test_the_command_loads_a_store_and_says_what_it_left_out(dataset, tmp_path, capsys):
    address = f"sqlite:{tmp_path}/users.db"
    load_users.main(["--dataset", str(dataset), "--store", address])
    out, err = capsys.readouterr()
    assert out == ""
    assert f"2 users of {dataset} are in {address}" in err
    assert "without devices: hashed tokens" in err
    store = open_store(address)
    assert store.get(["ann"])[0].features["age"] == 30.5
    assert store.schema().fingerprint == DatasetUsers(dataset).schema.fingerprint
    store.close()


def test_a_torn_file_and_what_is_no_dataset_are_errors(dataset, tmp_path):
    with pytest.raises(ArtifactError, match="not a dataset"):
        DatasetUsers(tmp_path)
    part = next((dataset / "users").iterdir())
    part.write_bytes(part.read_bytes()[:-20])
    with pytest.raises(
        ArtifactError, match=r"part-00000-of-00001\.tfrecord\.gz: cannot be read .*; copy the dataset again"
    ):
        list(DatasetUsers(dataset))


def test_a_store_that_is_none_or_not_running_is_one_line(dataset, tmp_path):
    with pytest.raises(ConfigError, match="expected sqlite:PATH or redis://HOST:PORT/NUMBER"):
        load_users.main(["--dataset", str(dataset), "--store", "mysql:x"])
    (tmp_path / "directory.db").mkdir()
    with pytest.raises(ArtifactError, match=r"unable to open database file; is the store running\?$"):
        load_users.main(["--dataset", str(dataset), "--store", f"sqlite:{tmp_path}/directory.db"])
