"""The vectorised encoder against TensorFlow's own protobuf and parser."""

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.codec import encode_examples, frame_records
from tfrec.errors import SchemaError

INTS = st.integers(min_value=-(2**63), max_value=2**63 - 1)
FLOATS = st.floats(width=32, allow_nan=False)
BYTES = st.binary(max_size=300)


def plain_example(row):
    """One tf.train.Example built the slow way: an oracle that shares nothing with the encoder."""
    example = tf.train.Example()
    for name, value in row.items():
        values = [] if value is None else value if isinstance(value, list) else [value]
        feature = example.features.feature[name]
        if name.startswith("i"):
            feature.int64_list.value.extend(values)
        elif name.startswith("f"):
            feature.float_list.value.extend(values)
        else:
            feature.bytes_list.value.extend(values)
    return example


ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i_one": INTS,
            "i_maybe": st.none() | INTS,
            "i_many": st.none() | st.lists(INTS, max_size=40),
            "f_one": FLOATS,
            "f_many": st.lists(FLOATS, max_size=5),
            "s_one": BYTES,
            "s_maybe": st.none() | BYTES,
            "s_many": st.lists(BYTES, max_size=4),
            "name_longer_than_one_hundred_and_twenty_seven_bytes_" + "x" * 90: BYTES,
        }
    ),
    max_size=12,
)
TYPES = {
    "i_one": pa.int64(),
    "i_maybe": pa.int64(),
    "i_many": pa.list_(pa.int64()),
    "f_one": pa.float32(),
    "f_many": pa.list_(pa.float32()),
    "s_one": pa.binary(),
    "s_maybe": pa.binary(),
    "s_many": pa.list_(pa.binary()),
    "name_longer_than_one_hundred_and_twenty_seven_bytes_" + "x" * 90: pa.binary(),
}


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_bytes_parse_to_the_same_example_as_the_plain_constructor(rows):
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})
    flat, offsets = encode_examples(table)
    assert len(offsets) == len(rows) + 1
    assert len(flat) == offsets[-1]
    for row, start, end in zip(rows, offsets[:-1], offsets[1:], strict=True):
        assert tf.train.Example.FromString(flat[start:end].tobytes()) == plain_example(row)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS)
def test_frames_are_read_by_tensorflow(tmp_path_factory, rows):
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})
    path = tmp_path_factory.mktemp("frames") / "part.tfrecord"
    path.write_bytes(frame_records(table))
    read = [tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    assert read == [plain_example(row) for row in rows]


def test_a_slice_of_a_table_encodes_its_own_rows():
    table = pa.table({"s": ["a", "bb", "ccc", None], "i_many": [[1], [2, 3], [], [-1]]})
    flat, offsets = encode_examples(table.slice(1, 2))
    whole, whole_offsets = encode_examples(table)
    assert flat.tobytes() == whole[whole_offsets[1] : whole_offsets[3]].tobytes()
    assert len(offsets) == 3


def test_many_rows_are_cut_into_bounded_matrices(monkeypatch):
    table = pa.table({"i": np.arange(1000), "s": ["x" * (i % 7) for i in range(1000)]})
    whole = encode_examples(table)[0].tobytes()
    monkeypatch.setattr("tfrec.codec.example.MAX_MATRIX_BYTES", 1000)
    assert encode_examples(table)[0].tobytes() == whole


def test_a_type_that_no_example_holds_is_named():
    with pytest.raises(SchemaError, match=r"column 'when' of type timestamp"):
        encode_examples(pa.table({"when": pa.array([0], pa.timestamp("s"))}))
