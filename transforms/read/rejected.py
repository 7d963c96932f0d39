"""Rows that are not used: each with table, file, line, reason and its text."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass

FILE_INDEX_SHIFT = 40  # a row's place in the log: file index · 2⁴⁰ + line
MAX_TEXT = 500  # characters of a rejected row that are kept


@dataclass(frozen=True)
class RejectedRow:
    """One unusable row of a log."""

    table: str
    file: str
    line: int
    reason: str
    text: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", self.text[:MAX_TEXT])  # a line may be long, and many are held at once

    def to_json(self) -> str:
        row = asdict(self)
        row["text"] = self.text[:MAX_TEXT]
        return json.dumps(row, ensure_ascii=False, sort_keys=True)


def rejected_of(
    table: str, paths: Sequence[str], sources: Sequence[int], reason: str, texts: Sequence[str]
) -> list[RejectedRow]:
    """Rows found unusable after they were read, by their place in the log: file index · 2⁴⁰ + line."""
    return [
        RejectedRow(table, paths[source >> FILE_INDEX_SHIFT], source & ((1 << FILE_INDEX_SHIFT) - 1), reason, text)
        for source, text in zip(sources, texts, strict=True)
    ]
