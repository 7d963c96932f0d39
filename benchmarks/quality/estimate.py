"""A figure with its interval, as tables print it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Estimate:
    """A mean with its 95 % interval."""

    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.mean:.4f} ({self.low:.4f}–{self.high:.4f})"

    @property
    def signed(self) -> str:
        return f"{self.mean:+.4f} ({self.low:+.4f}…{self.high:+.4f})"


def percentiles(drawn: np.ndarray, mean: float) -> Estimate:
    """The interval that holds 95 % of the draws. float [resamples]"""
    low, high = np.nanquantile(drawn, [0.025, 0.975])
    return Estimate(mean, float(low), float(high))
