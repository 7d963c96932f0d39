"""A part of a model of pairs: its two tables, and what they say of a pair. NeuMF adds two of them up."""

from __future__ import annotations

import abc
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from tfrec.layers import IdTable, TableConfig, TableShape
from tfrec.layers.tables import plan_rows
from tfrec.models.factors.tables import FactorTable
from tfrec.models.factors.users import first_token
from tfrec.models.inputs import ModelInputs


class PairLogits(NamedTuple):
    """What a part says of a batch of pairs.

    Attributes:
        logits: float32 [batch, n].
        penalty: of the rows of its tables; this replica's part of it. A scalar.

    """

    logits: tf.Tensor
    penalty: tf.Tensor


class PairPart(tf.Module, metaclass=abc.ABCMeta):
    """Vectors of users and items, of `dim` numbers each; subclasses say what a pair of them means."""

    def __init__(
        self, inputs: ModelInputs, item_lookups: np.ndarray, dim: int, *, l2: float, stddev: float, seed: int, name: str
    ) -> None:
        """Make the tables.

        Args:
            inputs: of the model.
            item_lookups: how often each item is looked up in an epoch, in any unit. float64 [num_items]
            dim: width of both tables.
            l2: λ of λ (|p|² + |q|²), for each pair that is looked up.
            stddev: of the first vectors.
            seed: of the first vectors.
            name: of the part.

        """
        super().__init__(name=name)
        schema, num_ids = inputs.schema, inputs.num_ids
        self._features = {schema.user_id: num_ids[schema.user_id], schema.item_id: num_ids[schema.item_id]}
        events, item_ids = np.diff(inputs.train.row_splits), inputs.catalogue.features[schema.item_id]
        expected = {
            schema.user_id: np.bincount(inputs.encoded_user_ids(), events, num_ids[schema.user_id]),
            schema.item_id: np.bincount(item_ids, item_lookups, num_ids[schema.item_id]),
        }
        self.users, self.items = (
            FactorTable(
                expected[feature],
                dim,
                has_bias=False,
                reserved=first_token(schema, feature),
                l2=l2,
                bias_l2=0.0,
                stddev=stddev,
                seed=[seed, salt],
                name=f"{name}_{table}",
            )
            for salt, (feature, table) in enumerate(zip(expected, ("users", "items"), strict=True))
        )

    @property
    @abc.abstractmethod
    def dropouts(self) -> int:
        """How many seeds a training step takes."""

    @abc.abstractmethod
    def pair_logits(
        self, users: tf.Tensor, items: tf.Tensor, seeds: Sequence[tf.Tensor] | None, compute_type: tf.DType
    ) -> PairLogits:
        """What the part says of pairs.

        Args:
            users: ids, never decreasing. int64 [batch]
            items: ids. int64 [batch, n]
            seeds: `dropouts` of them, int32 [2] each; None outside of training.
            compute_type: of the hidden layers.

        """

    def id_tables(self) -> list[IdTable]:
        tables = zip((self.users, self.items), self._features.items(), strict=True)
        return [IdTable(table.variable, name, 0, plan_rows(ids, TableConfig())) for table, (name, ids) in tables]


def part_table_shapes(name: str, dim: int, users: int, items: int) -> list[TableShape]:
    """The tables of a part, before anything is allocated; `users` and `items` are numbers of ids."""
    return [TableShape(f"{name}_users", users, dim), TableShape(f"{name}_items", items, dim)]
