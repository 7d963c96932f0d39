"""What a further column becomes: a feature of some kind, or nothing; and why."""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from transforms.infer.column import Column
from transforms.infer.names import names_a_code

SEPARATORS = ("|", ";", ", ", ",")
MAX_CATEGORIES = 30  # integers with at most so many values are names of categories
MAX_BUCKETED = 200
MAX_VALUES = 16  # the default bound of a multi-valued feature
_DECIMAL_COMMA = re.compile(r"[+-]?\d+(,\d+)?")
_MIN_FLAGS = 3
_MIN_SPLIT_SHARE = 0.1  # of the cells hold a separator: many items have one genre only
_TEXT_LENGTH = 8


@dataclass(frozen=True)
class Guess:
    """The keys of a feature beside its role; without any the column is not used."""

    settings: dict[str, Any] | None
    why: str

    @property
    def is_text(self) -> bool:
        return self.settings is not None and self.settings["kind"] == "text"


def guess_kind(column: Column, delimiter: str, entities: int, *, may_be_title: bool) -> Guess:
    """Guess the kind of one column.

    Args:
        column: the sampled cells.
        delimiter: of the table, which cannot separate values inside a cell.
        entities: how many users, items or events the sample has, whichever the column describes.
        may_be_title: whether long text becomes a `text` feature (the first one of the items does).

    """
    if column.unreadable is not None:
        return Guess(None, column.unreadable)
    if column.distinct == 0:
        return Guess(None, "no value in the sample")
    if column.lists is not None:
        return _list(column.lists)
    if column.distinct == 1:
        return Guess(None, f"the same value in every row of the sample: {next(iter(column.counts))!r:.40}")
    several = _several_values(column, delimiter)
    if several is not None:
        return several
    if column.numbers:
        return _number(column, entities)
    is_text = column.mean_length >= _TEXT_LENGTH or sum(" " in value for value in column.counts) > column.distinct / 2
    nearly_unique = column.distinct >= 0.8 * entities
    if nearly_unique and is_text and may_be_title:
        return Guess({"kind": "text"}, f"text, {column.range_text} in {entities:,}: shown, not learnt from")
    if nearly_unique and (is_text or column.distinct >= 0.95 * entities):
        return Guess(None, f"nearly every value is another one: {column.range_text} in {entities:,}")
    return _category(column, entities)


def flag_columns(columns: list[Column]) -> list[Column]:
    """The 0/1 columns, if they are enough to be one multi-valued feature; all-0 columns between them belong to it."""
    flags = [column for column in columns if column.is_flag and column.missing_share < 1]
    return flags if len(flags) >= _MIN_FLAGS and sum(any(column.is_set) for column in flags) >= _MIN_FLAGS else []


def guess_flags(flags: list[Column]) -> Guess:
    """All flag columns of a table as one feature."""
    most = max(map(sum, zip(*(column.is_set for column in flags), strict=True)))
    settings = {"kind": "categorical", "flags": [column.name for column in flags], "max_values": max(most, 2)}
    return Guess(settings, f"{len(flags)} columns of 0 and 1, up to {most} of them 1 in a row")


def _several_values(column: Column, delimiter: str) -> Guess | None:
    if all(_DECIMAL_COMMA.fullmatch(value) for value in column.counts):
        return None
    for separator in (*SEPARATORS, " "):
        length = _vector_length(column, separator) if separator != delimiter else 0
        if length:
            settings = {"kind": "vector", "length": length, "separator": separator}
            return Guess(settings, f"{length} numbers in each cell")
    for separator in SEPARATORS:
        if separator == delimiter or not any(separator in value for value in column.counts):
            continue
        cells = [[part for part in cell.split(separator) if part] for cell in column.present]
        parts = [part for cell in cells for part in cell]
        share = sum(len(cell) > 1 for cell in cells) / len(cells)
        # The parts of a list come again and again; those of a sentence with a comma do not.
        if share >= _MIN_SPLIT_SHARE and 1 < len(set(parts)) <= min(len(parts) / 2, column.distinct):
            most = max(map(len, cells))
            settings = {"kind": "categorical", "separator": separator, "max_values": min(most, MAX_VALUES)}
            why = (
                f"{share:.0%} of the cells hold {separator!r}; {len(set(parts)):,} distinct values, up to {most} in one"
            )
            return Guess(settings, why)
    return None


