"""How a table is written: delimiter, quotes, header; found by trying each and counting the columns."""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from tfrec.errors import DataError
from transforms.infer.column import Column
from transforms.infer.names import role_of_name
from transforms.infer.sample import Sample

# Tried in this order; of the later ones the one with the most columns wins, since rows are full of commas and blanks.
_DECISIVE = ("::", "\t")
_COMMON = (",", ";", "|")
_MIN_SHARE = 0.9  # of the lines must have the same number of columns
_NAME = re.compile(r"[^\W\d](?:[^\W\d]|[ _.:/()%#-])*")  # words without digits
_NUMBER = re.compile(r"[+-]?[\d.]+")


@dataclass(frozen=True)
class Dialect:
    """How a table is written, with the reasons for people.

    Of a format other than CSV only the columns and `odd_share` tell something; its header is the columns' names.
    """

    delimiter: str
    quote: str | None
    header: tuple[str, ...] | None  # as it stands in the file
    header_why: str
    columns: int
    odd_share: float  # of lines with another number of columns, or a quote that is not closed; or that are no objects
    format: Literal["csv", "jsonl", "parquet"] = "csv"
    rare: tuple[str, ...] = ()  # keys of JSON lines that the run must be told of


@dataclass(frozen=True)
class Table:
    """A sampled table; columns without a header are called `column_1` and so on until more is known of them."""

    sample: Sample
    dialect: Dialect
    columns: tuple[Column, ...]

    def column(self, name: str) -> Column | None:
        return next((column for column in self.columns if column.name == name), None)

    @property
    def rows(self) -> int:
        return len(self.columns[0].cells)


def read_table(sample: Sample) -> Table:
    """Find the dialect and split the sample into columns.

    Raises:
        DataError: there is one column only, no delimiter fits, a name stands twice, or there are no rows.

    """
    delimiter, quote = _delimiter(sample)
    split = [[_split(line, delimiter, quote) for line in lines] for lines in sample.lines]
    count = _usual(split[0])
    for path, rows in zip(sample.paths, split, strict=True):
        if _usual(rows) != count:
            raise DataError(
                f"{path}: has {_usual(rows)} columns where {sample.paths[0]} has {count}; give logs of one form"
            )
    whole = [[row for row in rows if row is not None and len(row) == count] for rows in split]
    header, why = _header(whole[0])
    if header is not None and len(set(header)) < len(header):
        twice = next(name for name in header if header.count(name) > 1)
        raise DataError(f"{sample.paths[0]}: the header names column {twice!r} twice; rename one")
    data = [row for rows in whole for row in (rows[1:] if header is not None else rows)]
    if not data:
        raise DataError(f"{sample.names}: holds a header and no rows; name a file with some")
    lines = sum(map(len, split))
    dialect = Dialect(delimiter, quote, header, why, count, 1 - sum(map(len, whole)) / lines)
    names = header or tuple(f"column_{number}" for number in range(1, count + 1))
    cells = zip(*data, strict=True)
    return Table(
        sample,
        dialect,
        tuple(Column(name, tuple(cell.strip() for cell in column)) for name, column in zip(names, cells, strict=True)),
    )


def _delimiter(sample: Sample) -> tuple[str, str | None]:
    lines = sample.lines[0]
    for candidates in (_DECISIVE, _COMMON, (" ",)):
        fitting: list[tuple[int, str, str | None]] = []
        for delimiter in candidates:
            quote = _quote(lines, delimiter)
            columns = _fits(lines, delimiter, quote)
            if columns:
                fitting.append((columns, delimiter, quote))
        if fitting:
            _, delimiter, quote = max(fitting, key=lambda found: found[0])  # the first of equals
            return delimiter, quote
    raise DataError(
        f"{sample.paths[0]}: one column, or columns that no delimiter splits evenly (tried comma, tab, ';', '|', '::' "
        "and blank); a log needs a user and an item column, the same number of columns on each line"
    )


def _quote(lines: tuple[str, ...], delimiter: str) -> str | None:
    """`"` where reading it as a quote makes the lines more even, or where nothing speaks against it in a CSV."""
    if len(delimiter) > 1:
        return None
    if not any('"' in line for line in lines):
        return '"' if delimiter in ",;" else None
    even = {quote: _even(lines, delimiter, quote) for quote in ('"', None)}
    if even['"'] != even[None]:
        return max(even, key=lambda quote: even[quote])
    return '"' if any(line.startswith('"') or f'{delimiter}"' in line for line in lines) else None


def _even(lines: tuple[str, ...], delimiter: str, quote: str | None) -> int:
    rows = [_split(line, delimiter, quote) for line in lines]
    return sum(row is not None and len(row) == _usual(rows) for row in rows)


def _fits(lines: tuple[str, ...], delimiter: str, quote: str | None) -> int:
    """The number of columns if nearly all lines, and the first, have the same number above one; else 0."""
    rows = [_split(line, delimiter, quote) for line in lines]
    count = _usual(rows)
    even = sum(row is not None and len(row) == count for row in rows)
    first = rows[0]
    is_first_even = first is not None and len(first) == count
    return count if count > 1 and is_first_even and even >= _MIN_SHARE * len(rows) else 0


def _usual(rows: list[list[str] | None]) -> int:
    counts = Counter(len(row) for row in rows if row is not None)
    return counts.most_common(1)[0][0] if counts else 0


def _split(line: str, delimiter: str, quote: str | None) -> list[str] | None:
    """The cells of a line; None where a quote is not closed on it."""
    if quote is None or quote not in line:
        return line.split(delimiter)
    try:
        return next(csv.reader([line], delimiter=delimiter, quotechar=quote, strict=True))
    except csv.Error:
        return None


def _header(rows: list[list[str]]) -> tuple[tuple[str, ...] | None, str]:
    """The header, if the first line is one, and why."""
    first, rest = rows[0], rows[1:]
    cells = [cell.strip() for cell in first]
    if any(_NUMBER.fullmatch(cell) for cell in cells) or not any(cells):
        return None, "the first line has values, not names"
    known = [cell for cell in cells if role_of_name(cell) is not None]
    if known:
        return tuple(first), f"the first line has names such as {known[0]!r}"
    for position, name in enumerate(cells):
        below = [row[position].strip() for row in rest if row[position].strip()]
        if below and all(_NUMBER.fullmatch(cell) for cell in below):
            return tuple(first), f"{name!r} stands above numbers"
    are_names = all(_NAME.fullmatch(cell) for cell in cells)
    again = any(cell == row[position].strip() for row in rest for position, cell in enumerate(cells))
    if are_names and not again and rest:
        return tuple(first), "unsure: the first line's words do not come again below them"
    return None, "unsure: the first line looks like the others"
