"""Why rows of a block are rejected: the first reason of each."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pyarrow as pa


class Reasons:
    """The first reason to reject each row, if any."""

    def __init__(self, rows: int) -> None:
        self.mask = np.zeros(rows, dtype=bool)
        self._found: dict[int, str] = {}

    def add(self, bad: pa.Array | np.ndarray, reason: Callable[[int], str]) -> None:
        bad = bad if isinstance(bad, np.ndarray) else bad.to_numpy(zero_copy_only=False)
        for row in np.flatnonzero(bad & ~self.mask).tolist():
            self._found[row] = reason(row)
        self.mask |= bad

    def any(self) -> bool:
        return bool(self._found)

    def found(self) -> list[tuple[int, str]]:
        return sorted(self._found.items())
