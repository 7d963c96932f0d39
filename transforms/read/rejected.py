"""Rows that are not used: each with table, file, line, reason and its text."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass

MAX_TEXT = 500  # characters of a rejected row that are kept


@dataclass(frozen=True)
class RejectedRow:
    """One unusable row of a log."""

    table: str
    file: str
    line: int
    reason: str
    text: str

    def to_json(self) -> str:
        row = asdict(self)
        row["text"] = self.text[:MAX_TEXT]
        return json.dumps(row, ensure_ascii=False, sort_keys=True)
