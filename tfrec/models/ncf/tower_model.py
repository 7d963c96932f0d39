"""Models that a tower must be asked in, pair by pair: the side that answers.

An answer costs a network for every item of the catalogue. `catalogue_scores` bounds the memory of that, not the time:
for millions of items put such a model behind a retrieval model, or take `gmf`.
"""

from __future__ import annotations

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import frozen_variable
from tfrec.models.ncf.catalogue_scores import catalogue_scores
from tfrec.models.ncf.mlp_part import MlpPart
from tfrec.models.ncf.pair_model import PairConfig, PairModel
from tfrec.models.profiles.cold_start import popularity_prior


class TowerConfig(PairConfig):
    """Choices of models with a tower over the vectors of a pair."""

    layers: int = Field(3, ge=1, le=12, description="of ReLU, each half as wide as what it reads")
    dropout: float = Field(0.0, ge=0, lt=1, description="behind each layer")


class TowerModel(PairModel):
    """Has an `MlpPart`, alone or beside others."""

    config: TowerConfig

    def __init__(
        self, config: TowerConfig, inputs: ModelInputs, seed: int, name: str, *, dim: int, part_seed: int
    ) -> None:
        """Make the part; `dim` is the width of its vectors, `part_seed` the seed of all its weights."""
        super().__init__(config, inputs, seed, name)
        self._mlp = MlpPart(
            inputs,
            self.item_lookups(),
            dim,
            layers=config.layers,
            dropout=config.dropout,
            l2=config.l2,
            stddev=config.embedding_stddev,
            seed=part_seed,
        )
        counts, width = inputs.train.item_counts(), self._mlp.tower.widths[0]
        self._item_inputs = frozen_variable(tf.zeros([inputs.num_items, width]), "item_inputs")
        self._prior = frozen_variable(popularity_prior(counts), "popularity_prior")
        self._is_new_item = frozen_variable(counts == 0, "is_new_item")

    def refresh(self) -> None:
        self._item_inputs.assign(self._mlp.item_inputs(self._item_ids))

    def catalogue_logits(self, users: tf.Tensor) -> tf.Tensor:
        """Logits of all pairs of these users (ids, int64 [batch]) with an item. float32 [batch, num_items]"""
        return catalogue_scores(self._mlp.user_inputs(users), self._item_inputs, self._mlp.tower.logits)

    def scores(self, features: Tensors) -> tf.Tensor:
        users = features[self.inputs.schema.user_id]
        logits = self.catalogue_logits(users)
        # What nobody took has learnt nothing: it goes last. Whoever has no vector gets what most others took.
        logits = tf.where(self._is_new_item, tf.reduce_min(logits, axis=1, keepdims=True), logits)
        return tf.where(self.is_known(users)[:, None], logits + self._prior, tf.convert_to_tensor(self._prior))

    def item_vectors_for_reasons(self) -> tf.Tensor:
        """The items' part of the first layer: what the tower sees of an item."""
        return self._item_inputs - self._mlp.tower.first_bias

    @property
    def state(self) -> list[tf.Variable]:
        return [*self._mlp.user_state, self._item_inputs, self._prior, self._is_new_item]
