"""Embedding tables: how many rows, what they start with, how an id finds its rows."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import tensorflow as tf
from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.schema import FIRST_OOV_ID

BLOCK_ROWS = 65_536  # rows drawn from one seed, so that a shard of a table draws no more than its own blocks
RESERVED_IDS = FIRST_OOV_ID + 1  # padding and the first out-of-vocabulary id keep rows of their own


class TableConfig(Config):
    """How the ids of a feature share rows."""

    kind: Literal["plain", "hashed", "quotient_remainder"] = Field(
        "plain",
        description="a row per id; ids hashed into `rows` rows; or two tables whose rows are multiplied, one looked up "
        "by id mod rows and one by id div rows (Shi et al. 2020): every id has its own vector in far fewer rows",
    )
    rows: int | None = Field(None, ge=8, description="of a hashed table, or of the remainders (√ids by default)")

    @model_validator(mode="after")
    def _has_rows(self) -> TableConfig:
        if self.kind == "hashed" and self.rows is None:
            raise ValueError("a hashed table needs 'rows': how many the ids share")
        return self


class TableShape(NamedTuple):
    """What a table takes: `rows` × `dim` float32, and what an optimiser keeps for it where it `is_trained`."""

    name: str
    rows: int
    dim: int
    is_trained: bool = True


class RowPlan(NamedTuple):
    """Rows of a feature: `rows` in the main table, and `quotients` in the second one (0 where there is none)."""

    rows: int
    quotients: int
    kind: str


def plan_rows(num_ids: int, config: TableConfig) -> RowPlan:
    """How many rows a feature of `num_ids` ids takes."""
    if config.kind == "plain":
        return RowPlan(num_ids, 0, "plain")
    rows = min(config.rows or max(math.isqrt(num_ids), 8), num_ids)
    quotients = -(-num_ids // rows) if config.kind == "quotient_remainder" else 0
    return RowPlan(rows, quotients, config.kind)


def main_row(ids: tf.Tensor, plan: RowPlan) -> tf.Tensor:
    """Ids → rows of the main table, of the same shape and type."""
    if plan.kind == "plain":
        return ids
    if plan.kind == "quotient_remainder":
        return tf.math.floormod(ids, tf.cast(plan.rows, ids.dtype))
    # Fibonacci hashing: neighbouring ids, which are of like frequency, go to rows far apart, and rows get equally many.
    mixed = tf.bitcast(tf.cast(ids, tf.int64) * -7046029254386353131, tf.uint64)
    upper_half = tf.cast(tf.bitwise.right_shift(mixed, tf.constant(32, tf.uint64)), tf.int64)
    place = tf.bitwise.right_shift(upper_half * (plan.rows - RESERVED_IDS), tf.constant(32, tf.int64))
    hashed = tf.cast(place + RESERVED_IDS, ids.dtype)
    return tf.where(ids < RESERVED_IDS, ids, hashed)


def look_up(table: tf.Variable, rows: tf.Tensor) -> tf.Tensor:
    """[*rows.shape, dim]. Right for plain, replicated and row-sharded tables; touches only the rows that occur.

    `tf.gather` would return the rows of a sharded table in the order of the shards.
    """
    return tf.nn.embedding_lookup(table, rows)


def normal_rows(rows: int, dim: int, *, stddev: float, seed: list[int], mean: float = 0.0) -> Callable[..., tf.Tensor]:
    """Initial values of a table, N(mean, stddev²), the same for any sharding of its rows.

    Returns:
        A function for `tf.Variable(initial_value=…, shape=…, dtype=…)`. Under a partitioner it makes the rows of one
        shard alone, on the server that holds them.

    """

    def initial(
        shape: Any = None, dtype: Any = None, *, partition_shape: Any = None, partition_offset: Any = None
    ) -> tf.Tensor:
        first, count = 0, rows
        if partition_shape is not None:
            first, count = int(partition_offset[0]), int(partition_shape[0])
        blocks = [
            tf.random.stateless_normal([min(BLOCK_ROWS, rows - block * BLOCK_ROWS), dim], seed=_folded(seed, block))
            for block in range(first // BLOCK_ROWS, -(-(first + count) // BLOCK_ROWS))
        ]
        begin = first % BLOCK_ROWS
        values = blocks[0] if len(blocks) == 1 else tf.concat(blocks, axis=0)
        return mean + stddev * values[begin : begin + count]

    return initial


def _folded(seed: list[int], block: int) -> tf.Tensor:
    return tf.random.experimental.stateless_fold_in(tf.constant(seed, tf.int32), block)
