"""The in-batch softmax of retrieval models."""

from __future__ import annotations

import tensorflow as tf
import tensorflow_recommenders as tfrs

from tfrec.losses.chunked_softmax import Candidates, chunked_softmax
from tfrec.losses.exclusions import KnownPositives, exclude
from tfrec.losses.row_shares import row_shares
from tfrec.replicas import gathered


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
    - the batch is that of all replicas: their candidates are gathered, and the shares of the loss that the replicas
      return add up to the loss of one device;
    - logits exist a chunk of rows at a time, over distinct items.
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
        kind = query_embeddings.dtype
        corrections = tf.zeros(tf.shape(candidate_ids), kind)
        if candidate_sampling_probability is not None:
            corrections = -tf.math.log(tf.cast(candidate_sampling_probability, kind))
        ids = gathered(candidate_ids)
        distinct, column, counts = tf.unique_with_counts(ids)
        first = tf.math.unsorted_segment_min(tf.range(tf.size(ids)), column, tf.size(distinct))
        candidates = Candidates(
            tf.gather(gathered(candidate_embeddings), first),
            tf.gather(gathered(corrections), first) + tf.math.log(tf.cast(counts, kind)),
            exclude(KnownPositives.of_rows(candidate_ids, known_positives), distinct),
        )
        return chunked_softmax(
            query_embeddings * tf.cast(self._inverse_temperature, kind),
            candidate_embeddings,
            corrections,
            candidates,
            row_shares(tf.shape(query_embeddings)[0], sample_weight, kind),
        )
