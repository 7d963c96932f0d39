r"""Negatives from the batches before: item vectors move slowly, so those of some steps ago still tell items apart.

.. math:: L_b = \log\Bigl(1 + \sum_{j \in B \cup M,\; j \ne i} \frac{n_j}{Q_j} e^{q_b \cdot c_j - s_b}\Bigr),
          \quad Q_j = (|B| + |M|)\, p_j

M are the latest rows of a queue of item vectors, B those of the batch, n_j how often item j stands in both, and p_j its
probability of standing in a row. No gradient reaches the queue (Wang et al. 2020, cross-batch memory; Wang, Zhu & He
2021, who add the correction for two towers).
"""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

NONE = -1  # id of a row of the queue that was never filled


class Remembered(NamedTuple):
    """Candidates of a step: what batch and memory hold, every item once.

    Attributes:
        ids: distinct; those of the batch first. int64 [m]
        vectors: the newest of each item; with gradient for those of the batch. float32 [m, dim]
        log_weights: log(n_j / Q_j). float32 [m]
        log_rows: log(|B| + |M|). A scalar

    """

    ids: tf.Tensor
    vectors: tf.Tensor
    log_weights: tf.Tensor
    log_rows: tf.Tensor


class CrossBatchMemory(tf.Module):
    """A queue of the item vectors of the latest batches; it lives in variables, so a resumed run goes on with it."""

    def __init__(self, rows: int, dim: int) -> None:
        """Make an empty queue of `rows` vectors of `dim` numbers."""
        super().__init__(name="cross_batch_memory")
        # All replicas remember the same global batch, so one of them may write.
        options = {"trainable": False, "aggregation": tf.VariableAggregation.ONLY_FIRST_REPLICA}
        self.rows = rows
        self._ids = tf.Variable(tf.fill([rows], tf.constant(NONE, tf.int64)), name="memory_ids", **options)
        self._vectors = tf.Variable(tf.zeros([rows, dim]), name="memory_vectors", **options)
        self._next = tf.Variable(tf.constant(0, tf.int64), name="memory_next", **options)

    @property
    def state(self) -> list[tf.Variable]:
        return [self._ids, self._vectors, self._next]

    def beside(self, ids: tf.Tensor, vectors: tf.Tensor, log_probability: tf.Tensor) -> Remembered:
        """The candidates of a batch and of the memory together.

        Args:
            ids: items of the (global) batch's rows; an item may stand there several times. int64 [batch]
            vectors: theirs. float32 [batch, dim]
            log_probability: log p of every item. float32 [num_items]

        """
        # Newest first: of an item that stands several times tf.unique then names the newest.
        order = (self._next - 1 - tf.range(self.rows, dtype=tf.int64)) % self.rows
        old = tf.gather(tf.convert_to_tensor(self._ids), order)
        order, old = tf.boolean_mask(order, old != NONE), tf.boolean_mask(old, old != NONE)
        together = tf.concat([tf.cast(ids, tf.int64), old], axis=0)
        distinct, number, counts = tf.unique_with_counts(together)
        first = tf.math.unsorted_segment_min(tf.range(tf.size(together)), number, tf.size(distinct))
        from_batch = tf.boolean_mask(first, first < tf.size(ids))
        from_memory = tf.gather(order, tf.boolean_mask(first, first >= tf.size(ids)) - tf.size(ids))
        newest = tf.concat(
            [tf.gather(vectors, from_batch), tf.gather(tf.convert_to_tensor(self._vectors), from_memory)], 0
        )
        log_rows = _log(tf.size(together))
        log_expected = tf.gather(log_probability, distinct) + log_rows
        return Remembered(distinct, newest, _log(counts) - log_expected, log_rows)

    def remember(self, ids: tf.Tensor, vectors: tf.Tensor) -> None:
        """Put the rows of a (global) batch in the place of the oldest; of a batch larger than the queue, its last."""
        ids, vectors = tf.cast(ids, tf.int64)[-self.rows :], tf.stop_gradient(vectors)[-self.rows :]
        count = tf.size(ids, tf.int64)
        places = (self._next + tf.range(count)) % self.rows
        self._ids.assign(tf.tensor_scatter_nd_update(self._ids, places[:, None], ids))
        self._vectors.assign(tf.tensor_scatter_nd_update(self._vectors, places[:, None], vectors))
        self._next.assign((self._next + count) % self.rows)


def _log(counts: tf.Tensor) -> tf.Tensor:
    return tf.math.log(tf.cast(counts, tf.float32))
