r"""What models of pairs share: the loss over drawn negatives.

.. math:: L = -\frac{1}{n + 1} \Bigl( \log \sigma(s(u, i)) + \sum_{k=1}^{n} \log (1 - \sigma(s(u, j_k))) \Bigr)

(He et al. 2017, equation 7): n items that the user did not take are drawn anew for each event in every epoch.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import IdTable
from tfrec.losses import gbce
from tfrec.models.base import ModelConfig, RetrievalModel
from tfrec.models.factors.sparse_scores import order_of
from tfrec.models.factors.users import first_token
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel
from tfrec.models.ncf.pair_part import PairPart
from tfrec.negatives.of_rows import RowSampler, TakenItems
from tfrec.replicas import global_mean
from tfrec.schema import ITEM_INDEX, USER_INDEX, WEIGHT

NEGATIVES_SALT, DROPOUT_SALT = 1, 10  # dropout takes one for each layer


class PairConfig(ModelConfig):
    """Choices of all models of pairs."""

    embedding_stddev: float = Field(0.05, gt=0, description="of the first vectors")
    l2: float = Field(0.0, ge=0, description="λ of λ (|p|² + |q|²), for each event")
    negatives_per_row: int = Field(4, ge=1, description="items drawn for each event, anew in every epoch")
    negative_alpha: float = Field(
        0.0, ge=0, le=2, description="they are drawn in proportion to (their events)^alpha; 0: all alike (the paper)"
    )
    mask_known_positives: bool = Field(True, description="a user's other training items are not negatives")


class PairModel(RetrievalModel, GradientModel):
    """Subclasses make the parts, whose logits add up, and say how they answer."""

    config: PairConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 4096,
        "learning_rate": 0.005,
        "average_decay": 0.99,
        "epochs": 60,
    }

    def __init__(self, config: PairConfig, inputs: ModelInputs, seed: int, name: str) -> None:
        super().__init__(name=name)
        self.config, self.inputs, self.seed = config, inputs, seed
        train, counts = inputs.train, inputs.train.item_counts()
        taken = TakenItems(train.row_splits, train.items, inputs.num_items) if config.mask_known_positives else None
        self._sampler = RowSampler(counts, config.negative_alpha, taken)
        self._item_ids = tf.constant(inputs.catalogue.features[inputs.schema.item_id], tf.int64)
        self._first_user = first_token(inputs.schema, inputs.schema.user_id)

    @property
    @abc.abstractmethod
    def parts(self) -> tuple[PairPart, ...]:
        """What adds up to the logit of a pair."""

    def item_lookups(self) -> np.ndarray:
        """How often each item is looked up in an epoch, as positive and as negative. float64 [num_items]"""
        counts = self.inputs.train.item_counts()
        return counts + self.config.negatives_per_row * counts.sum() * self._sampler.probabilities

    # --- Training ---

    def train_columns(self) -> frozenset[str]:
        schema = self.inputs.schema
        names = {schema.user_id, USER_INDEX, ITEM_INDEX}
        return frozenset(names | ({WEIGHT} if schema.weight is not None else set()))

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        user_id = self.inputs.schema.user_id
        order = order_of(inputs[user_id], self.inputs.num_ids[user_id])
        inputs = {name: tf.gather(values, order) for name, values in inputs.items()}
        own, count = inputs[ITEM_INDEX], self.config.negatives_per_row
        drawn = self._sampler.draw(inputs[USER_INDEX], own, count, self.draw_seed(NEGATIVES_SALT))
        items = tf.gather(self._item_ids, tf.concat([own[:, None], drawn.items], axis=1))
        logits, penalties, salt = [], [], DROPOUT_SALT
        for part in self.parts:
            seeds = [self.draw_seed(salt + layer) for layer in range(part.dropouts)] if training else None
            compute_type = self.compute_type if training else tf.float32
            found = part.pair_logits(inputs[user_id], items, seeds, compute_type)
            logits.append(found.logits)
            penalties.append(found.penalty)
            salt += part.dropouts
        of_pairs = tf.add_n(logits)
        losses = gbce(of_pairs[:, 0], of_pairs[:, 1:], 1.0, drawn.is_negative)
        return tf.add_n(penalties) + global_mean(losses, inputs.get(WEIGHT))

    def id_tables(self) -> list[IdTable]:
        return [table for part in self.parts for table in part.id_tables()]

    # --- Answers ---

    def is_known(self, users: tf.Tensor) -> tf.Tensor:
        """Which ids stand for a user of their own. int64 [batch] → bool [batch]"""
        return users >= self._first_user

    @property
    def required_features(self) -> frozenset[str]:
        return frozenset({self.inputs.schema.user_id})
