"""Files → blocks → rows: whatever stands in a file, every line is a row or is rejected, under its own number."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from transforms.dataset_config import TableConfig
from transforms.read.blocks import ReadBlocks
from transforms.read.csv_rows import LINE, CsvParser

COLUMNS = ("a", "b", "c")
BLOCK_SIZES = [1, 2, 3, 5, 7, 11, 16, 23, 32, 47, 64, 1 << 20]


def read(path, content: bytes, block_bytes: int = 1 << 20, **table):
    """Rows as (line, cells) and rejected as (line, reason, text), through blocks of the given size."""
    path.write_bytes(content)
    config = TableConfig(files="x", **({"header": False, "columns": COLUMNS} | table))
    columns = config.columns or COLUMNS
    parser = CsvParser("events", config, columns, columns)
    rows, rejected = [], []
    for block in ReadBlocks(header=config.header, block_bytes=block_bytes).process((0, str(path))):
        parsed, bad = parser.parse(block)
        rows += [(row.pop(LINE), tuple(row.values())) for row in parsed.to_pylist()]
        rejected += [(row.line, row.reason, row.text) for row in bad]
    return rows, sorted(rejected)


MESSY = (
    b"a,b,c\n"  # 1
    b'1,"x, y",\xc3\xa9t\xc3\xa9\n'  # 2
    b"\n"  # 3: blank, so no row
    b"only,two\r\n"  # 4
    b'4,"not closed,z\n'  # 5
    b"5,bad \xff utf,z\n"  # 6
    b"6,nul\x00,z\n"  # 7
    b"7,car\rriage,z\n"  # 8
    b'8,"say ""hi""",z\n'  # 9
    b'9,mid"dle,"z\n'  # 10: the quote of the last field opens and is not closed, though there are two quotes
    b"10,x,y,too many\n"  # 11
    b"11,last,\xe2\x80\xa8"  # 12: a line separator of Unicode is an ordinary character
)
MESSY_ROWS = [
    (1, ("a", "b", "c")),
    (2, ("1", "x, y", "été")),
    (9, ("8", 'say "hi"', "z")),
    (12, ("11", "last", "\u2028")),
]
MESSY_REJECTED = {
    4: "expected 3 columns, got 2",
    5: "a quote is not closed",
    6: "not valid UTF-8",
    7: "holds a control character",
    8: "holds a control character",
    10: "a quote is not closed",
    11: "expected 3 columns, got 4",
}


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_a_messy_file_gives_the_same_rows_and_line_numbers_in_blocks_of_any_size(tmp_path, block_bytes):
    rows, rejected = read(tmp_path / "f", MESSY, block_bytes)
    assert rows == MESSY_ROWS
    assert [line for line, _, _ in rejected] == sorted(MESSY_REJECTED)
    for line, reason, text in rejected:
        assert reason.startswith(MESSY_REJECTED[line])
        assert text == MESSY.split(b"\n")[line - 1].removesuffix(b"\r").decode("utf-8", errors="replace")


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_a_header_is_line_1_and_its_byte_order_mark_is_no_text(tmp_path, block_bytes):
    rows, _ = read(tmp_path / "f", b"\xef\xbb\xbfa,b,c\r\n1,2,3\r\n4,5,6", block_bytes, header=True, columns=None)
    assert rows == [(2, ("1", "2", "3")), (3, ("4", "5", "6"))]


@pytest.mark.parametrize("block_bytes", BLOCK_SIZES)
def test_without_a_header_the_byte_order_mark_is_left_out_of_the_first_cell(tmp_path, block_bytes):
    rows, _ = read(tmp_path / "f", b"\xef\xbb\xbf1,2,3\n", block_bytes)
    assert rows == [(1, ("1", "2", "3"))]


@pytest.mark.parametrize("ending", [b"\n", b"\r\n"])
@pytest.mark.parametrize("is_ended", [True, False])
@pytest.mark.parametrize("delimiter", [",", "\t", "|", "::", ";", " "])
def test_every_delimiter_and_line_ending_gives_the_same_rows(tmp_path, delimiter, ending, is_ended):
    cells = [("1", "x-y", "z"), ("2", "", "é"), ("", "p.q", "")]
    content = ending.join(delimiter.join(row).encode() for row in cells) + (ending if is_ended else b"")
    rows, rejected = read(tmp_path / "f", content, 8, delimiter=delimiter, quote=None)
    assert rows == list(enumerate(cells, start=1))
    assert rejected == []


def test_without_quoting_quotes_are_ordinary_characters(tmp_path):
    rows, rejected = read(tmp_path / "f", b'1,"x,y"\n2,",3\n', quote=None)
    assert rows == [(1, ("1", '"x', 'y"')), (2, ("2", '"', "3"))]
    assert rejected == []


