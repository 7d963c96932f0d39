"""JSON lines: every line is a row or is rejected, whatever it holds, and the fast way reads what the slow way reads."""

from __future__ import annotations

import json

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from transforms.read import json_rows
from transforms.read.blocks import ReadBlocks
from transforms.read.csv_rows import LINE
from transforms.read.json_arrow import read_block
from transforms.read.json_lines import read_lines
from transforms.read.json_rows import JsonParser
from transforms.read.texts import list_texts, texts
from transforms.read.wanted import Wanted

WANTED = Wanted(("a", "b.c", "tags"), frozenset({"tags"}))
FAST = settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def as_texts(rows: pa.Table, wanted: Wanted) -> list[tuple]:
    """The rows as a feature would read them."""
    columns = [
        (list_texts if name in wanted.lists else texts)(rows.column(name).combine_chunks()).to_pylist()
        for name in wanted.columns
    ]
    return list(zip(*columns, strict=True))


def read(path, content: bytes, wanted: Wanted = WANTED, block_bytes: int = 1 << 20):
    """Rows as (line, cells) and rejected as (line, reason, text)."""
    path.write_bytes(content)
    parser = JsonParser("events", wanted)
    rows, rejected = [], []
    for block in ReadBlocks(header=False, block_bytes=block_bytes).process((0, str(path))):
        parsed, bad = parser.parse(block)
        rows += zip(parsed.column(LINE).to_pylist(), as_texts(parsed, wanted), strict=True)
        rejected += [(row.line, row.reason, row.text) for row in bad]
    return rows, rejected


MESSY = b"""\
{"a": 1, "b": {"c": "x"}, "tags": ["p", "", null, 2, true]}

{"a": 42.0, "b.c": "literal", "b": {"c": "nested"}, "other": {"deep": [1]}}\r
{"a": 2.5, "b.c": null, "b": {"c": 12345678901234567890}}
   \t
[1, 2]
{"a": 1
{"a": {"x": 1}}
{"a": [1]}
{"tags": [{"x": 1}]}
{"tags": [[1]]}
{"a": "\xff"}
{"a": "\\ud800"}
{"a": "two\\nlines"}
{"a": 1} {"a": 2}
{"b": 5, "a": true, "tags": "one"}
{"a": "\\u00e9\\ud83d\\ude00", "a": "last"}
{"a": NaN}
{}
null
{"a": "end"}"""
MESSY_ROWS = [
    (1, ("1", "x", ["p", "2", "true"])),
    (3, ("42", "literal", [])),
    (4, ("2.5", "12345678901234567890", [])),
    (16, ("true", "", ["one"])),
    (17, ("last", "", [])),
    (18, ("nan", "", [])),
    (19, ("", "", [])),
    (21, ("end", "", [])),
]
MESSY_REJECTED = {
    6: "not a JSON object",
    7: "not valid JSON: Expecting ',' delimiter",
    8: "a is an object, not a value; name one of its keys as a.KEY",
    9: "a is a list; set 'list: true' on its feature",
    10: "tags is an object",
    11: "tags is a list of lists",
    12: "not valid UTF-8",
    13: "a holds half of a surrogate pair",
    14: "a holds a control character",
    15: "not valid JSON: Extra data",
    20: "not a JSON object",
}


@pytest.mark.parametrize("block_bytes", [1, 7, 30, 64, 200, 1 << 20])
def test_a_messy_file_gives_the_same_rows_and_line_numbers_in_blocks_of_any_size(tmp_path, block_bytes):
    rows, rejected = read(tmp_path / "f", MESSY, block_bytes=block_bytes)
    assert rows == MESSY_ROWS
    assert [line for line, _, _ in rejected] == sorted(MESSY_REJECTED)
    for line, reason, text in rejected:
        assert reason.startswith(MESSY_REJECTED[line])
        assert text == MESSY.split(b"\n")[line - 1].removesuffix(b"\r").decode("utf-8", errors="replace")


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path):
    assert read(tmp_path / "f", b'\xef\xbb\xbf{"a": 1}\n')[0] == [(1, ("1", "", []))]


def test_text_that_people_read_may_have_several_lines(tmp_path):
    wanted = Wanted(("a",), texts=frozenset({"a"}))
    assert read(tmp_path / "f", b'{"a": "two\\nlines"}\n', wanted)[0] == [(1, ("two\nlines",))]


SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.sampled_from([42.0, 0.5, 1e16, 1e22, 2.0**53, -0.0, 1e-7, 0.1, 1e300, float("nan"), float("inf")]),
    st.floats(),
    st.text(st.sampled_from('aé"\\\u2028😀\n\x00Inf ,'), max_size=4),
)
VALUES = st.one_of(SCALARS, st.lists(SCALARS, max_size=3), st.dictionaries(st.sampled_from("cd"), SCALARS, max_size=2))
KEYS = st.sampled_from(["a", "b", "b.c", "tags", "x", "x.y"])
OBJECTS = st.dictionaries(KEYS, VALUES, max_size=5)


@st.composite
def like_rows(draw):
    """Objects whose values are of one type per key, as logs have them, but for few."""
    kinds = [st.integers(-(2**63), 2**63 - 1), st.floats(-1e6, 1e6), st.booleans(), st.text("ab", max_size=3)]
    kind = {key: draw(st.sampled_from(kinds)) for key in ("a", "c", "tags")}
    rows = []
    for _ in range(draw(st.integers(1, 12))):
        row = {"a": draw(kind["a"]), "b": {"c": draw(st.none() | kind["c"])}, "noise": draw(VALUES)}
        if draw(st.booleans()):
            row["tags"] = draw(st.lists(kind["tags"] | st.none(), max_size=3))
        rows.append(row)
    if draw(st.booleans()):
        rows.insert(draw(st.integers(0, len(rows))), draw(OBJECTS))
    return rows


