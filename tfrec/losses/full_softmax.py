r"""Softmax cross-entropy of each row over a whole catalogue with biases, in chunks, with its gradient written out.

.. math:: L = \sum_b w_b \Bigl(\log \sum_j e^{q_b \cdot c_j + a_j} - q_b \cdot c_{y_b} - a_{y_b}\Bigr)

Where every step of a sequence predicts the next, the logits of a batch (steps × items) are far larger than all else.
Here some rows at a time are scored and at once made into their part of the gradients, and the logits are never kept.
Nothing is left out of the sum but, on demand, what a step has seen (`seen_items`).
"""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec.losses.seen_items import SeenItems

CHUNK_ROWS = 512
CHUNK_LOGITS = 1 << 22  # 16 MB


def full_softmax(
    queries: tf.Tensor,
    items: tf.Tensor,
    biases: tf.Tensor,
    targets: tf.Tensor,
    row_weights: tf.Tensor,
    compute_type: tf.DType = tf.float32,
    seen: SeenItems | None = None,
) -> tf.Tensor:
    """Return the sum over rows of the weighted loss; a scalar. There are no second gradients.

    Args:
        queries: float32 [rows, dim].
        items: vectors of the catalogue. float32 [num_items, dim]
        biases: of the items. float32 [num_items]
        targets: places of the true items; any of them where the weight is 0. int [rows]
        row_weights: float32 [rows].
        compute_type: of the three matrix products.
        seen: items that are left out of each row's sum, where the rows are steps of windows; None for none.

    """

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def loss(
        q: tf.Tensor, c: tf.Tensor, a: tf.Tensor
    ) -> tuple[tf.Tensor, Callable[[tf.Tensor], tuple[tf.Tensor, ...]]]:
        total, *gradients = _all_chunks(q, c, a, targets, row_weights, compute_type, seen)
        return total, lambda upstream: tuple(upstream * gradient for gradient in gradients)

    return loss(queries, items, biases)


def _all_chunks(
    queries: tf.Tensor,
    items: tf.Tensor,
    biases: tf.Tensor,
    targets: tf.Tensor,
    row_weights: tf.Tensor,
    compute_type: tf.DType,
    seen: SeenItems | None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """(loss, gradients by queries, items and biases)."""
    count, num_items = tf.shape(queries)[0], tf.shape(items)[0]
    rows = tf.clip_by_value(CHUNK_LOGITS // num_items, 1, CHUNK_ROWS)
    chunks = tf.maximum(-(-count // rows), 1)  # one at least: nothing cannot be put together
    narrow, narrow_biases = tf.cast(items, compute_type), tf.cast(biases, compute_type)
    # Weights of 1 / batch would vanish in float16: what they are multiplied with is multiplied as far larger numbers.
    unit = tf.maximum(tf.reduce_max(row_weights), 1e-30)

    def chunk(
        index: tf.Tensor, total: tf.Tensor, parts: tf.TensorArray, by_item: tf.Tensor, by_bias: tf.Tensor
    ) -> tuple[tf.Tensor | tf.TensorArray, ...]:
        begin, end = index * rows, tf.minimum(index * rows + rows, count)
        query, target, weight = queries[begin:end], targets[begin:end], row_weights[begin:end, None]
        logits = tf.nn.bias_add(tf.matmul(tf.cast(query, compute_type), narrow, transpose_b=True), narrow_biases)
        logits = tf.cast(logits, tf.float32)
        if seen is not None:
            logits += seen.offsets(begin, target, num_items)
        probabilities, log_of_target = _softmax(logits, target)
        at_target = tf.stack([tf.range(end - begin), tf.cast(target, tf.int32)], axis=1)
        errors = tf.cast(probabilities, compute_type)
        errors = tf.tensor_scatter_nd_update(errors, at_target, tf.cast(tf.math.expm1(log_of_target), compute_type))
        # The weights are multiplied with what has `dim` columns, on either side of the large matrix.
        shares = weight / unit
        weighted = tf.cast(query * shares, compute_type)
        by_bias += tf.matmul(shares, probabilities, transpose_a=True)[0]
        parts = parts.write(index, tf.cast(tf.matmul(errors, narrow), tf.float32) * weight)
        by_item += tf.cast(tf.matmul(weighted, errors, transpose_a=True), tf.float32)
        total -= tf.tensordot(log_of_target, weight[:, 0], 1)
        return index + 1, total, parts, by_item, by_bias

    parts = tf.TensorArray(tf.float32, chunks, infer_shape=False, element_shape=[None, items.shape[1]])
    start = (tf.zeros([], tf.int32), tf.zeros([]), parts, tf.zeros_like(tf.transpose(items)), tf.zeros_like(biases))
    _, total, parts, by_item, by_bias = tf.while_loop(
        lambda index, *_: index < chunks, chunk, start, parallel_iterations=1
    )
    by_bias = unit * by_bias - tf.math.unsorted_segment_sum(row_weights, targets, num_items)
    return total, parts.concat(), unit * tf.transpose(by_item), by_bias


def _softmax(logits: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """(probabilities [rows, num_items], logarithms of those of the targets [rows]), from float32 logits.

    TensorFlow's cross-entropy gives the same and takes five times as long on a CPU.
    """
    own, most = tf.gather(logits, targets, batch_dims=1), tf.reduce_max(logits, axis=1)
    probabilities = tf.nn.softmax(logits)
    # The most probable item tells the normaliser: its probability never vanishes, as that of the target may.
    return probabilities, own - most + tf.math.log(tf.reduce_max(probabilities, axis=1))
