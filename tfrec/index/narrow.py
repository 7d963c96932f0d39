r"""Scoring in bfloat16 whose answer is that of float32.

.. math:: |q \cdot x - \tilde s(x)| \le |q| |x - \tilde x| + |q - \tilde q| |\tilde x| + 2^{-8} |\tilde q| |\tilde x|

with x̃ and q̃ rounded to bfloat16 and s̃ their product, rounded too. If the k-th largest score of the candidates, taken
again in float32, is above the best that any other item can have, the candidates hold the k largest of all.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from tfrec.index.top_k import NEVER, top_places

CANDIDATES = 4  # times k, and no fewer than …
FEWEST = 256
FROM_ROWS = 8  # fewer rows only wait for memory, which reading two tables makes no shorter
ROUNDING = 2.0**-8  # of a product; twice what rounding it to bfloat16 does
SUMMING = 1e-5  # of sums in float32, relative to |q||x|

Found = tuple[tf.Tensor, tf.Tensor]


class NarrowScores(tf.Module):
    """The vectors a second time, in bfloat16, and how far they are from the true ones."""

    def __init__(self, vectors: tf.Variable) -> None:
        super().__init__(name="narrow_scores")
        self._vectors = vectors
        narrow = tf.cast(vectors, tf.bfloat16)
        self._narrow = tf.Variable(narrow, trainable=False, name="narrow_vectors")
        wide = tf.cast(narrow, tf.float32)
        self._error = tf.Variable(_longest(vectors - wide), trainable=False, name="largest_error")
        self._length = tf.Variable(_longest(wide), trainable=False, name="largest_length")

    def search(
        self, queries: tf.Tensor, k: tf.Tensor, limited: Callable[[tf.Tensor], tf.Tensor], plainly: Callable[[], Found]
    ) -> Found:
        """The k best.

        Args:
            queries: float32 [batch, dim].
            k: int32 scalar.
            limited: sets scores [batch, rows of the table] to −inf where items are left out.
            plainly: the answer without this; for small batches, and where shorter numbers cannot tell.

        """

        def narrowly() -> Found:
            best, places, is_certain = self._search(queries, k, limited)
            return tf.cond(is_certain, lambda: (best, places), plainly)

        return tf.cond(tf.shape(queries)[0] >= FROM_ROWS, narrowly, plainly)

    def _search(
        self, queries: tf.Tensor, k: tf.Tensor, limited: Callable[[tf.Tensor], tf.Tensor]
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        narrow = tf.cast(queries, tf.bfloat16)
        scores = limited(tf.cast(tf.matmul(narrow, self._narrow, transpose_b=True), tf.float32))
        rough, places = top_places(scores, tf.maximum(k * CANDIDATES, FEWEST))
        order = tf.argsort(places, axis=1)  # equal scores by their place again
        rough, places = tf.gather(rough, order, batch_dims=1), tf.gather(places, order, batch_dims=1)
        # Of a tensor: once rows of a variable itself were gathered, every later read of it all makes a copy.
        fine = tf.linalg.matvec(tf.gather(tf.convert_to_tensor(self._vectors), places), queries)
        best, chosen = tf.math.top_k(tf.where(rough > NEVER, fine, NEVER), k)
        others = tf.reduce_min(rough, axis=1) + self._bound(queries, narrow)
        has_all = tf.shape(places)[1] == tf.shape(scores)[1]
        is_certain = has_all | tf.reduce_all(
            (tf.reduce_min(best, axis=1) > others) | tf.reduce_any(rough == NEVER, axis=1)
        )
        return best, tf.gather(places, chosen, batch_dims=1), is_certain

    def _bound(self, queries: tf.Tensor, narrow: tf.Tensor) -> tf.Tensor:
        """How far a score can be from its rough one; float32 [batch]."""
        wide = tf.cast(narrow, tf.float32)
        length = tf.norm(queries, axis=1)
        of_products = (ROUNDING * tf.norm(wide, axis=1) + SUMMING * length) * self._length
        return length * self._error + tf.norm(queries - wide, axis=1) * self._length + of_products


def _longest(vectors: tf.Tensor) -> np.ndarray:
    return np.linalg.norm(np.asarray(vectors), axis=1).max().astype(np.float32)
