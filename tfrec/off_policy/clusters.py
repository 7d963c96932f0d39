"""Which rows of a log depend on each other: those of one user, or of one request."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.errors import DataError


@dataclass(frozen=True)
class Clusters:
    """A partition of the rows. Rows of one cluster may depend on each other, clusters may not.

    Attributes:
        order: rows sorted by cluster; None where every row is a cluster of its own. int64 [rows]
        starts: where each cluster begins in `order`. int64 [clusters]
        rows: number of rows.

    """

    order: np.ndarray | None
    starts: np.ndarray
    rows: int

    @classmethod
    def of(cls, labels: np.ndarray | None, rows: int) -> Clusters:
        """From one label per row (any values), or None for independent rows.

        Raises:
            DataError: another number of labels than rows.

        """
        if labels is None:
            return cls(None, np.arange(rows), rows)
        if np.shape(labels) != (rows,):
            raise DataError(f"clusters: got the shape {np.shape(labels)}; wanted one label per row, ({rows},)")
        _, index = np.unique(labels, return_inverse=True)
        counts = np.bincount(index)
        return cls(np.argsort(index, kind="stable"), np.cumsum(counts) - counts, rows)

    def __len__(self) -> int:
        return len(self.starts)

    def sums(self, values: np.ndarray) -> np.ndarray:
        """Sum over the rows of each cluster: float [..., rows] → [..., clusters]."""
        if self.order is None:
            return values
        return np.add.reduceat(values[..., self.order], self.starts, axis=-1)
