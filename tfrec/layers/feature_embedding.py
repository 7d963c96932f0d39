"""Encoded features → one vector and one first-order weight per field."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.layers.field_ids import FieldIds, quotients_of, rows_of
from tfrec.layers.field_plan import FieldPlan
from tfrec.layers.id_tables import IdTable, fixed_rows
from tfrec.layers.tables import look_up, normal_rows


class EmbeddedFeatures(NamedTuple):
    """`vectors` float [batch, fields, dim]; `weights` float [batch, terms], the first-order terms."""

    vectors: tf.Tensor
    weights: tf.Tensor


class FeatureEmbedding(tf.keras.layers.Layer):
    """One table for all fields: ids are looked up, several averaged, numbers multiplied into a vector of their field.

    Padding (id 0) of a multi-valued field is not looked up at all; a field without values is a zero vector. The rows of
    padding in single-valued fields are learnt: there 0 means "missing". Where the values of a field have weights, its
    vector is Σ wᵢ vᵢ / Σ |wᵢ|. A precomputed vector is projected by a matrix of its own. Fields come out in the order
    of `plan.fields`, first-order terms in that of `plan.terms`.
    """

    def __init__(self, plan: FieldPlan, dim: int, *, stddev: float, seed: int, first_order: bool = True) -> None:
        """Make the tables.

        Args:
            plan: the fields.
            dim: of the vectors; 0 for first-order weights alone.
            stddev: of the initial vectors; first-order weights start at 0.
            seed: of the initial vectors.
            first_order: whether there are first-order weights; else they are 0.

        """
        super().__init__(name="feature_embedding")
        self.plan = plan
        self._tables = {
            name: tf.Variable(
                # Quotients around 1, so that a product starts as spread as a plain row; a projection of numbers of
                # variance 1 as spread as either.
                normal_rows(
                    count,
                    dim,
                    stddev=stddev / count**0.5 if name in plan.projections.values() else stddev,
                    seed=[seed, plan.seed_of(name)],
                    mean=float(name == "quotients"),
                ),
                shape=[count, dim],
                dtype=tf.float32,
                name=name,
            )
            for name, count in plan.row_counts(first_order=False).items()
            if dim
        }
        self._first_order = {
            name: tf.Variable(tf.zeros([count, 1]), name=f"{name}_first_order")
            for name, count in plan.row_counts(first_order=True).items()
            if first_order
        }

    @property
    def first_order(self) -> list[tf.Variable]:
        """The first-order weights: the wide part of a model."""
        return list(self._first_order.values())

    def id_tables(self) -> list[IdTable]:
        """The rows of every field in every table, but those of crosses.

        A cross is made of ids, which another vocabulary gives to other values: its rows cannot be taken over.
        """
        both = (*self._tables.items(), *self._first_order.items())
        return [rows for table, variable in both for rows in self._rows_of_features(table, variable)]

    def _rows_of_features(self, table: str, variable: tf.Variable) -> list[IdTable]:
        plan = self.plan
        if table == "numbers":
            return [fixed_rows(variable, name, row) for row, name in enumerate(plan.numbers)]
        for name, projection in plan.projections.items():
            if table == projection:
                return [fixed_rows(variable, name, 0, plan.vectors[name])]
        is_quotient = table == "quotients"
        first = plan.first_quotient if is_quotient else plan.first_row
        found = [
            IdTable(variable, name, first[name], rows, is_quotient=is_quotient)
            for name, rows in plan.rows.items()
            if name not in plan.crosses and (rows.quotients or not is_quotient)
        ]
        # A table in which no row belongs to a feature would be taken over whole: this one holds crosses alone.
        return found or [fixed_rows(variable, next(iter(plan.crosses.values())).of[0], 0, rows=0)]

    def call(self, features: Tensors) -> EmbeddedFeatures:
        """Encoded features [batch] or [batch, width] → `EmbeddedFeatures`."""
        ids = FieldIds(self.plan, features)
        if not self._tables:
            vectors = tf.zeros([ids.batch, len(self.plan.fields), 0])
        else:
            vectors = tf.concat(self._of_fields(self._tables, ids, is_product=True), axis=1)
        if not self._first_order:
            return EmbeddedFeatures(vectors, tf.zeros(tf.shape(vectors)[:2]))
        terms = self._of_fields(self._first_order, ids, is_product=False) + self._of_wide_crosses(ids)
        return EmbeddedFeatures(vectors, tf.squeeze(tf.concat(terms, axis=1), axis=2))

    def look_up(self, name: str, ids: tf.Tensor) -> tf.Tensor:
        """Vectors of ids of one field. [*ids.shape, dim]"""
        vectors = look_up(self._tables["embedding"], rows_of(self.plan, name, ids))
        if name not in self.plan.composed:
            return vectors
        return vectors * look_up(self._tables["quotients"], quotients_of(self.plan, name, ids))

    def _of_fields(self, tables: dict[str, tf.Variable], ids: FieldIds, *, is_product: bool) -> list[tf.Tensor]:
        """Blocks of [batch, some fields, width of the tables]; rows of composed fields are multiplied, or added."""
        plan, blocks = self.plan, []
        if plan.singles:
            blocks.append(look_up(tables["embedding"], ids.singles))
        if plan.bags:
            blocks.append(ids.bags.mean(look_up(tables["embedding"], ids.in_bags)))
        for name in plan.composed:
            rows = ids.composed[name]
            one, other = look_up(tables["embedding"], rows.remainder), look_up(tables["quotients"], rows.quotient)
            vectors = one * other if is_product else one + other
            blocks.append(vectors[:, None, :] if rows.bags is None else rows.bags.mean(vectors))
        if plan.numbers:
            blocks.append(ids.numbers * tables["numbers"])
        for name, table in plan.projections.items():
            blocks.append(tf.matmul(ids.vectors[name], tables[table])[:, None, :])
        return blocks

    def _of_wide_crosses(self, ids: FieldIds) -> list[tf.Tensor]:
        blocks = []
        if self.plan.wide_singles:
            blocks.append(look_up(self._first_order["embedding"], ids.wide_singles))
        if self.plan.wide_bags:
            blocks.append(ids.wide_bags.mean(look_up(self._first_order["embedding"], ids.in_wide_bags)))
        return blocks
