"""Parquet: rows keep their numbers in row groups of any size, and a native cell means what its text means."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tfrec.errors import DataError
from transforms.read import parquet_rows
from transforms.read.csv_rows import LINE
from transforms.read.parquet_columns import columns_in
from transforms.read.parquet_file import schema_of
from transforms.read.parquet_rows import ParquetParser, ReadRowGroups
from transforms.read.texts import list_texts, texts
from transforms.read.wanted import Wanted


def read(path, wanted: Wanted):
    """Rows as (number, cells) and rejected as (number, reason, text)."""
    parser = ParquetParser("events", wanted)
    rows, rejected = [], []
    for block in ReadRowGroups().process((0, str(path))):
        parsed, bad = parser.parse(block)
        columns = [
            (list_texts if name in wanted.lists else texts)(parsed.column(name).combine_chunks()).to_pylist()
            for name in wanted.columns
        ]
        rows += zip(parsed.column(LINE).to_pylist(), zip(*columns, strict=True), strict=True)
        rejected += [(row.line, row.reason, row.text) for row in bad]
    return rows, rejected


def cells_of(path, values: pa.Array, **wanted) -> list:
    """The texts of one column."""
    pq.write_table(pa.table({"a": values}), path)
    rows, rejected = read(path, Wanted(("a",), **wanted))
    assert rejected == []
    return [cells[0] for _, cells in rows]


@pytest.mark.parametrize("part_rows", [1, 3, 1 << 20])
@pytest.mark.parametrize("group_rows", [1, 2, 7, 100])
def test_rows_keep_their_numbers_in_row_groups_and_parts_of_any_size(tmp_path, monkeypatch, group_rows, part_rows):
    monkeypatch.setattr(parquet_rows, "PART_ROWS", part_rows)
    ids = [f"u{number}" for number in range(20)]
    pq.write_table(pa.table({"a": ids}), tmp_path / "f", row_group_size=group_rows)
    assert read(tmp_path / "f", Wanted(("a",))) == ([(n + 1, (name,)) for n, name in enumerate(ids)], [])


NOON = datetime(2024, 1, 31, 12, 0, 0, 500_000, tzinfo=UTC)
COLUMNS = {
    "int32": (pa.array([1, None, -3], pa.int32()), ["1", "", "-3"]),
    "uint64": (pa.array([2**64 - 1], pa.uint64()), [str(2**64 - 1)]),
    "floats": (pa.array([42.0, 0.1, None, 1e300]), ["42", "0.1", "", "1e+300"]),
    "float32": (pa.array([42.0, 0.7], pa.float32()), ["42", "0.7"]),
    "float16": (pa.array([1.5, 2.0], pa.float16()), ["1.5", "2"]),
    "bools": (pa.array([True, False, None]), ["true", "false", ""]),
    "decimals": (pa.array([Decimal("12.50"), None]), ["12.50", ""]),
    "strings": (pa.array(["é", "", None]), ["é", "", ""]),
    "large strings": (pa.array(["x", None], pa.large_string()), ["x", ""]),
    "binary": (pa.array([b"x", None], pa.binary()), ["x", ""]),
    "dictionaries": (pa.array(["x", "y", None, "x"]).dictionary_encode(), ["x", "y", "", "x"]),
    "dates": (pa.array([date(2024, 1, 31), None]), ["2024-01-31", ""]),
    "times": (pa.array([NOON.replace(tzinfo=None)], pa.timestamp("ms")), ["2024-01-31 12:00:00.500"]),
    "nulls": (pa.nulls(2), ["", ""]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_every_type_has_its_text(tmp_path, kind):
    values, expected = COLUMNS[kind]
    assert cells_of(tmp_path / "f", values) == expected


@pytest.mark.parametrize("kind", [pa.list_, pa.large_list])
@pytest.mark.parametrize("element", [pa.int64(), pa.string(), pa.dictionary(pa.int32(), pa.string())])
def test_lists_lose_their_empty_elements(tmp_path, kind, element):
    rows = [[1, None, 2], [], None, [3]]
    if not pa.types.is_integer(element):
        rows = [["1", None, "2"], [""], None, ["3"]]
    values = pa.array(rows, kind(element))
    assert cells_of(tmp_path / "f", values, lists=frozenset({"a"})) == [["1", "2"], [], [], ["3"]]


def test_a_scalar_under_a_list_feature_is_a_list_of_one(tmp_path):
    assert cells_of(tmp_path / "f", pa.array([1, None]), lists=frozenset({"a"})) == [["1"], []]


def test_structs_are_read_by_dotted_paths_and_a_null_struct_has_null_fields(tmp_path):
    rows = [{"id": 1, "geo": {"city": "Rome"}}, None, {"id": 2, "geo": None}]
    pq.write_table(pa.table({"user": rows, "n": [7, 8, 9]}), tmp_path / "f")
    found, _ = read(tmp_path / "f", Wanted(("n", "user.id", "user.geo.city")))
    assert [cells for _, cells in found] == [("7", "1", "Rome"), ("8", "", ""), ("9", "2", "")]
    assert set(columns_in(schema_of(str(tmp_path / "f")))) == {"user.geo.city", "user.id", "n"}


def test_a_column_that_is_called_with_a_dot_wins(tmp_path):
    pq.write_table(pa.table({"user.id": ["flat"], "user": [{"id": "nested"}]}), tmp_path / "f")
    assert read(tmp_path / "f", Wanted(("user.id",)))[0] == [(1, ("flat",))]


UNUSABLE = {
    "a list": (pa.array([["x"], None]), "a is a list; set 'list: true' on its feature"),
    "a struct": (pa.array([{"k": 1}, None]), "a is an object, not a value; name one of its keys as a.KEY"),
    "bytes": (pa.array([b"\xff", b"ok"]), "a is not valid UTF-8"),
    "lines": (pa.array(["two\nlines", "ok"]), "a holds a control character"),
}


@pytest.mark.parametrize("kind", UNUSABLE)
def test_what_is_no_value_is_rejected_with_its_row_number_and_text(tmp_path, kind):
    values, reason = UNUSABLE[kind]
    pq.write_table(pa.table({"a": values, "b": ["left", "right"]}), tmp_path / "f")
    rows, rejected = read(tmp_path / "f", Wanted(("a", "b")))
    assert [number for number, _ in rows] == [2]
    assert [(number, why) for number, why, _ in rejected] == [(1, reason)]
    assert rejected[0][2] == f"{values[0].as_py()} | left"


def test_lists_of_lists_are_rejected(tmp_path):
    pq.write_table(pa.table({"a": [[["x"]], [], None]}), tmp_path / "f")
    rows, rejected = read(tmp_path / "f", Wanted(("a",), lists=frozenset({"a"})))
    assert rows == [(2, ([],)), (3, ([],))]
    assert [number for number, _, _ in rejected] == [1]


def test_a_file_without_rows_has_none(tmp_path):
    pq.write_table(pa.table({"a": pa.array([], pa.string())}), tmp_path / "f")
    assert read(tmp_path / "f", Wanted(("a",))) == ([], [])


@pytest.mark.parametrize("cut", ["footer", "page", "text", "empty"])
def test_a_file_that_is_no_whole_parquet_file_is_one_line_that_names_it(tmp_path, cut):
    path = tmp_path / "f.parquet"
    pq.write_table(pa.table({"a": [f"user {number}" for number in range(5000)]}), path, use_dictionary=False)
    whole = path.read_bytes()
    damaged = whole[:200] + b"\x00" * 3000 + whole[3200:]
    path.write_bytes({"footer": whole[: len(whole) // 2], "page": damaged, "text": b"a,b\n1,2\n", "empty": b""}[cut])
    with pytest.raises(DataError, match=r"f.parquet: cannot be read as Parquet") as caught:
        read(path, Wanted(("a",)))
    assert "\n" not in str(caught.value)
