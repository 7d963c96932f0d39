r"""Generalised matrix factorisation, GMF (He et al. 2017, equations 8, 9 and 11).

.. math:: \hat y(u, i) = \sigma(h^\top (p_u \odot q_i) + b)

A weight for each coordinate of the inner product, learnt by the logistic loss over drawn negatives
(`tfrec/models/ncf/pair_model.py`). The score is an inner product of p ⊙ h and q, so items are found by
nearest-neighbour search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import TableShape
from tfrec.models.base import TwoTowerEmbeddings
from tfrec.models.factors.answers import FactorAnswers
from tfrec.models.inputs import ModelInputs
from tfrec.models.ncf.gmf_part import GmfPart
from tfrec.models.ncf.pair_model import PairConfig, PairModel
from tfrec.models.ncf.pair_part import PairPart, part_table_shapes
from tfrec.schema import Schema


class GMFConfig(PairConfig):
    """Choices of GMF."""

    embedding_dim: int = Field(64, ge=1, description="of users and items: the paper's predictive factors")


class GMF(PairModel, TwoTowerEmbeddings):
    """One part; items that nobody took get one score, below all others of any user."""

    Config = GMFConfig
    config: GMFConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.001, 0.03)",
        "train.batch_size": "[1024, 4096, 8192]",
        "model.embedding_dim": "[16, 32, 64, 128]",
        "model.l2": "uniform(0, 0.01)",
        "model.negatives_per_row": "[4, 8]",
    }

    def __init__(self, config: GMFConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "gmf")
        self._gmf = GmfPart(
            inputs, self.item_lookups(), config.embedding_dim, l2=config.l2, stddev=config.embedding_stddev, seed=seed
        )
        self._answers = FactorAnswers(inputs, config.embedding_dim, is_rating=False)

    @property
    def parts(self) -> tuple[PairPart, ...]:
        return (self._gmf,)

    @classmethod
    def table_shapes(
        cls, config: GMFConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        users, items, width = num_ids[schema.user_id], num_ids[schema.item_id], config.embedding_dim + 1
        derived = {"item_vectors_by_id": items, "item_vectors": num_items}
        return [
            *part_table_shapes("gmf", config.embedding_dim, users, items),
            *(TableShape(name, rows, width, is_trained=False) for name, rows in derived.items()),
        ]

    # --- Answers ---

    def refresh(self) -> None:
        everyone = tf.convert_to_tensor(self._gmf.users.variable) * self._gmf.output
        longest = tf.reduce_max(tf.norm(everyone, axis=1))
        self._answers.refresh(tf.convert_to_tensor(self._gmf.items.variable), longest)

    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded user features → float32 [batch, embedding_dim + 2]: p ⊙ h, 1 for the item's prior, and b."""
        ids = features[self.inputs.schema.user_id]
        is_known = self.is_known(ids)[:, None]
        vectors = self._answers.users(tf.where(is_known, self._gmf.user_vectors(ids), 0.0), None)
        # b stands alone: beside it the prior, by which unknown users are answered, would be lost in rounding.
        return tf.concat([vectors, tf.where(is_known, self._gmf.output_bias, 0.0)], axis=1)

    def embed_items(self, features: Tensors) -> tf.Tensor:
        return _with_one(tf.gather(self._answers.by_id, features[self.inputs.schema.item_id]))

    def scores(self, features: Tensors) -> tf.Tensor:
        users = self.embed_users(features)
        return tf.matmul(users[:, :-1], self._answers.items, transpose_b=True) + users[:, -1:]

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    def item_vectors_for_reasons(self) -> tf.Tensor:
        """Vectors q ⊙ h: what p meets."""
        return tf.convert_to_tensor(self._answers.items)[:, :-1] * self._gmf.output

    @property
    def state(self) -> list[tf.Variable]:
        return [*self._gmf.user_state, *self._answers.state]


def _with_one(vectors: tf.Tensor) -> tf.Tensor:
    return tf.concat([vectors, tf.ones_like(vectors[:, :1])], axis=1)
