"""Many rows in one record: what `pack_rows` writes, by plain loops."""

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.codec import pack_rows
from tfrec.errors import SchemaError

ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "i": st.integers(-(2**63), 2**63 - 1),
            "f": st.floats(width=32, allow_nan=False),
            "s": st.binary(max_size=5),
            "d": st.sampled_from(["", "a", "b"]),
            "l": st.none() | st.lists(st.integers(0, 9), max_size=4),
            "t": st.lists(st.binary(max_size=3), max_size=3),
        }
    ),
    max_size=23,
)
TYPES = {
    "i": pa.int64(),
    "f": pa.float32(),
    "s": pa.binary(),
    "d": pa.dictionary(pa.int32(), pa.string()),
    "l": pa.list_(pa.int32()),
    "t": pa.large_list(pa.binary()),
}


def plain_packed(rows, size):
    """The packed rows by loops."""
    packed = []
    for start in range(0, len(rows), size):
        group = rows[start : start + size]
        record = {name: [row[name] for row in group] for name in ("i", "f", "s", "d")}
        for name in ("l", "t"):
            record[name] = [value for row in group for value in row[name] or []]
            record[f"{name}/row_lengths"] = [len(row[name] or []) for row in group]
        packed.append(record)
    return packed


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, size=st.integers(2, 30), skip=st.integers(0, 3))
def test_a_record_holds_the_values_of_its_rows_and_how_many_each_has(rows, size, skip):
    table = pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in TYPES.items()})
    assert pack_rows(table.slice(skip), size).to_pylist() == plain_packed(rows[skip:], size)


def test_one_row_per_record_leaves_the_table_as_it_is():
    table = pa.table({"i": [1, None], "l": [[1], []]})
    assert pack_rows(table, 1) is table


def test_chunks_of_the_table_do_not_cut_records():
    table = pa.concat_tables([pa.table({"i": np.arange(4)}), pa.table({"i": np.arange(4, 7)})])
    assert pack_rows(table, 3).column("i").to_pylist() == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_null_among_single_values_is_a_schema_error():
    with pytest.raises(SchemaError, match=r"column 'age' has 1 nulls; .*rows_per_record: 1"):
        pack_rows(pa.table({"age": [1, None]}), 2)


@pytest.mark.parametrize("size", [0, -1])
def test_less_than_one_row_per_record_is_the_callers_error(size):
    with pytest.raises(ValueError, match=f"at least 1, got {size}"):
        pack_rows(pa.table({"i": [1]}), size)
