"""Which rows of the tables a batch looks up, found once for vectors and first-order weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.layers.crosses import cross_ids
from tfrec.layers.field_plan import FieldPlan
from tfrec.layers.tables import main_row
from tfrec.row_sums import sum_rows


class Bags(NamedTuple):
    """Several bags side by side, their values flat and without padding."""

    present: tf.Tensor  # which ids are values. bool [batch, columns]
    bag: tf.Tensor  # of each value. int32 [values]
    share: tf.Tensor  # of each value in its bag. [values]
    batch: tf.Tensor  # rows
    features: int  # bags of a row

    @classmethod
    def find(cls, features: Sequence[tf.Tensor], weights: Sequence[tf.Tensor | None], batch: tf.Tensor) -> Bags:
        """Ids [batch, width] of several features, and their weights if they have some → a bag for each row and one."""
        present = tf.concat([ids != 0 for ids in features], axis=1)
        bag_of_column = tf.repeat(tf.range(len(features), dtype=tf.int32), [ids.shape[1] for ids in features])
        bags = tf.range(batch, dtype=tf.int32)[:, None] * len(features) + bag_of_column
        bag = tf.boolean_mask(bags, present)
        given = tf.ones_like(bag, tf.float32)
        if any(weight is not None for weight in weights):
            columns = [
                tf.ones_like(ids, tf.float32) if weight is None else weight
                for ids, weight in zip(features, weights, strict=True)
            ]
            given = tf.boolean_mask(tf.concat(columns, axis=1), present)
        sizes = tf.math.unsorted_segment_sum(tf.abs(given), bag, batch * len(features))
        share = given * tf.math.reciprocal_no_nan(tf.gather(sizes, bag))
        return cls(present, bag, share, batch, len(features))

    def mean(self, vectors: tf.Tensor) -> tf.Tensor:
        """[values, dim] → [batch, features, dim], 0 for an empty bag."""
        sums = sum_rows(vectors, self.bag, self.batch * self.features, self.share)
        return tf.reshape(sums, [self.batch, self.features, vectors.shape[1]])


class Composed(NamedTuple):
    """Rows of one field whose vectors are made of two; of its values alone where it is a bag."""

    remainder: tf.Tensor
    quotient: tf.Tensor
    bags: Bags | None


class FieldIds:
    """Rows, bags and numbers of a batch."""

    def __init__(self, plan: FieldPlan, features: Tensors) -> None:
        self._plan = plan
        self.batch = tf.shape(next(iter(features.values())))[0]
        crossed = {
            name: cross_ids([features[part] for part in cross.of], cross.hash_buckets)
            for name, cross in plan.crosses.items()
        }
        self._features = features = {**features, **crossed}
        if plan.singles:
            self.singles = self._side_by_side(plan.singles)
        if plan.wide_singles:
            self.wide_singles = self._side_by_side(plan.wide_singles)
        if plan.bags:
            self.bags, self.in_bags = self._values(plan.bags)
        if plan.wide_bags:
            self.wide_bags, self.in_wide_bags = self._values(plan.wide_bags)
        self.composed = {name: self._composed(name, features[name]) for name in plan.composed}
        if plan.numbers:
            self.numbers = tf.stack([features[name] for name in plan.numbers], axis=1)[:, :, None]
        self.vectors = {name: features[name] for name in plan.vectors}

    def _side_by_side(self, names: Sequence[str]) -> tf.Tensor:
        """Rows of single-valued fields. int64 [batch, names]"""
        return tf.stack([rows_of(self._plan, name, self._features[name]) for name in names], axis=1)

    def _values(self, names: Sequence[str]) -> tuple[Bags, tf.Tensor]:
        """Bags and the rows of their values. int64 [values]"""
        bags = self._bags(names)
        rows = tf.concat([rows_of(self._plan, name, self._features[name]) for name in names], axis=1)
        return bags, tf.boolean_mask(rows, bags.present)

    def _bags(self, names: Sequence[str]) -> Bags:
        weights = [self._plan.weights.get(name) for name in names]
        found = [None if name is None else self._features[name] for name in weights]
        return Bags.find([self._features[name] for name in names], found, self.batch)

    def _composed(self, name: str, ids: tf.Tensor) -> Composed:
        bags = None
        if name in self._plan.multivalued:
            bags = self._bags([name])
            ids = tf.boolean_mask(ids, bags.present)
        return Composed(rows_of(self._plan, name, ids), quotients_of(self._plan, name, ids), bags)


def rows_of(plan: FieldPlan, name: str, ids: tf.Tensor) -> tf.Tensor:
    """Ids of a field → rows of the main table, of the same shape and type."""
    return main_row(ids, plan.rows[name]) + plan.first_row[name]


def quotients_of(plan: FieldPlan, name: str, ids: tf.Tensor) -> tf.Tensor:
    """Ids of a composed field → rows of the second table, of the same shape and type."""
    return ids // tf.cast(plan.rows[name].rows, ids.dtype) + plan.first_quotient[name]
