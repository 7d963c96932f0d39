"""Encoded features → one vector and one first-order weight per field."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.layers.field_plan import FieldPlan
from tfrec.layers.id_tables import IdTable, fixed_rows
from tfrec.layers.tables import look_up, main_row, normal_rows
from tfrec.row_sums import sum_rows


class EmbeddedFeatures(NamedTuple):
    """`vectors` float [batch, fields, dim]; `weights` float [batch, fields], the first-order terms."""

    vectors: tf.Tensor
    weights: tf.Tensor


class FeatureEmbedding(tf.keras.layers.Layer):
    """One table for all fields: ids are looked up, several averaged, numbers multiplied into a vector of their field.

    Padding (id 0) of a multi-valued field is not looked up at all; a field without values is a zero vector. The rows of
    padding in single-valued fields are learnt: there 0 means "missing". Fields come out in the order of `plan.fields`.
    """

    def __init__(self, plan: FieldPlan, dim: int, *, stddev: float, seed: int, first_order: bool = True) -> None:
        """Make the tables.

        Args:
            plan: the fields.
            dim: of the vectors.
            stddev: of the initial vectors; first-order weights start at 0.
            seed: of the initial vectors.
            first_order: whether there are first-order weights; else they are 0.

        """
        super().__init__(name="feature_embedding")
        self.plan = plan
        rows = {"embedding": plan.num_rows, "quotients": plan.num_quotients, "numbers": len(plan.numbers)}
        self._tables = {
            name: tf.Variable(
                # Quotients around 1, so that a product starts as spread as a plain row.
                normal_rows(count, dim, stddev=stddev, seed=[seed, index], mean=float(name == "quotients")),
                shape=[count, dim],
                dtype=tf.float32,
                name=name,
            )
            for index, (name, count) in enumerate(rows.items())
            if count
        }
        self._first_order = {
            name: tf.Variable(tf.zeros([count, 1]), name=f"{name}_first_order")
            for name, count in rows.items()
            if count and first_order
        }

    @property
    def first_order(self) -> list[tf.Variable]:
        """The first-order weights: the wide part of a model."""
        return list(self._first_order.values())

    def id_tables(self) -> list[IdTable]:
        """The rows of every field in every table."""
        found, plan = [], self.plan
        for tables in (self._tables, self._first_order):
            for name, rows in plan.rows.items() if tables else ():
                found.append(IdTable(tables["embedding"], name, plan.first_row[name], rows))
                if rows.quotients:
                    first = plan.first_quotient[name]
                    found.append(IdTable(tables["quotients"], name, first, rows, is_quotient=True))
            for row, name in enumerate(plan.numbers if tables else ()):
                found.append(fixed_rows(tables["numbers"], name, row))
        return found

    def call(self, features: Tensors) -> EmbeddedFeatures:
        """Encoded features [batch] or [batch, width] → `EmbeddedFeatures`."""
        ids = _Ids(self.plan, features)
        vectors = _combined(self._tables, ids, is_product=True)
        if not self._first_order:
            return EmbeddedFeatures(vectors, tf.zeros(tf.shape(vectors)[:2]))
        return EmbeddedFeatures(vectors, tf.squeeze(_combined(self._first_order, ids, is_product=False), axis=2))


class _Bags(NamedTuple):
    """Several bags side by side, their values flat and without padding."""

    present: tf.Tensor  # which ids are values. bool [batch, columns]
    bag: tf.Tensor  # of each value. int32 [values]
    share: tf.Tensor  # of each value in its bag. [values]
    count: tf.Tensor  # of bags, batch × features

    @classmethod
    def find(cls, features: list[tf.Tensor], batch: tf.Tensor) -> _Bags:
        """Ids [batch, width] of several features → a bag for each row and feature."""
        present = tf.concat([ids != 0 for ids in features], axis=1)
        bag_of_column = tf.repeat(tf.range(len(features), dtype=tf.int32), [ids.shape[1] for ids in features])
        bags = tf.range(batch, dtype=tf.int32)[:, None] * len(features) + bag_of_column
        bag, count = tf.boolean_mask(bags, present), batch * len(features)
        sizes = tf.math.unsorted_segment_sum(tf.ones_like(bag, tf.float32), bag, count)
        return cls(present, bag, tf.math.reciprocal_no_nan(tf.gather(sizes, bag)), count)

    def mean(self, vectors: tf.Tensor) -> tf.Tensor:
        """[values, dim] → [count, dim], 0 for an empty bag."""
        return sum_rows(vectors, self.bag, self.count, self.share)


class _Composed(NamedTuple):
    """Rows of one field whose vectors are made of two; of its values alone where it is a bag."""

    remainder: tf.Tensor
    quotient: tf.Tensor
    bags: _Bags | None


class _Ids:
    """What a batch looks up, found once for vectors and first-order weights."""

    def __init__(self, plan: FieldPlan, features: Tensors) -> None:
        self.plan = plan
        self.batch = tf.shape(next(iter(features.values())))[0]
        if plan.singles:
            columns = [_rows_of(plan, name, features[name]) for name in plan.singles]
            self.singles = tf.stack(columns, axis=1)  # [batch, singles]
        if plan.bags:
            self.bags = _Bags.find([features[name] for name in plan.bags], self.batch)
            rows = tf.concat([_rows_of(plan, name, features[name]) for name in plan.bags], axis=1)
            self.in_bags = tf.boolean_mask(rows, self.bags.present)  # [values]
        self.composed = {name: self._composed(name, features[name]) for name in plan.composed}
        if plan.numbers:
            self.numbers = tf.stack([features[name] for name in plan.numbers], axis=1)[:, :, None]

    def _composed(self, name: str, ids: tf.Tensor) -> _Composed:
        bags = None
        if name in self.plan.multivalued:
            bags = _Bags.find([ids], self.batch)
            ids = tf.boolean_mask(ids, bags.present)
        quotient = ids // tf.cast(self.plan.rows[name].rows, ids.dtype)
        return _Composed(_rows_of(self.plan, name, ids), quotient + self.plan.first_quotient[name], bags)


def _rows_of(plan: FieldPlan, name: str, ids: tf.Tensor) -> tf.Tensor:
    return main_row(ids, plan.rows[name]) + plan.first_row[name]


def _combined(tables: dict[str, tf.Variable], ids: _Ids, *, is_product: bool) -> tf.Tensor:
    """[batch, fields, width of the tables]; rows of composed fields are multiplied, or added."""
    blocks = []
    if ids.plan.singles:
        blocks.append(look_up(tables["embedding"], ids.singles))
    if ids.plan.bags:
        vectors = look_up(tables["embedding"], ids.in_bags)
        blocks.append(tf.reshape(ids.bags.mean(vectors), [ids.batch, len(ids.plan.bags), vectors.shape[1]]))
    for name in ids.plan.composed:
        rows = ids.composed[name]
        one, other = look_up(tables["embedding"], rows.remainder), look_up(tables["quotients"], rows.quotient)
        vectors = one * other if is_product else one + other
        blocks.append((vectors if rows.bags is None else rows.bags.mean(vectors))[:, None, :])
    if ids.plan.numbers:
        blocks.append(ids.numbers * tables["numbers"])
    return blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=1)
