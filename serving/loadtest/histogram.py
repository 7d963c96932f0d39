"""A histogram of times with a bounded relative error, as Gil Tene's HdrHistogram has it.

Values of 2^b and more share a bucket with those that have the same first b + 1 bits: whatever the range, a bucket is
narrower than 2^−b of its values. Two histograms add up, so processes and seconds can be counted apart.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

FINE_BITS = 10  # 0.1 %: percentiles
COARSE_BITS = 5  # 3 %: one histogram for every second


class Histogram:
    """Counts of whole microseconds; only buckets that are not empty take room."""

    def __init__(self, bits: int = FINE_BITS) -> None:
        self._bits = bits
        self._counts: dict[int, int] = {}
        self.count = 0
        self.total = 0
        self.max = 0

    def record(self, microseconds: int) -> None:
        """Count one value; below 0 counts as 0, which clocks may give."""
        value = max(microseconds, 0)
        bucket = self._bucket(value)
        self._counts[bucket] = self._counts.get(bucket, 0) + 1
        self.count += 1
        self.total += value
        self.max = max(self.max, value)

    def add(self, other: Histogram) -> None:
        """Count all that `other` has counted; it must have as many bits."""
        if other._bits != self._bits:
            raise ValueError(f"{other._bits} bits are added to {self._bits}")
        for bucket, count in other._counts.items():
            self._counts[bucket] = self._counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.max = max(self.max, other.max)

    @property
    def mean(self) -> float:
        """Mean in microseconds; NaN where nothing was counted."""
        return self.total / self.count if self.count else math.nan

    def percentile(self, percent: float) -> float:
        """The smallest value that `percent` % of the counted do not exceed, or up to 2^−bits more; NaN of none."""
        if not self.count:
            return math.nan
        # The smallest float error below a whole rank must not make it the next one.
        rank = max(1, math.ceil(round(percent / 100 * self.count, 6)))
        reached = 0
        for highest, count in self:
            reached += count
            if reached >= rank:
                return min(highest, self.max)
        return self.max

    def __iter__(self) -> Iterator[tuple[int, int]]:
        """The highest value of each bucket that is not empty, with its count; ascending."""
        for bucket in sorted(self._counts):
            yield self._highest(bucket), self._counts[bucket]

    def _bucket(self, value: int) -> int:
        shift = max(0, value.bit_length() - self._bits - 1)
        return (shift << self._bits) + (value >> shift)

    def _highest(self, bucket: int) -> int:
        shift = max(0, (bucket >> self._bits) - 1)
        return ((bucket - (shift << self._bits) + 1) << shift) - 1