def test_latin_1_is_read_as_latin_1_also_in_rejected_text(tmp_path):
    content = "1|Amélie|x\n2|ÿ\n".encode("latin-1")
    rows, rejected = read(tmp_path / "f", content, delimiter="|", encoding="latin-1")
    assert rows == [(1, ("1", "Amélie", "x"))]
    assert rejected == [(2, "expected 3 columns, got 2", "2|ÿ")]


def test_rejected_text_of_a_long_delimiter_is_as_in_the_file(tmp_path):
    rows, rejected = read(tmp_path / "f", b"1::2\n1::2::3\n", delimiter="::", quote=None)
    assert rows == [(2, ("1", "2", "3"))]
    assert rejected == [(1, "expected 3 columns, got 2", "1::2")]


CELL = st.text(st.sampled_from('ab", |:é\u2028\x85\x1f\t1'), max_size=5)
TABLE = st.lists(st.tuples(CELL, CELL, CELL), min_size=1, max_size=12)
FAST = settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@FAST
@given(cells=TABLE, block_bytes=st.integers(1, 64), delimiter=st.sampled_from(",\t|;"), crlf=st.booleans())
def test_what_python_s_csv_module_writes_is_read_back(tmp_path, cells, block_bytes, delimiter, crlf):
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, lineterminator="\r\n" if crlf else "\n").writerows(cells)
    rows, rejected = read(tmp_path / "f", text.getvalue().encode(), block_bytes, delimiter=delimiter)
    assert rows == list(enumerate(cells, start=1))
    assert rejected == []


@FAST
@given(
    cells=st.lists(st.lists(st.text(st.sampled_from("ab:é\u2028\x0c "), max_size=4), min_size=1, max_size=4)),
    block_bytes=st.integers(1, 64),
)
def test_a_long_delimiter_cuts_where_str_split_cuts(tmp_path, cells, block_bytes):
    lines = ["::".join(row) for row in cells]
    rows, rejected = read(
        tmp_path / "f", "".join(f"{line}\n" for line in lines).encode(), block_bytes, delimiter="::", quote=None
    )
    expected = [(number, tuple(line.split("::"))) for number, line in enumerate(lines, start=1) if line]
    assert rows == [(number, row) for number, row in expected if len(row) == 3]
    assert [line for line, _, _ in rejected] == [number for number, row in expected if len(row) != 3]


ANY_LINE = st.lists(
    st.sampled_from([b"a", b",", b",", b'"', b'""', b"\r", b"\x00", b"\xff", "é".encode(), b" ", b"\x1f"]), max_size=9
).map(b"".join)


@settings(FAST, max_examples=400)
@given(lines=st.lists(ANY_LINE, min_size=1, max_size=8), block_bytes=st.integers(1, 64), is_ended=st.booleans())
def test_whatever_the_bytes_every_line_that_is_not_blank_is_a_row_or_is_rejected(
    tmp_path, lines, block_bytes, is_ended
):
    content = b"\n".join(lines) + (b"\n" if is_ended else b"")
    rows, rejected = read(tmp_path / "f", content, block_bytes)
    assert sorted([line for line, _ in rows] + [line for line, _, _ in rejected]) == [
        number for number, line in enumerate(content.split(b"\n"), start=1) if line.removesuffix(b"\r")
    ]
    assert (rows, rejected) == read(tmp_path / "f", content)


@settings(FAST, max_examples=300)
@given(line=ANY_LINE.filter(lambda line: b"\r" not in line and b"\xff" not in line and b"\x00" not in line))
def test_quotes_are_read_character_by_character_as_rfc_4180_says(tmp_path, line):
    rows, rejected = read(tmp_path / "f", line + b"\nx,y,z\n")
    cells = cells_of(line.decode())
    good = cells is not None and len(cells) == 3
    assert rows == ([(1, tuple(cells))] if good else []) + [(2, ("x", "y", "z"))]
    assert len(rejected) == (not good and line != b"")


def cells_of(line: str) -> list[str] | None:
    """A state machine, one character at a time; None where a quote stays open."""
    cells, state, at = [""], "start", 0
    while at < len(line):
        sign = line[at]
        if state == "quoted":
            if sign == '"' and line[at + 1 : at + 2] == '"':
                cells[-1] += '"'
                at += 1
            elif sign == '"':
                state = "plain"
            else:
                cells[-1] += sign
        elif sign == ",":
            cells.append("")
            state = "start"
        elif sign == '"' and state == "start":
            state = "quoted"
        else:
            cells[-1] += sign
            state = "plain"
        at += 1
    return None if state == "quoted" else cells