@settings(FAST, max_examples=400)
@given(rows=like_rows() | st.lists(OBJECTS, min_size=1, max_size=6), is_ascii=st.booleans())
def test_what_arrow_reads_is_what_the_standard_library_reads(rows, is_ascii):
    lines = [json.dumps(row, ensure_ascii=is_ascii).encode("utf-8", "surrogatepass") for row in rows]
    fast = read_block(b"\n".join(lines) + b"\n", len(lines), WANTED)
    slow = read_lines(lines, WANTED)
    if fast is not None:
        assert slow.rejected == []
        assert as_texts(fast, WANTED) == as_texts(slow.rows, WANTED)


def test_ordinary_rows_are_read_by_arrow():
    row = {"a": 7, "b": {"c": "x"}, "tags": ["p"], "other": {"deep": [1, {"z": None}]}}
    for lines in ([row] * 3, [row, row | {"a": None}, {"tags": []}], [row | {"a": 0.5}, row]):
        content = "".join(json.dumps(line) + "\n" for line in lines).encode()
        assert read_block(content, len(lines), WANTED) is not None


def test_one_odd_line_slows_only_those_around_it(tmp_path, monkeypatch):
    slow: list[int] = []
    monkeypatch.setattr(
        json_rows, "read_lines", lambda lines, wanted: slow.append(len(lines)) or read_lines(lines, wanted)
    )
    lines = [json.dumps({"a": number, "b": {"c": "x"}}) for number in range(6400)]
    lines[3000] = '{"a": "no number"}'
    rows, _ = read(tmp_path / "f", "\n".join(lines).encode())
    assert [cells[0] for _, cells in rows] == [str(n) if n != 3000 else "no number" for n in range(6400)]
    assert slow == [200]


ANY_LINE = st.one_of(
    st.lists(
        st.sampled_from(
            [b"{", b"}", b'"a"', b":", b"1", b",", b"[", b"]", b"\r", b"\x00", b"\xff", b" ", b"NaN", b"Inf"]
        ),
        max_size=9,
    ).map(b"".join),
    OBJECTS.map(lambda row: json.dumps(row).encode()),
    st.binary(max_size=12).map(lambda line: line.replace(b"\n", b"")),
)


@settings(FAST, max_examples=400)
@example(lines=[b'{"a":1}{"a":2}', b'{"a":3}'], block_bytes=64, is_ended=True)
@example(lines=[b'{"a":Inf}'], block_bytes=64, is_ended=True)
@given(lines=st.lists(ANY_LINE, min_size=1, max_size=8), block_bytes=st.integers(1, 64), is_ended=st.booleans())
def test_whatever_the_bytes_every_line_that_is_not_blank_is_a_row_or_is_rejected(
    tmp_path, lines, block_bytes, is_ended
):
    content = b"\n".join(lines) + (b"\n" if is_ended else b"")
    rows, rejected = read(tmp_path / "f", content, block_bytes=block_bytes)
    seen = content.removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert sorted([line for line, _ in rows] + [line for line, _, _ in rejected]) == [
        number for number, line in enumerate(seen, start=1) if line.strip()
    ]
    assert (rows, rejected) == read(tmp_path / "f", content)


@FAST
@given(rows=st.lists(OBJECTS, min_size=1, max_size=8), block_bytes=st.integers(1, 200))
def test_a_row_is_read_alike_beside_any_neighbour(tmp_path, rows, block_bytes):
    lines = [json.dumps(row).encode() for row in rows]
    together = read(tmp_path / "f", b"\n".join(lines), block_bytes=block_bytes)
    alone = [read(tmp_path / "f", line) for line in lines]
    assert [cells for _, cells in together[0]] == [cells for rows_of, _ in alone for _, cells in rows_of]
    assert [reason for _, reason, _ in together[1]] == [reason for _, bad in alone for _, reason, _ in bad]


@pytest.mark.parametrize(
    ("row", "expected"),
    [
        ({"u.i": 1, "u": {"i": 2}}, "1"),
        ({"u.i": None, "u": {"i": 2}}, "2"),
        ({"u": {"i": 2}}, "2"),
        ({"u.i": 1}, "1"),
        ({"u": 3}, ""),
        ({"u": {}}, ""),
        ({"u": None}, ""),
    ],
)
@pytest.mark.parametrize("neighbour", [None, {"u.i": 7}, {"u": {"i": 7}}, {"u.i": "text"}])
def test_a_literal_key_with_a_dot_wins_over_the_nested_one(tmp_path, row, neighbour, expected):
    rows = [row] + ([neighbour] if neighbour else [])
    content = "".join(json.dumps(line) + "\n" for line in rows).encode()
    found, _ = read(tmp_path / "f", content, Wanted(("u.i",)))
    assert found[0] == (1, (expected,))


@pytest.mark.parametrize("neighbour", [{"tags": ["a"]}, {"tags": [1]}, {"tags": None}])
def test_an_end_of_line_in_an_element_rejects_its_row_only(tmp_path, neighbour):
    content = "".join(json.dumps(row) + "\n" for row in [neighbour, {}, {"tags": ["a", "b\nc"]}, neighbour])
    rows, rejected = read(tmp_path / "f", content.encode(), Wanted(("tags",), frozenset({"tags"})))
    assert [line for line, _ in rows] == [1, 2, 4]
    assert [(line, reason) for line, reason, _ in rejected] == [(3, "tags holds a control character")]
