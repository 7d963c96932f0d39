"""What a table's features need of each row, whatever the format."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Wanted:
    """Columns that are read.

    Attributes:
        columns: their names; dotted paths of nested ones.
        lists: those whose cells are lists.
        texts: those that people only read, so that a cell may hold several lines; the others become lines of a
            vocabulary.

    """

    columns: tuple[str, ...]
    lists: frozenset[str] = frozenset()
    texts: frozenset[str] = frozenset()
