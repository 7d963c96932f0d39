"""The rows of a batch by what they belong to, such as requests or users: sums, maxima and pairs within each group."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf


class RowGroups(NamedTuple):
    """The groups of a batch, counted from 0; their rows may stand in any order.

    Attributes:
        group: of each row. int32 [rows]
        count: of groups. int32 scalar

    """

    group: tf.Tensor
    count: tf.Tensor

    @classmethod
    def of(cls, groups: tf.Tensor) -> RowGroups:
        """Count the distinct values of int64 [rows]."""
        distinct, group = tf.unique(groups)
        return cls(group, tf.size(distinct))

    def sum(self, values: tf.Tensor) -> tf.Tensor:
        """Sum over the group of each row. [rows]"""
        return tf.gather(tf.math.unsorted_segment_sum(values, self.group, self.count), self.group)

    def greatest(self, values: tf.Tensor) -> tf.Tensor:
        """Greatest value in the group of each row. [rows]"""
        return tf.gather(tf.math.unsorted_segment_max(values, self.group, self.count), self.group)

    def pairs(self, labels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """All pairs of rows of a group with different labels: the row of the higher, that of the lower one.

        No other pair is ever made: a group of n rows has up to n² of them.

        Args:
            labels: float32 [rows]

        Returns:
            int32 [pairs] both.

        """
        by_label = tf.argsort(labels, stable=True)
        order = tf.gather(by_label, tf.argsort(tf.gather(self.group, by_label), stable=True))
        group, label = tf.gather(self.group, order), tf.gather(labels, order)
        # Below a row are those from the first one of its group to where its own label begins.
        start = _start_of_run(group)
        below = _start_of_run(group, label) - start
        better = tf.repeat(tf.range(tf.size(order)), below)
        nth = tf.range(tf.size(better)) - tf.gather(tf.cumsum(below, exclusive=True), better)
        return tf.gather(order, better), tf.gather(order, tf.gather(start, better) + nth)


def _start_of_run(*keys: tf.Tensor) -> tf.Tensor:
    """Place of the first of the neighbours that have the keys of a row. [rows] each → int32 [rows]"""
    rows = tf.size(keys[0])
    is_new = tf.reduce_any([key[1:] != key[:-1] for key in keys], axis=0)
    run = tf.cumsum(tf.pad(tf.cast(is_new, tf.int32), [[1, 0]]))[:rows]
    return tf.gather(tf.math.unsorted_segment_min(tf.range(rows), run, rows), run)
