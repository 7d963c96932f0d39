"""The next item as one of many classes, as towers over the catalogue learn it: a softmax over drawn negatives."""

from __future__ import annotations

from collections.abc import Callable

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.losses import KnownPositives, sampled_softmax
from tfrec.models.inputs import ModelInputs
from tfrec.negatives import NegativesConfig, make_sampler
from tfrec.negatives.hard import mean_softmax
from tfrec.replicas import gathered
from tfrec.schema import FIRST_OOV_ID, USER_INDEX


class ItemSoftmax:
    """Draws the negatives, leaves a user's other training items out of them, and takes the softmax."""

    def __init__(self, inputs: ModelInputs, negatives: NegativesConfig, *, mask_known_positives: bool) -> None:
        self._num_items = inputs.num_items
        self._sampler = make_sampler(negatives, inputs.train.item_counts())
        self._taken = tf.RaggedTensor.from_row_splits(inputs.train.items, inputs.train.row_splits)
        self._masks = mask_known_positives

    def events_of(self, users: tf.Tensor) -> tf.Tensor:
        """How many training events users have. User index [batch] → int64 [batch]"""
        return tf.gather(self._taken.row_lengths(), users)

    def loss(
        self,
        queries: tf.Tensor,
        items: tf.Tensor,
        users: tf.Tensor,
        embed: Callable[[tf.Tensor], tf.Tensor],
        seed: tf.Tensor,
        *,
        sample_weight: tf.Tensor | None = None,
        compute_type: tf.DType = tf.float32,
    ) -> tf.Tensor:
        """Mean of −log P(item | query) over the rows of all replicas; this replica's share.

        Args:
            queries: what is multiplied with the items' vectors. float32 [batch, dim]
            items: those that were taken, by item index. [batch]
            users: who took them, by user index, ascending. [batch]
            embed: item index [n] → vectors, float32 [n, dim].
            seed: of the draw, the same on all replicas. int32 [2]
            sample_weight: of the rows. float32 [batch]
            compute_type: of the products.

        """
        known = KnownPositives.of_users(users, self._taken) if self._masks else KnownPositives.of_rows(items)
        drawn = self._sampler.draw(
            items, gathered(items), seed, lambda pool, offsets: mean_softmax(queries, embed(pool), offsets)
        )
        return sampled_softmax(
            queries,
            embed(items),
            embed(drawn.items),
            drawn.items,
            drawn.log_weights,
            known,
            positive_offsets=drawn.positive_offsets,
            sample_weight=sample_weight,
            num_items=self._num_items,
            compute_type=compute_type,
        )


def by_user(inputs: Tensors) -> Tensors:
    """The batch in the order of its users, so that rows of one user share a list of known positives."""
    order = tf.argsort(inputs[USER_INDEX])
    return {name: tf.gather(values, order) for name, values in inputs.items()}


def some_unknown(user_ids: tf.Tensor, share: float, seed: tf.Tensor) -> tf.Tensor:
    """That share of the rows has the id of unknown users. [batch] → [batch]"""
    drawn = tf.random.stateless_uniform(tf.shape(user_ids), seed, alg="philox")
    return tf.where(drawn < share, tf.constant(FIRST_OOV_ID, user_ids.dtype), user_ids)
