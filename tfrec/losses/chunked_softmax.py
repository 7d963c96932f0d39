r"""A softmax of each row's positive against shared candidates, in chunks of rows, with its gradient written out.

.. math:: L = \sum_b w_b \log\Bigl(1 + \sum_{j \notin X_b} e^{q_b \cdot c_j + a_j - s_b}\Bigr)

s_b is the positive's logit, a_j an offset of the candidate such as its log-count or −log Q, X_b what is no negative of
the row. The logits of a whole batch would be far larger than everything else in a step. Here a few rows at a time are
scored, made into probabilities and at once into their part of the gradients, while they are in the processor's cache:
the loss is a scalar, so what comes from above only scales these gradients.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from tfrec.losses.exclusions import Exclusions

LIFT = 1024.0
CHUNK = 1 << 18  # logits at a time: 1 MB, about what a core's cache holds
EXCLUDED = -1e38  # logit of what is no negative: e to it is 0, and sums with any real logit stay finite


class Candidates(NamedTuple):
    """What every row is compared with.

    Attributes:
        vectors: float [num_candidates, dim].
        offsets: added to their logits. float [num_candidates]
        excluded: which of them are no negatives of which row.

    """

    vectors: tf.Tensor
    offsets: tf.Tensor
    excluded: Exclusions


def chunked_softmax(
    queries: tf.Tensor,
    positives: tf.Tensor,
    positive_offsets: tf.Tensor,
    candidates: Candidates,
    row_weights: tf.Tensor,
    compute_type: tf.DType = tf.float32,
) -> tf.Tensor:
    """Return the sum over rows of the weighted loss; a scalar. A row without any negative loses nothing.

    Gradients reach queries, positives and the candidates' vectors; there are no second ones.

    Args:
        queries: float [batch, dim].
        positives: row b is the positive of query b. float [batch, dim]
        positive_offsets: added to the positives' logits. float [batch]
        candidates: the negatives of all rows.
        row_weights: float [batch].
        compute_type: of the three matrix products; the rest is of the queries' type.

    """
    kind = queries.dtype
    offsets = tf.cast(candidates.offsets, kind)
    fixed = (offsets, tf.cast(positive_offsets, kind), candidates.excluded, tf.cast(row_weights, kind))

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(
        q: tf.Tensor, p: tf.Tensor, c: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]]:
        scores = tf.reduce_sum(q * p, axis=1)
        total, share, by_query, by_vector = _all_chunks(q, scores, c, *fixed, compute_type)

        def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            scaled = upstream * share
            return upstream * by_query - scaled * p, -scaled * q, upstream * by_vector

        return total, gradient

    return loss(queries, positives, candidates.vectors)


def _all_chunks(
    queries: tf.Tensor,
    positive_scores: tf.Tensor,
    vectors: tf.Tensor,
    offsets: tf.Tensor,
    positive_offsets: tf.Tensor,
    excluded: Exclusions,
    row_weights: tf.Tensor,
    compute_type: tf.DType,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """(loss, weighted probability that is not the positive's [batch, 1], gradient by queries, by vectors).

    The gradients are those through the candidates.
    """
    kind = queries.dtype
    compute = kind if kind == tf.float64 else compute_type
    batch = tf.shape(queries)[0]
    rows = tf.clip_by_value(CHUNK // tf.shape(vectors)[0], 1, tf.maximum(batch, 1))
    chunks = -(-batch // rows)
    positive_logits = positive_scores + positive_offsets
    narrow = tf.cast(vectors, compute)
    # Probabilities among thousands and weights of 1 / batch would vanish in float16: both are multiplied as far larger
    # numbers, which are divided out again in the long type.
    unit = tf.maximum(tf.reduce_max(row_weights), 1e-30)

    def chunk(
        index: tf.Tensor, total: tf.Tensor, shares: tf.TensorArray, by_query: tf.TensorArray, by_vector: tf.Tensor
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        begin, end = index * rows, tf.minimum(index * rows + rows, batch)
        query, weight = queries[begin:end], row_weights[begin:end]
        logits = tf.cast(tf.matmul(tf.cast(query, compute), narrow, transpose_b=True), kind)
        logits += excluded.in_rows(offsets, begin, end, EXCLUDED)
        among = tf.nn.softmax(logits)
        # log Σ exp of the negatives, from the largest: its probability is at least 1 / num_candidates.
        negatives = tf.reduce_max(logits, axis=1) - tf.math.log(tf.reduce_max(among, axis=1))
        margin = negatives - positive_logits[begin:end]
        share = (tf.sigmoid(margin) * weight)[:, None]
        lifted = tf.cast(among * LIFT, compute)
        by_query = by_query.write(index, share * tf.cast(tf.matmul(lifted, narrow), kind) / LIFT)
        scaled = tf.cast(share * query / unit, compute)
        by_vector += tf.cast(tf.matmul(lifted, scaled, transpose_a=True), kind) * (unit / LIFT)
        total += tf.reduce_sum(tf.nn.softplus(margin) * weight)
        return index + 1, total, shares.write(index, share), by_query, by_vector

    def parts(width: int | None) -> tf.TensorArray:
        return tf.TensorArray(kind, chunks, infer_shape=False, element_shape=[None, width])

    _, total, shares, by_query, by_vector = tf.while_loop(
        lambda index, *_: index < chunks,
        chunk,
        (0, tf.zeros([], kind), parts(1), parts(queries.shape[1]), tf.zeros_like(vectors)),
        parallel_iterations=1,
    )
    return total, shares.concat(), by_query.concat(), by_vector
