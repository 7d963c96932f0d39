"""Losses of retrieval models."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs


class InBatchSoftmax(tfrs.tasks.Retrieval):  # type: ignore[misc]
    r"""TFRS's retrieval task on the distinct candidates of the batch.

    For row b with query q_b and its positive item i, and the distinct other items j of the batch, each standing there
    n_j times:

    .. math:: L_b = -\log \frac{e^{s_{bi}}}{e^{s_{bi}} + \sum_{j \ne i} n_j\, e^{s_{bj}}},
              \quad s_{bj} = q_b \cdot c_j / T - \log p_j

    p_j is the probability of sampling item j as a negative (Yi et al. 2019, eq. 3): without the correction, popular
    items are punished for being in many batches. Where TFRS itself is right this is TFRS's value; it differs on
    purpose in that

    - probabilities are not clipped (TFRS clips at 1e-6: all rare items of a large catalogue get one correction);
    - the row's own item never counts as its negative, however often it stands in the batch;
    - `known_positives`, other items that the row's user took, need not count as negatives either;
    - the logits are [batch, distinct items], not [batch, batch].
    """

    def __init__(self, temperature: float = 1.0) -> None:
        super().__init__(temperature=temperature, remove_accidental_hits=True, name="in_batch_softmax")
        self._inverse_temperature = 1.0 / temperature

    def call(
        self,
        query_embeddings: tf.Tensor,
        candidate_embeddings: tf.Tensor,
        sample_weight: tf.Tensor | None = None,
        candidate_sampling_probability: tf.Tensor | None = None,
        candidate_ids: tf.Tensor | None = None,
        known_positives: tf.RaggedTensor | None = None,
    ) -> tf.Tensor:
        """Return the mean loss, weighted where `sample_weight` is given; a scalar.

        Args:
            query_embeddings: float [batch, dim].
            candidate_embeddings: float [batch, dim], row b the positive of query b.
            sample_weight: float [batch], or None.
            candidate_sampling_probability: float [batch], in (0, 1], or None for no correction.
            candidate_ids: int [batch]; needed to know which candidates are the same.
            known_positives: int [batch, None], ids that are not negatives for the row; its own id may be among them.

        """
        assert candidate_ids is not None
        batch = tf.shape(query_embeddings)[0]
        distinct, column, counts = tf.unique_with_counts(candidate_ids)
        first = tf.math.unsorted_segment_min(tf.range(batch), column, tf.shape(distinct)[0])
        logits = tf.matmul(query_embeddings, tf.gather(candidate_embeddings, first), transpose_b=True)
        logits *= self._inverse_temperature
        if candidate_sampling_probability is not None:
            logits -= tf.math.log(tf.gather(candidate_sampling_probability, first))
        own = tf.stack([tf.range(batch), column], axis=1)
        positive = tf.gather_nd(logits, own)
        # The positive enters once, whatever its count; what is no negative enters with e to the lowest number, 0.
        is_negative = _all_but(own, tf.shape(logits))
        if known_positives is not None:
            is_negative &= _all_but(_columns_of(known_positives, distinct), tf.shape(logits))
        log_counts = tf.math.log(tf.cast(counts, logits.dtype))
        negatives = tf.where(is_negative, logits + log_counts, logits.dtype.min)
        loss = tf.reduce_logsumexp(tf.concat([positive[:, None], negatives], axis=1), axis=1) - positive
        if sample_weight is None:
            return tf.reduce_mean(loss)
        weight = tf.cast(sample_weight, loss.dtype)
        return tf.math.divide_no_nan(tf.reduce_sum(loss * weight), tf.reduce_sum(weight))


def catalogue_softmax(
    query_embeddings: tf.Tensor,
    item_embeddings: tf.Tensor,
    positives: tf.Tensor,
    known_positives: tf.RaggedTensor | None = None,
) -> tf.Tensor:
    r"""Softmax cross-entropy over the whole catalogue: no sampling, so no correction. For catalogues that fit.

    .. math:: L_b = -\log \frac{e^{q_b \cdot c_i}}{\sum_{j \notin K_b} e^{q_b \cdot c_j}}

    K_b are the known positives of the row's user but the row's own item i.

    Args:
        query_embeddings: float [batch, dim].
        item_embeddings: all items. float [num_items, dim]
        positives: item indices. int [batch]
        known_positives: item indices that are not negatives for the row; its own may be among them. int [batch, None]

    Returns:
        The mean over the batch; a scalar.

    """
    logits = tf.matmul(query_embeddings, item_embeddings, transpose_b=True)
    if known_positives is None:
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels=positives, logits=logits))
    rows = known_positives.value_rowids()
    is_negative = _all_but(tf.stack([rows, tf.cast(known_positives.flat_values, rows.dtype)], axis=1), tf.shape(logits))
    positive = tf.gather(logits, positives, batch_dims=1)
    own = tf.one_hot(positives, tf.shape(logits)[1], on_value=True, off_value=False, dtype=tf.bool)
    negatives = tf.where(is_negative | own, logits, logits.dtype.min)
    return tf.reduce_mean(tf.reduce_logsumexp(negatives, axis=1) - positive)


def _all_but(indices: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Bool of `shape`, false at `indices` [n, 2]."""
    return tf.tensor_scatter_nd_update(tf.fill(shape, True), indices, tf.fill([tf.shape(indices)[0]], False))


def _columns_of(ids: tf.RaggedTensor, distinct: tf.Tensor) -> tf.Tensor:
    """[n, 2]: row and column of every id that is among the distinct ones."""
    size = tf.maximum(tf.reduce_max(distinct), tf.reduce_max(ids.flat_values)) + 1
    position = tf.tensor_scatter_nd_update(
        tf.fill([size], tf.constant(-1, tf.int32)), distinct[:, None], tf.range(tf.shape(distinct)[0])
    )
    columns = tf.gather(position, ids.flat_values)
    rows = tf.cast(ids.value_rowids(), tf.int32)
    return tf.boolean_mask(tf.stack([rows, columns], axis=1), columns >= 0)
