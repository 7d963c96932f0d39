"""Why rows of a block are not used: rejected because they cannot be read, or left out because the config says so."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import numpy as np
import pyarrow as pa


class Reasons:
    """The first reason to reject each row, if any; and which of the others are left out."""

    def __init__(self, rows: int) -> None:
        self.mask = np.zeros(rows, dtype=bool)
        self._found: dict[int, str] = {}
        self._left_out: list[tuple[np.ndarray, str]] = []

    def add(self, bad: pa.Array | np.ndarray, reason: Callable[[int], str]) -> None:
        """Reject the rows of the mask `bad` that have no reason yet; `reason` tells that of a row by its number."""
        bad = bad if isinstance(bad, np.ndarray) else bad.to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(bad & ~self.mask).tolist():
            self._found[row] = reason(row)
        self.mask |= bad

    def leave_out(self, unwanted: np.ndarray, reason: str) -> None:
        """Leave rows out that are sound but not wanted; a row that is also rejected counts as rejected."""
        if unwanted.any():
            self._left_out.append((unwanted, reason))

    def any(self) -> bool:
        return bool(self._found) or bool(self._left_out)

    def found(self) -> list[tuple[int, str]]:
        return sorted(self._found.items())

    def used(self) -> tuple[np.ndarray, Counter[str]]:
        """Mask of the rows to use, and how many sound ones are left out for each reason (the first counts)."""
        used = ~self.mask
        counts: Counter[str] = Counter()
        for unwanted, reason in self._left_out:
            counts[reason] += int((unwanted & used).sum())
            used &= ~unwanted
        return used, +counts
