"""Block of JSON lines → Arrow table of the wanted keys, and the rejected lines. Blank lines are no rows."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from transforms.read.blocks import Block
from transforms.read.csv_rows import LINE
from transforms.read.json_arrow import read_block
from transforms.read.json_lines import ReadLines, read_lines
from transforms.read.rejected import RejectedRow
from transforms.read.texts import all_list_texts, texts
from transforms.read.unusable import control_characters
from transforms.read.wanted import Wanted

_PIECES = 32  # into which a block is cut where Arrow does not take it whole, so that one odd line slows few others
_MIN_PIECE = 64  # lines


class JsonParser:
    """Parses blocks of one table."""

    def __init__(self, name: str, wanted: Wanted) -> None:
        self._name = name
        self._wanted = wanted

    def parse(self, block: Block) -> tuple[pa.Table, list[RejectedRow]]:
        """Return the rows with the wanted columns and `__line__`, and the rejected rows."""
        count = block.content.count(b"\n") + (not block.content.endswith(b"\n"))
        rejected: list[tuple[int, str]] = []
        whole = read_block(block.content, count, self._wanted)
        if whole is not None:
            rows, kept = whole, np.arange(count)
        else:
            rows, kept, rejected = self._piecewise(_lines(block))
        odd = control_characters(rows, self._wanted)
        if odd:
            rejected += [(int(kept[row]), reason) for row, reason in odd.items()]
            is_kept = np.ones(len(kept), dtype=bool)
            is_kept[list(odd)] = False
            rows, kept = rows.filter(pa.array(is_kept)), kept[is_kept]
        return rows.append_column(LINE, pa.array(block.first_line + kept)), self._rejected(block, rejected)

    def _piecewise(self, lines: list[bytes]) -> tuple[pa.Table, np.ndarray, list[tuple[int, str]]]:
        """Rows, their positions among the lines, and (position, reason) of the other lines."""
        size = max(-(-len(lines) // _PIECES), _MIN_PIECE)
        tables, kept, rejected = [], [np.zeros(0, dtype=np.int64)], []
        for start in range(0, max(len(lines), 1), size):
            piece = lines[start : start + size]
            rows = read_block(b"\n".join(piece), len(piece), self._wanted)
            if rows is not None:
                tables.append(rows)
                kept.append(np.arange(start, start + len(piece)))
                continue
            found = read_lines(piece, self._wanted)
            tables.append(self._native(piece, found))
            kept.append(start + np.array(found.kept, dtype=np.int64))
            rejected += [(start + position, reason) for position, reason in found.rejected]
        return self._joined(tables), np.concatenate(kept), rejected

    def _native(self, piece: list[bytes], found: ReadLines) -> pa.Table:
        """The rows that were found, in native types if possible: as texts they would turn all others into texts."""
        if not 0 < len(found.kept) < len(piece):
            return found.rows
        rows = read_block(b"\n".join(piece[position] for position in found.kept), len(found.kept), self._wanted)
        return found.rows if rows is None else rows

    def _joined(self, tables: list[pa.Table]) -> pa.Table:
        """One table; where the types of a column differ between the pieces, all become texts."""
        columns = {}
        for name in self._wanted.columns:
            chunks = [table.column(name).combine_chunks() for table in tables]
            if len({chunk.type for chunk in chunks}) > 1:
                chunks = [all_list_texts(chunk) if name in self._wanted.lists else texts(chunk) for chunk in chunks]
            columns[name] = pa.chunked_array(chunks)
        return pa.table(columns)

    def _rejected(self, block: Block, rejected: list[tuple[int, str]]) -> list[RejectedRow]:
        lines = _lines(block) if rejected else []
        return [
            RejectedRow(
                self._name,
                block.path,
                block.first_line + position,
                reason,
                lines[position].decode("utf-8", errors="replace"),
            )
            for position, reason in sorted(rejected)
        ]


def _lines(block: Block) -> list[bytes]:
    return [line.removesuffix(b"\r") for line in block.content.removesuffix(b"\n").split(b"\n")]
