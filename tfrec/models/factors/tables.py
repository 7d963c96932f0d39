r"""Tables of factors: a row of numbers for each id, its bias behind them, and the rows that a step looks at.

Small tables take part in a step as a whole, with a dense gradient: finding the distinct rows of a batch would cost more
than all else. Of large ones the distinct rows of the batch are looked up, and nothing else is touched.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.layers.tables import look_up, normal_rows
from tfrec.losses.row_shares import row_shares
from tfrec.replicas import share

WHOLE_ROWS = 1 << 14  # tables of at most so many rows take part as a whole


class LookedUp(NamedTuple):
    """Rows of a table.

    Attributes:
        ids: whose rows these are. int64 [n]
        rows: float32 [n, width].
        places: of the ids that were asked for among the rows; of the shape of the ids. int64
        shares: of each row in what is looked up; over all replicas they add up to 1. float32 [n]
        scales: of each number in the penalty, its λ times its row's share. float32 [n, width]

    """

    ids: tf.Tensor
    rows: tf.Tensor
    places: tf.Tensor
    shares: tf.Tensor
    scales: tf.Tensor

    @property
    def penalty(self) -> tf.Tensor:
        """Mean of Σ_k λ_k x_k² over the rows x that are looked up; this replica's part of it. A scalar."""
        return scaled_squares(self.rows, self.scales)


def scaled_squares(values: tf.Tensor, scales: tf.Tensor) -> tf.Tensor:
    """Σ scale · value² over all numbers, in as few passes over them as can be. No gradient reaches the scales."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def total(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        scaled = x * scales
        return tf.tensordot(x, scaled, 2), lambda upstream: (2.0 * upstream) * scaled

    return total(values)


def with_ones(rows: tf.Tensor, place: int) -> tf.Tensor:
    """A column of ones put into `rows`, before column `place`; float32 [n, width] → [n, width + 1]."""

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def widened(x: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        is_last = place == x.shape[1]
        ones = tf.ones_like(x[:, :1])
        parts = [x, ones] if is_last else [x[:, :place], ones, x[:, place:]]

        def gradient(upstream: tf.Tensor | tf.IndexedSlices) -> tf.Tensor:
            upstream = tf.convert_to_tensor(upstream)  # of a lookup it comes as rows
            kept = upstream[:, :place]
            return kept if is_last else tf.concat([kept, upstream[:, place + 1 :]], axis=1)

        return tf.concat(parts, axis=1), gradient

    return widened(rows)


class FactorTable(tf.Module):
    """One table: `dim` factors, and behind them a bias where there is one."""

    def __init__(
        self,
        expected: np.ndarray,
        dim: int,
        *,
        has_bias: bool,
        reserved: int,
        l2: float,
        bias_l2: float,
        stddev: float,
        seed: list[int],
        name: str,
    ) -> None:
        """Draw the factors from N(0, stddev²); biases, padding and what no vocabulary has begin at 0.

        Args:
            expected: how often each id is expected to be looked up, in any unit. float [rows]
            dim: number of factors.
            has_bias: whether a column of biases follows them.
            reserved: ids below are padding and what no vocabulary has.
            l2: of the factors in the penalty.
            bias_l2: of the biases.
            stddev: of the first factors.
            seed: int [2].
            name: of the variable.

        """
        super().__init__(name=name)
        rows, width = len(expected), dim + has_bias
        initial = _with_zeros(normal_rows(rows, width, stddev=stddev, seed=seed), dim, reserved)
        self.variable = tf.Variable(initial, shape=[rows, width], dtype=tf.float32, name=name)
        # A sharded table is no tf.Variable, and never whole on one machine.
        self.is_whole = rows <= WHOLE_ROWS and isinstance(self.variable, tf.Variable)
        shares = expected / max(expected.sum(), 1e-9)
        weights = np.where(np.arange(width) < dim, l2, bias_l2)
        self._shares, self._weights = tf.constant(shares, tf.float32), tf.constant(weights, tf.float32)
        if self.is_whole:
            self._scales = tf.constant(shares[:, None] * weights, tf.float32)
        self._all_ids = tf.range(rows, dtype=tf.int64)
        self.dim, self.has_bias = dim, has_bias

    def look_up(self, ids: tf.Tensor) -> LookedUp:
        """The rows of the ids of a batch, int64 [batch] or [batch, n]."""
        if self.is_whole:
            # The penalty is then that of the expected batch: the same in the mean, with less noise.
            rows = tf.convert_to_tensor(self.variable)
            return LookedUp(self._all_ids, rows, ids, share(self._shares), share(self._scales))
        distinct, places, counts = tf.unique_with_counts(tf.reshape(ids, [-1]), out_idx=tf.int64)
        per_row = tf.cast(tf.size(ids) // tf.maximum(tf.shape(ids)[0], 1), tf.float32)
        shares = tf.cast(counts, tf.float32) * row_shares(tf.shape(ids)[0])[:1] / tf.maximum(per_row, 1.0)
        places = tf.reshape(places, tf.shape(ids))
        return LookedUp(distinct, look_up(self.variable, distinct), places, shares, self.scales(shares))

    def scales(self, shares: tf.Tensor) -> tf.Tensor:
        """Of rows with these shares in what is looked up. float32 [n] → [n, width]"""
        return shares[:, None] * self._weights


def _with_zeros(initial: Callable[..., tf.Tensor], dim: int, reserved: int) -> Callable[..., tf.Tensor]:
    """Like `initial`, with zeros in the columns from `dim` on and in the first `reserved` rows."""

    def zeroed(shape: Any = None, dtype: Any = None, **partition: Any) -> tf.Tensor:
        values = initial(shape, dtype, **partition)
        offset = partition.get("partition_offset")
        row = tf.range(values.shape[0]) + (0 if offset is None else int(offset[0]))
        keeps = (row >= reserved)[:, None] & (tf.range(values.shape[1]) < dim)
        return tf.where(keeps, values, 0.0)

    return zeroed
