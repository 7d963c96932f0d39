"""A softmax over sampled candidates, and the one over all items that it stands for."""

from __future__ import annotations

import tensorflow as tf

from tfrec.losses.chunked_softmax import Candidates, chunked_softmax
from tfrec.losses.exclusions import KnownPositives, exclude
from tfrec.losses.row_shares import row_shares


def sampled_softmax(
    queries: tf.Tensor,
    positives: tf.Tensor,
    candidates: tf.Tensor,
    candidate_ids: tf.Tensor,
    log_weights: tf.Tensor,
    known: KnownPositives,
    *,
    positive_offsets: tf.Tensor | None = None,
    sample_weight: tf.Tensor | None = None,
    num_items: int | None = None,
    compute_type: tf.DType = tf.float32,
) -> tf.Tensor:
    r"""Softmax cross-entropy in which the candidates stand for the whole catalogue.

    .. math:: L_b = \log\Bigl(1 + \sum_{j \notin K_b} \frac{n_j}{Q_j} e^{q_b \cdot c_j - q_b \cdot c_i}\Bigr)

    n_j is how often item j was drawn and Q_j how often it was expected to be: the sum is then an unbiased estimate of
    the one over all items. The positive i was not drawn, so nothing corrects it (Khrylchenko et al. 2025).

    Args:
        queries: float [batch, dim].
        positives: float [batch, dim].
        candidates: float [num_candidates, dim].
        candidate_ids: distinct. int [num_candidates]
        log_weights: log(n_j / Q_j). float [num_candidates]
        known: what is no negative of a row; its own item has to be among that.
        positive_offsets: added to the positives' logits. float [batch]
        sample_weight: float [batch], or None.
        num_items: size of the catalogue, where it is known.
        compute_type: of the matrix products.

    Returns:
        The mean over the (global) batch: on several replicas the share of this one. A scalar.

    """
    rows = tf.shape(queries)[0]
    offsets = tf.zeros([rows], queries.dtype) if positive_offsets is None else positive_offsets
    among = Candidates(candidates, log_weights, exclude(known, candidate_ids, num_items))
    return chunked_softmax(
        queries, positives, offsets, among, row_shares(rows, sample_weight, queries.dtype), compute_type
    )


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
        The mean over the (global) batch: on several replicas the share of this one. A scalar.

    """
    num_items = tf.shape(item_embeddings)[0]
    return sampled_softmax(
        query_embeddings,
        tf.gather(item_embeddings, positives),
        item_embeddings,
        tf.range(num_items),
        tf.zeros([num_items], query_embeddings.dtype),
        KnownPositives.of_rows(positives, known_positives),
        num_items=item_embeddings.shape[0],
    )
