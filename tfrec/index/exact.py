"""All vectors scored, with the whole cost going into reading them once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import numpy as np
import tensorflow as tf

from tfrec.index.item_index import LANES, Excluded, ItemIndex, Neighbours, checked_vectors, found, padded
from tfrec.index.narrow import NarrowScores
from tfrec.index.top_k import CHUNK, NEVER, top_places

SCORES_AT_ONCE = 1 << 25  # 128 MB of float32: rows of larger batches take turns

Scoring = Literal["float32", "bfloat16"]
Block = Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]


class ExactIndex(ItemIndex):
    """Inner products with all items by matrix multiplication, and the best of them in two stages.

    With `bfloat16` scoring, batches are scored by shorter numbers first and the best again in float32; the answer is
    the same to the last item, because what cannot be told apart by shorter numbers is scored in float32 throughout.
    """

    def __init__(self, vectors: np.ndarray, scoring: Scoring = "float32") -> None:
        """Take the vectors float32 [num_items, dim].

        Raises:
            DataError: no vectors, or some not finite.

        """
        super().__init__(name="exact_index")
        vectors = checked_vectors(vectors)
        self.num_items, self.dim = vectors.shape
        table = padded(vectors, CHUNK, LANES)
        self._padding = np.arange(self.num_items, len(table))
        self._lanes = table.shape[1] - self.dim
        self._rows_at_once = max(1, SCORES_AT_ONCE // len(table))
        self.vectors = tf.Variable(table, trainable=False, name="vectors")
        self._narrow = NarrowScores(self.vectors) if scoring == "bfloat16" else None

    def search(
        self,
        queries: tf.Tensor,
        k: tf.Tensor | int,
        excluded: Excluded | None = None,
        allowed: tf.Tensor | None = None,
    ) -> Neighbours:
        batch, k = tf.shape(queries)[0], tf.minimum(tf.convert_to_tensor(k, tf.int32), self.num_items)
        queries = self.widened(queries)
        if allowed is not None:
            allowed = tf.broadcast_to(allowed, tf.stack([batch, self.num_items]))

        def block(first: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = slice(first, tf.minimum(first + self._rows_at_once, batch))
            limits = None if allowed is None else allowed[rows]
            return self._search_block(queries[rows], k, _of_block(excluded, first, rows.stop), limits)

        scores, items = tf.cond(
            batch <= self._rows_at_once,
            lambda: self._search_block(queries, k, excluded, allowed),
            lambda: _in_turn(block, batch, self._rows_at_once),
        )
        return found(tf.ensure_shape(scores, [None, None]), items)

    def widened(self, queries: tf.Tensor) -> tf.Tensor:
        """Queries float32 [batch, dim] as wide as the table."""
        queries = tf.ensure_shape(queries, [None, self.dim])
        return tf.pad(queries, [[0, 0], [0, self._lanes]]) if self._lanes else queries

    def limited(self, scores: tf.Tensor, excluded: Excluded | None, allowed: tf.Tensor | None) -> tf.Tensor:
        """Scores [batch, rows of the table], −inf where there is no item or not for that row."""
        if allowed is not None:
            scores = tf.where(tf.pad(allowed, [[0, 0], [0, len(self._padding)]]), scores, NEVER)
        if excluded is None and not len(self._padding):
            return scores
        batch = tf.shape(scores, tf.int64)[0]
        padding = tf.constant(self._padding, tf.int64)
        rows, items = tf.repeat(tf.range(batch), len(self._padding)), tf.tile(padding, batch[None])
        if excluded is not None:
            is_item = (excluded.items >= 0) & (excluded.items < self.num_items)
            rows = tf.concat([rows, tf.boolean_mask(excluded.rows, is_item)], axis=0)
            items = tf.concat([items, tf.boolean_mask(excluded.items, is_item)], axis=0)
        return tf.tensor_scatter_nd_update(scores, tf.stack([rows, items], axis=1), tf.fill(tf.shape(rows), NEVER))

    def _search_block(
        self, queries: tf.Tensor, k: tf.Tensor, excluded: Excluded | None, allowed: tf.Tensor | None
    ) -> tuple[tf.Tensor, tf.Tensor]:
        def plainly() -> tuple[tf.Tensor, tf.Tensor]:
            scores = tf.matmul(queries, self.vectors, transpose_b=True)
            return top_places(self.limited(scores, excluded, allowed), k)

        if self._narrow is None:
            return plainly()
        return self._narrow.search(queries, k, lambda scores: self.limited(scores, excluded, allowed), plainly)


def _of_block(excluded: Excluded | None, first: tf.Tensor, stop: tf.Tensor) -> Excluded | None:
    """The pairs of the rows from `first` to `stop`, counted from `first`."""
    if excluded is None:
        return None
    rows = excluded.rows - tf.cast(first, tf.int64)
    is_inside = (rows >= 0) & (excluded.rows < tf.cast(stop, tf.int64))
    return Excluded(tf.boolean_mask(rows, is_inside), tf.boolean_mask(excluded.items, is_inside))


def _in_turn(block: Block, batch: tf.Tensor, step: int) -> tuple[tf.Tensor, tf.Tensor]:
    """What `block(first)` makes of every `step` rows, one below the other."""
    turns = -(-batch // step)
    scores = tf.TensorArray(tf.float32, turns, infer_shape=False, element_shape=[None, None])
    items = tf.TensorArray(tf.int32, turns, infer_shape=False, element_shape=[None, None])

    def turn(at: tf.Tensor, scores: tf.TensorArray, items: tf.TensorArray) -> tuple[tf.Tensor, ...]:
        best, places = block(at * step)
        return at + 1, scores.write(at, best), items.write(at, places)

    # One at a time: together they would take the memory that the turns are there to save.
    _, scores, items = tf.while_loop(lambda at, *_: at < turns, turn, (0, scores, items), parallel_iterations=1)
    return scores.concat(), items.concat()
