"""One column of the sample, and what can be said of its values alone."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import pyarrow as pa

from transforms.read.iso_times import iso_nanoseconds

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"(?i)[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?")
# Unix times from 1990 to 2040; outside, a number is more likely something else.
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 2_208_988_800
_UNITS: tuple[tuple[TimeUnit, int], ...] = (("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9))
_DATE = re.compile(r"\s*\d{4}-\d\d-\d\d")


@dataclass(frozen=True)
class Column:
    """Name and cells (without surrounding blanks) of a column; all columns of a table have the same rows.

    Attributes:
        name: as in the header; of nested columns the dotted path.
        cells: the texts of the cells, "" where missing.
        lists: the elements of each cell, where the cells are lists.
        unreadable: why no feature can read the column, if so.

    """

    name: str
    cells: tuple[str, ...]
    lists: tuple[tuple[str, ...], ...] | None = None
    unreadable: str | None = None

    @property
    def is_scalar(self) -> bool:
        """Whether a cell is one value, as those with a role must be."""
        return self.lists is None and self.unreadable is None

    @cached_property
    def present(self) -> tuple[str, ...]:
        return tuple(cell for cell in self.cells if cell)

    @cached_property
    def counts(self) -> Counter[str]:
        return Counter(self.present)

    @property
    def distinct(self) -> int:
        return len(self.counts)

    @property
    def missing_share(self) -> float:
        return 1 - len(self.present) / max(len(self.cells), 1)

    @property
    def is_unique(self) -> bool:
        """Whether hardly any value stands twice, as in the key of a users or items table."""
        return bool(self.present) and self.distinct >= 0.99 * len(self.cells)

    @cached_property
    def numeric_share(self) -> float:
        numeric = sum(count for value, count in self.counts.items() if _NUMBER.fullmatch(value))
        return numeric / max(len(self.present), 1)

    @cached_property
    def numbers(self) -> tuple[float, ...]:
        """The values, ascending, if all of them are numbers; else nothing."""
        if not self.present or self.numeric_share < 1:
            return ()
        return tuple(sorted(float(value) for value in self.present))

    @cached_property
    def is_integer(self) -> bool:
        return bool(self.counts) and all(_INTEGER.fullmatch(value) for value in self.counts)

    @cached_property
    def has_leading_zeros(self) -> bool:
        return any(len(value) > 1 and value[0] == "0" and value.isdigit() for value in self.counts)

    @cached_property
    def is_flag(self) -> bool:
        """0 and 1 only, or true and false, as flags are read; a column that is always 1 tells nothing apart."""
        found = set(self.counts)
        return ("0" in found and found <= {"0", "1"}) or ("false" in found and found <= {"false", "true"})

    @property
    def is_set(self) -> tuple[bool, ...]:
        """Of a flag: where it is 1."""
        return tuple(cell in ("1", "true") for cell in self.cells)

    @cached_property
    def is_truth(self) -> bool:
        """Both true and false, as JSON and Parquet have them."""
        return set(self.counts) == {"false", "true"}

    @cached_property
    def time_unit(self) -> TimeUnit | None:
        """The unit in which nearly all values are times between 1990 and 2040; a broken clock is no other unit."""
        if not self.numbers:
            return "iso" if self.iso_range else None
        first, last = _inner(self.numbers)
        for unit, per_second in _UNITS:
            if first >= _FIRST_SECOND * per_second and last <= _LAST_SECOND * per_second:
                return unit
        return None

    @cached_property
    def iso_range(self) -> tuple[str, str] | None:
        """The first and the last time, if all values are ISO texts, and nearly all of times between 1990 and 2040."""
        if not self.present or not all(_DATE.match(value) for value in self.counts):
            return None
        values = pa.array(self.counts, pa.string())
        times, bad = iso_nanoseconds(values)
        if bad.any():
            return None
        nanoseconds = times.to_numpy()
        first, last = _inner(sorted(nanoseconds.tolist()))
        if first < _FIRST_SECOND * 10**9 or last > _LAST_SECOND * 10**9:
            return None
        return values[int(nanoseconds.argmin())].as_py(), values[int(nanoseconds.argmax())].as_py()

    @cached_property
    def mean_length(self) -> float:
        return sum(map(len, self.present)) / max(len(self.present), 1)

    @property
    def range_text(self) -> str:
        """`1..5, 5 distinct values` for numbers, `21 distinct values` for others."""
        values = f"{self.distinct:,} distinct value{'s' if self.distinct != 1 else ''}"
        return f"{self.numbers[0]:.12g}..{self.numbers[-1]:.12g}, {values}" if self.numbers else values


def _inner(ordered: Sequence[float]) -> tuple[float, float]:
    """The least and the greatest but for one in a hundred at each end."""
    odd = len(ordered) // 100
    return ordered[odd], ordered[-1 - odd]
