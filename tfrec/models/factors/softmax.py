"""The softmax over sampled items as the loss of a matrix factorisation."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec.losses import CrossBatchMemory, KnownPositives, sampled_softmax
from tfrec.models.inputs import ModelInputs
from tfrec.negatives import NegativesConfig, make_sampler
from tfrec.negatives.hard import mean_softmax
from tfrec.negatives.item_sampler import ItemSampler
from tfrec.replicas import gathered

Embed = Callable[[tf.Tensor], tf.Tensor]  # item indices [n] → vectors [n, width]


class FactorSoftmax(tf.Module):
    """Negatives shared by the batch, with logQ; from the latest batches too where there is a memory."""

    def __init__(
        self, config: NegativesConfig, inputs: ModelInputs, *, mask: bool, memory: CrossBatchMemory | None
    ) -> None:
        """Prepare.

        Args:
            config: of the negatives, where there is no memory.
            inputs: of the model.
            mask: whether a user's other training items are no negatives.
            memory: of item vectors, or None.

        """
        super().__init__(name="factor_softmax")
        self._num_items, self._mask = inputs.num_items, mask
        counts = inputs.train.item_counts()
        self._negatives = make_sampler(config, counts)
        self._memory = memory
        self._log_probability = ItemSampler(counts).log_probability(tf.range(inputs.num_items))
        self._positives = tf.RaggedTensor.from_row_splits(inputs.train.items, inputs.train.row_splits)

    def __call__(
        self,
        queries: tf.Tensor,
        users: tf.Tensor,
        items: tf.Tensor,
        embed: Embed,
        seed: tf.Tensor,
        *,
        weights: tf.Tensor | None,
        compute_type: tf.DType,
        training: bool,
    ) -> tf.Tensor:
        """Mean loss over the global batch; this replica's share. A scalar.

        Args:
            queries: float32 [batch, width].
            users: user indices, never decreasing. int64 [batch]
            items: item indices. int64 [batch]
            embed: gives the vectors of items.
            seed: int32 [2], the same on all replicas.
            weights: of the rows, or None. float32 [batch]
            compute_type: of the matrix products.
            training: whether the memory takes the batch in.

        """
        positives = embed(items)
        if self._memory is not None:
            own, vectors = gathered(items), gathered(positives)
            found = self._memory.beside(own, vectors, self._log_probability)
            if training:
                self._memory.remember(own, vectors)
            # As in the batch alone the positive is taken as drawn with it.
            candidates, ids, log_weights = found.vectors, found.ids, found.log_weights
            offsets = -tf.gather(self._log_probability, items) - found.log_rows
        else:
            drawn = self._negatives.draw(
                items, gathered(items), seed, lambda pool, offsets: mean_softmax(queries, embed(pool), offsets)
            )
            candidates, ids, log_weights = embed(drawn.items), drawn.items, drawn.log_weights
            offsets = drawn.positive_offsets
        known = KnownPositives.of_users(users, self._positives) if self._mask else KnownPositives.of_rows(items)
        return sampled_softmax(
            queries,
            positives,
            candidates,
            ids,
            log_weights,
            known,
            positive_offsets=offsets,
            sample_weight=weights,
            num_items=self._num_items,
            compute_type=compute_type,
        )
