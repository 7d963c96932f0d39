"""Packed records are read to the very tensors of records with one row each."""

import itertools
import json

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.codec import encode_examples, frame_records, pack_rows
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import example_parser, read_part
from tfrec.errors import DataError
from tfrec.schema import Schema

SCHEMA = """
name: packed
features:
  user_id: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric}
  past: {role: user, kind: sequence, length: 4}
  past_ratings: {role: user, kind: sequence, length: 3, of: label}
  item_id: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text}
  subtitle: {role: item, kind: text, tokens: {max_tokens: 3}}
  tags: {role: item, kind: categorical, separator: "|", max_values: 2}
  price: {role: context, kind: numeric, buckets: 4}
label: {column: stars}
timestamp: {column: when}
request: {column: request}
sessions: {gap_minutes: 30}
split: {strategy: leave_one_out}
"""
INTS = ("user_index", "item_index", "event_position", "event_time_ms", "session_index", "session_position")
IDS = ("user_id", "item_id", "price")
ID_LISTS = {"past": 4, "subtitle": 3, "tags": 2}
FLOATS = st.floats(width=32, allow_nan=False)
ROW = st.fixed_dictionaries(
    {
        **dict.fromkeys(INTS, st.integers(-1, 2**62)),
        **dict.fromkeys(IDS, st.integers(0, 500)),
        **{name: st.lists(st.integers(1, 900), max_size=width) for name, width in ID_LISTS.items()},
        "past_ratings": st.lists(FLOATS, max_size=3),
        "label": FLOATS,
        "age": FLOATS,
        "request_id": st.binary(max_size=6),
    }
)
TYPES = {
    **dict.fromkeys(INTS, pa.int64()),
    **dict.fromkeys(IDS, pa.int32()),
    **dict.fromkeys(ID_LISTS, pa.list_(pa.int32())),
    "past_ratings": pa.list_(pa.float32()),
    "label": pa.float32(),
    "age": pa.float32(),
    "request_id": pa.binary(),
}


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


@pytest.fixture(scope="module")
def parsers(schema):
    """Compiled once: rows per record → parser."""
    spec = [tf.TensorSpec([None], tf.string)]
    return {size: tf.function(example_parser(schema, "train", size), input_signature=spec) for size in (1, 7)}


def table_of(rows):
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})


def serialized(table):
    flat, offsets = encode_examples(table)
    content = flat.tobytes()
    records = [content[start:end] for start, end in itertools.pairwise(offsets)]
    return tf.constant(records, tf.string)


def as_lists(tensors):
    return {name: (value.dtype, value.shape, value.numpy().tolist()) for name, value in tensors.items()}


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(ROW, max_size=20))
def test_packed_records_parse_to_the_tensors_of_single_rows(parsers, rows):
    table = table_of(rows)
    packed = as_lists(parsers[7](serialized(pack_rows(table, 7))))
    assert packed == as_lists(parsers[1](serialized(table)))
    assert packed["request_id"][2] == [row["request_id"] for row in rows]
    for name, width in {**ID_LISTS, "past_ratings": 3}.items():
        assert packed[name][2] == [(row[name] + [0] * width)[:width] for row in rows]


PLAIN_ROW = dict.fromkeys((*INTS, *IDS), 1) | {name: [] for name in (*ID_LISTS, "past_ratings")}
PLAIN_ROW |= {"label": 0.5, "age": 1.5, "request_id": b"r"}


def write_dataset(schema, directory, tables, rows_per_record):
    """A dataset of event splits alone, as the transforms would write them."""
    files = {}
    for part, table in tables.items():
        content = frame_records(pack_rows(table, rows_per_record))
        (directory / part).mkdir(parents=True)
        (directory / part / "part").write_bytes(content)
        files[part] = [{"name": "part", "records": table.num_rows, "bytes": len(content)}]
    (directory / "manifest.json").write_text(json.dumps({"files": files, "rows_per_record": rows_per_record}))
    schema.save(directory / "schema.json")
    return DatasetDirectory(directory)


@pytest.mark.parametrize("rows_per_record", [2, 1024, 100_000])
def test_a_split_is_read_the_same_however_many_rows_share_a_record(schema, tmp_path, rows_per_record):
    rng = np.random.default_rng(2)
    rows = [PLAIN_ROW | {"user_index": n, "past": [n + 1] * int(rng.integers(5))} for n in range(20_000)]
    tables = {"train": table_of(rows), "test": table_of([])}
    single = write_dataset(schema, tmp_path / "single", tables, 1)
    packed = write_dataset(schema, tmp_path / "packed", tables, rows_per_record)
    assert packed.rows("train") == 20_000
    for part in tables:
        one, other = read_part(single, part), read_part(packed, part)
        assert one.keys() == other.keys()
        for name, column in one.items():
            np.testing.assert_array_equal(column, other[name], strict=True)


def test_users_and_items_have_one_row_per_record_whatever_the_manifest_says(schema, tmp_path):
    dataset = write_dataset(schema, tmp_path / "d", {"train": table_of([PLAIN_ROW])}, 1024)
    assert {part: dataset.rows_per_record(part) for part in ("train", "validation", "test", "users", "items")} == {
        **dict.fromkeys(("train", "validation", "test"), 1024),
        **dict.fromkeys(("users", "items"), 1),
    }


def test_a_manifest_from_before_packing_means_one_row_per_record(schema, tmp_path):
    dataset = write_dataset(schema, tmp_path / "d", {"train": table_of([PLAIN_ROW] * 3)}, 1)
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    del manifest["rows_per_record"]
    (dataset.path / "manifest.json").write_text(json.dumps(manifest))
    assert len(read_part(DatasetDirectory(dataset.path), "train")["label"]) == 3


def damaged(table, **columns):
    """The packed table with other columns in the place of its own."""
    for name, values in columns.items():
        column = pa.array(values, table.column(name).type)
        table = table.set_column(table.column_names.index(name), name, column)
    return table


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"age": [[1.5]]}, "age has another number of rows"),
        ({"past/row_lengths": [[0]]}, "past has another number of rows"),
        ({name: [[]] for name in (*INTS, *IDS, "label", "age", "request_id")}, "a record has no rows"),
    ],
)
def test_columns_that_disagree_on_the_rows_of_a_record_are_a_data_error(schema, tmp_path, columns, message):
    table = pack_rows(table_of([PLAIN_ROW] * 2), 2)
    dataset = write_dataset(schema, tmp_path / "d", {"train": damaged(table, **columns)}, 1)
    manifest = json.loads((dataset.path / "manifest.json").read_text())
    (dataset.path / "manifest.json").write_text(json.dumps(manifest | {"rows_per_record": 2}))
    with pytest.raises(DataError, match=f"train/part: records cannot be read .*{message}"):
        read_part(DatasetDirectory(dataset.path), "train")


def test_fewer_rows_than_the_manifest_says_are_a_data_error(schema, tmp_path):
    dataset = write_dataset(schema, tmp_path / "d", {"train": table_of([PLAIN_ROW] * 3)}, 2)
    dataset.manifest["files"]["train"][0]["records"] = 4
    with pytest.raises(DataError, match="train: records hold 3 rows, the manifest says 4"):
        read_part(dataset, "train")
