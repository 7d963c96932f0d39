"""One column of the sample, and what can be said of its values alone."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NUMBER = re.compile(r"(?i)[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d{1,3})?")
# Unix times from 1990 to 2040; outside, a number is more likely something else.
_FIRST_SECOND, _LAST_SECOND = 631_152_000, 2_208_988_800
_UNITS: tuple[tuple[Literal["s", "ms", "us"], int], ...] = (("s", 1), ("ms", 1_000), ("us", 1_000_000))


@dataclass(frozen=True)
class Column:
    """Name and cells (without surrounding blanks) of a column; all columns of a table have the same rows."""

    name: str
    cells: tuple[str, ...]

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
        """0 and 1 only, as the transforms read flags; a column that is always 1 tells nothing apart."""
        return "0" in self.counts and set(self.counts) <= {"0", "1"}

    @cached_property
    def time_unit(self) -> Literal["s", "ms", "us"] | None:
        """The unit in which all values are times between 1990 and 2040."""
        if not self.numbers:
            return None
        for unit, per_second in _UNITS:
            if self.numbers[0] >= _FIRST_SECOND * per_second and self.numbers[-1] <= _LAST_SECOND * per_second:
                return unit
        return None

    @cached_property
    def mean_length(self) -> float:
        return sum(map(len, self.present)) / max(len(self.present), 1)

    @property
    def range_text(self) -> str:
        """`1..5, 5 distinct values` for numbers, `21 distinct values` for others."""
        values = f"{self.distinct:,} distinct value{'s' if self.distinct != 1 else ''}"
        return f"{self.numbers[0]:.12g}..{self.numbers[-1]:.12g}, {values}" if self.numbers else values
