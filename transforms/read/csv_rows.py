"""Block → Arrow table of strings, one row per good line, and the rejected lines. Every line ends up in one of them."""

from __future__ import annotations

import io
import re

import numpy as np
import pyarrow as pa
import pyarrow.csv

from transforms.dataset_config import TableConfig
from transforms.read.blocks import Block
from transforms.read.rejected import RejectedRow

LINE = "__line__"  # int64 column of the parsed table: the row's line in its file
_UNIT_SEPARATOR = "\x1f"  # stands for a delimiter of several characters while Arrow parses


class CsvParser:
    """Parses blocks of one table."""

    def __init__(self, name: str, table: TableConfig, columns: tuple[str, ...], wanted: tuple[str, ...]) -> None:
        self._name = name
        self._table = table
        self._columns = columns
        self._wanted = wanted
        self._is_multi = len(table.delimiter) > 1
        self._closed = _closed_quotes(table) if table.quote is not None else None

    def parse(self, block: Block) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the rows with the wanted columns as strings and `__line__`, and the rejected rows."""
        rejected: list[RejectedRow] = []
        lines, numbers = self._clean(block, rejected)
        if len(numbers) == 0:
            empty = {name: pa.array([], pa.string()) for name in self._wanted}
            return pa.table({**empty, LINE: pa.array([], pa.int64())}), rejected
        malformed: list[tuple[int, str]] = []

        def skip(row: pa.csv.InvalidRow) -> str:
            position = row.number - 1
            malformed.append((position, f"expected {row.expected_columns} columns, got {row.actual_columns}"))
            text = row.text.replace(_UNIT_SEPARATOR, self._table.delimiter) if self._is_multi else row.text
            rejected.append(self._rejected(block, int(numbers[position]), malformed[-1][1], text))
            return "skip"

        table = pa.csv.read_csv(
            io.BytesIO(lines),
            read_options=pa.csv.ReadOptions(
                column_names=list(self._columns), use_threads=False, block_size=max(len(lines) + 1, 1 << 16)
            ),
            parse_options=pa.csv.ParseOptions(
                delimiter=_UNIT_SEPARATOR if self._is_multi else self._table.delimiter,
                quote_char=self._table.quote or False,
                invalid_row_handler=skip,
                ignore_empty_lines=False,
            ),
            convert_options=pa.csv.ConvertOptions(
                column_types=dict.fromkeys(self._columns, pa.string()),
                include_columns=list(self._wanted),
                strings_can_be_null=False,
                check_utf8=False,  # `_clean` did
            ),
        )
        good = np.delete(numbers, [position for position, _ in malformed]) if malformed else numbers
        if table.num_rows != len(good):
            raise AssertionError(f"{block.path}: {len(good)} lines became {table.num_rows} rows")
        return table.append_column(LINE, pa.array(good)), rejected

    def _clean(self, block: Block, rejected: list[RejectedRow]) -> tuple[bytes, np.ndarray]:
        """UTF-8 lines that Arrow can take one row each, and their line numbers; the rest goes to `rejected`."""
        # The file's last line may end with the first half of a line end.
        content = block.content
        if b"\r" in content:
            content = content.replace(b"\r\n", b"\n").removesuffix(b"\r")
        if not content:
            return content, np.zeros(0, dtype=np.int64)
        if self._table.encoding == "latin-1":
            content = content.decode("latin-1").encode()
        lines_in_block = content.count(b"\n") + (not content.endswith(b"\n"))
        numbers = np.arange(block.first_line, block.first_line + lines_in_block)
        if self._is_suspicious(content):
            kept = []
            for position, line in enumerate(content.removesuffix(b"\n").split(b"\n")):
                if not line:  # a blank line is no row
                    continue
                reason = self._why_unusable(line)
                if reason is None:
                    kept.append((position, line))
                else:
                    text = line.decode("utf-8", errors="replace")
                    rejected.append(self._rejected(block, int(numbers[position]), reason, text))
            content = b"".join(line + b"\n" for _, line in kept)
            numbers = numbers[[position for position, _ in kept]] if kept else numbers[:0]
        if self._is_multi:
            content = content.replace(self._table.delimiter.encode(), _UNIT_SEPARATOR.encode())
        return content, numbers

    def _is_suspicious(self, content: bytes) -> bool:
        """Whether any line of the block may be unusable; the common answer is no, and costs little."""
        if b"\n\n" in content or content.startswith(b"\n"):
            return True
        if b"\r" in content or b"\x00" in content or (self._is_multi and b"\x1f" in content):
            return True
        if self._table.quote is not None and self._table.quote.encode() in content:
            return True
        if not content.isascii():
            try:
                content.decode("utf-8")
            except UnicodeDecodeError:
                return True
        return False

    def _why_unusable(self, line: bytes) -> str | None:
        try:
            line.decode("utf-8")
        except UnicodeDecodeError:
            return "not valid UTF-8; set 'encoding' if the file is in another one"
        if b"\r" in line or b"\x00" in line or (self._is_multi and b"\x1f" in line):
            return "holds a control character"
        if self._closed is not None and not self._closed.fullmatch(line):
            return "a quote is not closed on its line; set 'quote' to null if quotes are ordinary characters"
        return None

    def _rejected(self, block: Block, line: int, reason: str, text: str) -> RejectedRow:
        return RejectedRow(self._name, block.path, line, reason, text)


def _closed_quotes(table: TableConfig) -> re.Pattern[bytes]:
    """Lines on which every quote that opens is closed, as Arrow reads them: a quote opens only at a field's start."""
    assert table.quote is not None
    quote, delimiter = re.escape(table.quote.encode()), re.escape(table.delimiter.encode())
    quoted = b"%b(?:[^%b]|%b%b)*+%b" % ((quote,) * 5)
    field = b"(?:%b|(?!%b))[^%b]*+" % (quoted, quote, delimiter)
    return re.compile(b"%b(?:%b%b)*+" % (field, delimiter, field), re.DOTALL)
