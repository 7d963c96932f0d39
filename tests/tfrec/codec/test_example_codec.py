"""The vectorised encoder against TensorFlow's own protobuf and parser."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
import tensorflow as tf
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tfrec.codec import encode_examples, frame_records
from tfrec.codec.tfrecord import HEAD_BYTES, TAIL_BYTES
from tfrec.errors import SchemaError

# Where a varint gets one byte longer, and the ends of int64; Hypothesis alone rarely meets them.
EDGES = [0, -1, -(2**63), 2**63 - 1, *(2**bits + step for bits in range(7, 63, 7) for step in (-1, 0))]
INTS = st.sampled_from(EDGES) | st.integers(min_value=-(2**63), max_value=2**63 - 1) | st.integers(0, 300)
FLOATS = st.floats(width=32, allow_nan=False)
BYTES = st.binary(max_size=300)
LONG_NAME = "name_longer_than_one_hundred_and_twenty_seven_bytes_" + "x" * 90
# So long that a map entry with a short number takes 127 bytes or less, and with a longer one more.
EDGE_NAME = "i_" + "x" * 110


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


TYPES = {
    "i_one": (pa.int64(), INTS),
    "i_small": (pa.int8(), st.integers(0, 127)),
    "i_maybe": (pa.int64(), st.none() | INTS),
    "i_many": (pa.list_(pa.int64()), st.none() | st.lists(INTS, max_size=40)),
    "i_large_list": (pa.large_list(pa.int32()), st.none() | st.lists(st.integers(-5, 2**31 - 1), max_size=9)),
    "i_unsigned": (pa.uint64(), st.integers(0, 2**63 - 1)),
    "i_bool": (pa.bool_(), st.booleans()),
    EDGE_NAME: (pa.int64(), INTS),
    "f_one": (pa.float32(), FLOATS),
    "f_maybe": (pa.float64(), st.none() | FLOATS),
    "f_half": (pa.float16(), st.floats(width=16, allow_nan=False)),
    "f_many": (pa.list_(pa.float32()), st.lists(FLOATS, max_size=5)),
    "s_one": (pa.binary(), BYTES),
    "s_maybe": (pa.large_binary(), st.none() | BYTES),
    "s_fixed": (pa.binary(3), st.none() | st.binary(min_size=3, max_size=3)),
    "s_many": (pa.list_(pa.binary()), st.lists(BYTES, max_size=4)),
    "s_dictionary": (pa.dictionary(pa.int32(), pa.binary()), st.none() | st.sampled_from([b"", b"a", b"\xff\xfe"])),
    LONG_NAME: (pa.binary(), BYTES),
}
ROWS = st.lists(st.fixed_dictionaries({name: values for name, (_, values) in TYPES.items()}), max_size=12)


def table_of(rows):
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, (kind, _) in TYPES.items()})


def records_of(table):
    flat, offsets = encode_examples(table)
    assert len(offsets) == table.num_rows + 1
    assert len(flat) == offsets[-1]
    return [flat[start:end].tobytes() for start, end in itertools.pairwise(offsets)]


@settings(max_examples=150, deadline=None)
@given(ROWS)
def test_bytes_parse_to_the_same_example_as_the_plain_constructor(rows):
    for row, record in zip(rows, records_of(table_of(rows)), strict=True):
        assert tf.train.Example.FromString(record) == plain_example(row)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_frames_are_read_by_tensorflow(tmp_path_factory, rows):
    path = tmp_path_factory.mktemp("frames") / "part.tfrecord"
    path.write_bytes(frame_records(table_of(rows)))
    read = [tf.train.Example.FromString(record) for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()]
    assert read == [plain_example(row) for row in rows]


@settings(max_examples=60, deadline=None)
@given(rows=ROWS)
def test_records_are_the_same_bytes_with_and_without_frames(rows):
    table = table_of(rows)
    framed, found = frame_records(table), []
    while framed:
        end = HEAD_BYTES + int.from_bytes(framed[:8], "little")
        found.append(framed[HEAD_BYTES:end])
        framed = framed[end + TAIL_BYTES :]
    assert found == records_of(table)


@settings(max_examples=60, deadline=None)
@given(rows=ROWS.filter(bool), cuts=st.lists(st.integers(0, 12), max_size=3))
def test_chunks_and_slices_encode_the_rows_that_they_hold(rows, cuts):
    bounds = sorted({0, len(rows), *(min(cut, len(rows)) for cut in cuts)})
    table = pa.concat_tables(table_of(rows[a:b]) for a, b in itertools.pairwise(bounds))
    whole = records_of(table_of(rows))
    assert records_of(table) == whole
    assert records_of(table.slice(bounds[1] - 1, 2)) == whole[bounds[1] - 1 : bounds[1] + 1]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.floats(width=32), INTS, st.text(max_size=9), st.lists(st.floats(width=32), max_size=4)),
        min_size=1,
        max_size=9,
    )
)
@example([(math.nan, -(2**63), "", [math.inf, -math.inf, -0.0]), (-math.nan, 2**63 - 1, "é", [])])
def test_tensorflows_parser_gives_the_values_back_bit_by_bit(rows):
    floats, ints, texts, lists = zip(*rows, strict=True)
    texts = [text.encode("utf-8", "replace") for text in texts]
    columns = {"f": pa.array(floats, pa.float32()), "i": ints, "s": texts, "l": pa.array(lists, pa.list_(pa.float32()))}
    parsed = tf.io.parse_example(
        records_of(pa.table(columns)),
        {
            "f": tf.io.FixedLenFeature([], tf.float32),
            "i": tf.io.FixedLenFeature([], tf.int64),
            "s": tf.io.FixedLenFeature([], tf.string),
            "l": tf.io.RaggedFeature(tf.float32),
        },
    )
    assert parsed["f"].numpy().tobytes() == np.float32(floats).tobytes()
    assert parsed["l"].flat_values.numpy().tobytes() == np.float32([x for row in lists for x in row]).tobytes()
    assert parsed["l"].row_lengths().numpy().tolist() == [len(row) for row in lists]
    assert parsed["i"].numpy().tolist() == list(ints)
    assert parsed["s"].numpy().tolist() == texts


@pytest.mark.parametrize("values", [[], [[]], [[], []], [None, []]])
def test_a_list_without_any_value_is_a_feature_without_values(values):
    table = pa.table({name: pa.array(values, pa.list_(kind)) for name, kind in LISTS_OF.items()})
    expected = plain_example(dict.fromkeys(LISTS_OF))
    assert [tf.train.Example.FromString(record) for record in records_of(table)] == [expected] * len(values)


LISTS_OF = {"i": pa.int64(), "f": pa.float32(), "s": pa.string()}


def test_a_list_of_a_dictionary_is_a_list_of_its_values():
    array = pa.ListArray.from_arrays(pa.array([0, 2, 2, 3]), pa.array(["b", "a", "b"]).dictionary_encode())
    assert records_of(pa.table({"s": array})) == records_of(pa.table({"s": [["b", "a"], [], ["b"]]}))


def test_a_float64_beyond_float32_is_infinite():
    [record] = records_of(pa.table({"f": [1e300]}))
    assert tf.train.Example.FromString(record) == plain_example({"f": math.inf})


@pytest.mark.parametrize("rows", [0, 3])
def test_a_table_without_columns_or_rows_is_empty_examples(rows):
    table = pa.table({"i": pa.array([0] * rows, pa.int64())}).select([])
    assert records_of(table) == [tf.train.Example(features={}).SerializeToString()] * rows
    assert frame_records(pa.table({"i": pa.array([], pa.int64())})) == b""


def test_many_rows_are_encoded_in_bounded_batches(monkeypatch):
    table = pa.table({"i": np.arange(1000), "s": ["x" * (i % 7) for i in range(1000)]})
    whole = encode_examples(table)[0].tobytes()
    monkeypatch.setattr("tfrec.codec.example.BATCH_BYTES", 1000)
    assert encode_examples(table)[0].tobytes() == whole


def test_a_type_that_no_example_holds_is_named():
    with pytest.raises(SchemaError, match=r"column 'when' of type timestamp"):
        encode_examples(pa.table({"when": pa.array([0], pa.timestamp("s"))}))


def test_a_number_above_int64_is_named():
    with pytest.raises(SchemaError, match=r"column 'id' holds a number above 2⁶³ − 1"):
        encode_examples(pa.table({"id": pa.array([2**63], pa.uint64())}))


def test_a_null_in_a_list_is_named():
    with pytest.raises(SchemaError, match=r"column 'tags': a list holds a null"):
        encode_examples(pa.table({"tags": [["a", None]]}))
