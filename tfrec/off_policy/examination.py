"""How often users look at each position, and the weights that undo it.

The position-based model: P(click | position k, x) = θ_k γ(x), examination times relevance. Clicks give θ up to a
factor, so all of it is relative to the first position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.errors import ConfigError, DataError

LARGEST_WEIGHT = 10.0


@dataclass(frozen=True)
class Examination:
    """Examination of each position, relative to the first.

    Attributes:
        positions: ascending. int64 [positions]
        relative: θ_k / θ_first, 1 for the first. float [positions]
        low, high: 95 % interval, where the method has one. float [positions]

    """

    positions: np.ndarray
    relative: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None

    def at(self, positions: np.ndarray) -> np.ndarray:
        """θ of each row's position. Raises DataError for a position that was not estimated."""
        wanted = np.asarray(positions)
        place = np.minimum(np.searchsorted(self.positions, wanted), len(self.positions) - 1)
        unknown = self.positions[place] != wanted
        if unknown.any():
            raise DataError(
                f"position {wanted[unknown][0]} has no examination; estimated: {self.positions[0]} to "
                f"{self.positions[-1]}; estimate it from a log that has this position"
            )
        found: np.ndarray = self.relative[place]
        return found

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers, for JSON."""
        columns = {"relative": self.relative, "low": self.low, "high": self.high}
        return {"positions": self.positions.tolist()} | {
            name: values.tolist() for name, values in columns.items() if values is not None
        }


def inverse_examination_weights(
    positions: np.ndarray, examination: Examination, largest: float = LARGEST_WEIGHT
) -> np.ndarray:
    """min(θ_first / θ_k, largest) for each row: a click at k stands for so many clicks at the first position.

    A loss that is summed over clicks alone, such as a retrieval model's, becomes an estimate of the loss under full
    attention; clipping gives up some of that for less variance. Rows without a click are no evidence against an item
    that nobody looked at: do not weight them so.

    Args:
        positions: of each row. int [rows]
        examination: of the positions.
        largest: the largest weight, at least 1.

    Returns:
        float [rows], 1 at the first position.

    Source: Joachims, Swaminathan and Schnabel, "Unbiased learning-to-rank with biased feedback" (2017).

    """
    if not largest >= 1:
        raise ConfigError(f"largest: got {largest:g}; allowed: from 1, the weight of the first position")
    weights: np.ndarray = np.minimum(1 / np.maximum(examination.at(positions), 1 / largest), largest)
    return weights


def clicks_and_positions(clicks: np.ndarray, positions: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Clicks as floats, all positions ascending, and each row's place among them.

    Raises:
        DataError: lengths differ, there are no rows, a click is not 0 or 1, or the first position has no click.

    """
    clicked, at = np.asarray(clicks, np.float64), np.asarray(positions)
    if clicked.shape != at.shape or clicked.ndim != 1 or not len(clicked):
        raise DataError(f"clicks and positions: got the shapes {clicked.shape} and {at.shape}; wanted [rows], alike")
    if not np.isin(clicked, (0, 1)).all():
        raise DataError(f"clicks: got {clicked[~np.isin(clicked, (0, 1))][0]:g}; allowed: 0 and 1")
    known, place = np.unique(at, return_inverse=True)
    if not clicked[place == 0].any():
        raise DataError(f"no click at the first position, {known[0]}, which the others are compared with; log more")
    return clicked, known, place