def _vector_length(column: Column, separator: str) -> int:
    """How many numbers every cell holds; 0 where some hold another number of them, or whole ones alone."""
    if not all(separator in value for value in column.counts):
        return 0
    bare = [value.strip("[]() ") for value in column.counts]
    cells = [value.split() if separator == " " else value.split(separator) for value in bare]
    parts = Column("", tuple(part.strip() for cell in cells for part in cell))
    is_vector = len(set(map(len, cells))) == 1 and parts.numbers and not parts.is_integer
    return len(cells[0]) if is_vector and len(cells[0]) > 1 and all(parts.cells) else 0


def _list(lists: tuple[tuple[str, ...], ...]) -> Guess:
    elements = Column("", tuple(element for cell in lists for element in cell if element))
    if elements.distinct == 0:
        return Guess(None, "lists without a value in the sample")
    if elements.numbers and not elements.is_integer:
        return _numbers_of_a_list(lists)
    most = max(map(len, lists))
    settings = {"kind": "categorical", "list": True, "max_values": min(max(most, 2), MAX_VALUES)}
    return Guess(settings, f"lists of up to {most} values, {elements.distinct:,} distinct")


def _numbers_of_a_list(lists: tuple[tuple[str, ...], ...]) -> Guess:
    """Lists of one length are vectors; of different ones perhaps the weights of another column's values."""
    lengths = {len(cell) for cell in lists if cell}
    if len(lengths) > 1:
        return Guess(None, "lists of broken numbers, which name no categories")
    length = lengths.pop()
    return Guess({"kind": "vector", "length": length, "list": True}, f"lists of {length} numbers each")


def _number(column: Column, entities: int) -> Guess:
    if column.is_integer and _numbers_the_rows(column):
        return Guess(None, f"numbers the rows: {column.range_text}")
    is_code = column.has_leading_zeros or (column.is_integer and names_a_code(column.name))
    if is_code and column.distinct >= 0.95 * entities:
        return Guess(None, f"nearly every value is another one: {column.range_text} in {entities:,}")
    if column.has_leading_zeros or (column.is_integer and names_a_code(column.name)):
        why = "has leading zeros" if column.has_leading_zeros else "its name says that the numbers are names"
        return Guess({"kind": "categorical"}, f"{column.range_text}; {why}")
    if column.is_integer and column.distinct <= MAX_CATEGORIES:
        doubt = "unsure, the sample is small: " if len(column.cells) < 5 * column.distinct else ""
        return Guess({"kind": "categorical"}, f"{doubt}whole numbers, {column.range_text}: taken for categories")
    settings: dict[str, Any] = {"kind": "numeric"}
    middle = column.numbers[len(column.numbers) // 2]
    if column.numbers[0] >= 0 and column.numbers[-1] > 100 * max(middle, 1):
        return Guess(settings | {"log": True}, f"{column.range_text}, median {middle:g}: a long tail, so log(1 + x)")
    if column.is_integer and column.distinct <= MAX_BUCKETED:
        return Guess(settings | {"buckets": 8}, f"whole numbers, {column.range_text}: 8 buckets is a guess")
    return Guess(settings, f"a number, {column.range_text}")


def _numbers_the_rows(column: Column) -> bool:
    """Whether each value is the one before plus one, such as an index that was written along."""
    values = [int(cell) for cell in column.cells if cell]
    return len(values) == len(column.cells) and all(b == a + 1 for a, b in pairwise(values))


def _category(column: Column, entities: int) -> Guess:
    doubts = []
    settings: dict[str, Any] = {"kind": "categorical"}
    if column.numeric_share >= 0.9:
        odd = next(value for value in column.counts if not Column(column.name, (value,)).numbers)
        doubts.append(f"nearly all are numbers, but not {odd!r:.40}")
    if all(_DECIMAL_COMMA.fullmatch(value) for value in column.counts):
        doubts.append("numbers with a decimal comma are not read as numbers; write a point")
    if column.distinct > 0.5 * entities:
        doubts.append(f"so many in {entities:,} rows that those of one row are left out")
        settings["min_count"] = 2
    return Guess(settings, column.range_text + (f"; unsure: {'; '.join(doubts)}" if doubts else ""))
