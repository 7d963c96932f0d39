r"""Two towers: a vector for the user and what the user did lately, a vector for the item (Yi et al. 2019).

.. math:: s(u, i) = \Bigl(e_u + \sum_{r} w_r \odot E_{h_r} + \sum_f e_f\Bigr) \cdot \Bigl(E_i + \sum_g e_g\Bigr)

E is one table for the items of the history and for the candidates, h_r the user's r-th latest item, w_r learnt weights
by recency, e_f and e_g embeddings of further user and item features. Trained by in-batch softmax with logQ correction.
The score is a dot product, so items can be found by nearest-neighbour search.
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import FeatureEmbedding, PositionWeightedPooling
from tfrec.layers.feature_embedding import choose_features
from tfrec.losses import InBatchSoftmax, catalogue_softmax
from tfrec.models.base import GradientModel, ModelConfig, RetrievalModel, TwoTowerEmbeddings, frozen_variable
from tfrec.models.inputs import ModelInputs
from tfrec.schema import FIRST_OOV_ID, ITEM_INDEX, USER_INDEX, SequenceFeature


class TwoTowerConfig(ModelConfig):
    """Choices of the two towers."""

    embedding_dim: int = Field(64, ge=1)
    use_history: bool = Field(True, description="the user tower reads the schema's sequence feature")
    history_half_life: float = Field(5.0, gt=0, description="items after which a history weight starts at one half")
    use_user_id: bool = True
    user_id_dropout: float = Field(
        0.5,
        ge=0,
        lt=1,
        description="share of training rows whose user is taken as unknown: so the unknown user learns",
    )
    user_features: tuple[str, ...] = Field((), description="further user and context features")
    item_features: tuple[str, ...] = Field((), description="further item features, beside the id")
    embedding_stddev: float = Field(0.03, gt=0, description="of the initial embeddings")
    loss: Literal["in_batch", "catalogue"] = Field(
        "in_batch", description="negatives: the items of the batch, or (for a small catalogue) all items"
    )
    temperature: float = Field(1.0, gt=0, description="divides the logits of the in-batch softmax")
    mask_known_positives: bool = Field(True, description="a user's other training items are not negatives")


class TwoTower(RetrievalModel, GradientModel, TwoTowerEmbeddings):
    """Feed-forward towers over ids, history and features."""

    Config = TwoTowerConfig
    config: TwoTowerConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "average_decay": 0.99,
        "patience": 4,
        "epochs": 30,
    }

    def __init__(self, config: TwoTowerConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="two_tower")
        self.config = config
        self.inputs = inputs
        schema = inputs.schema
        self._history = schema.history if config.use_history else None
        self._user_features = choose_features(
            schema, config.user_features, roles=("user", "context"), key="model.user_features"
        )
        self._item_features = choose_features(schema, config.item_features, roles=("item",), key="model.item_features")
        if not (config.use_user_id or self._history or self._user_features):
            raise ConfigError(
                "model: the user tower reads nothing; set use_user_id, use_history (with a sequence feature in the "
                "dataset) or user_features"
            )
        self._item_table = self._table(inputs.num_ids[schema.item_id], config.embedding_stddev, seed, 0, "items")
        # A user's own vector starts small beside the history, and large where it stands alone.
        user_stddev = config.embedding_stddev * (0.1 if self._history else 1.0)
        self._user_table = None
        if config.use_user_id:
            self._user_table = self._table(inputs.num_ids[schema.user_id], user_stddev, seed, 1, "users")
        if self._history is not None:
            feature = schema.features[self._history]
            assert isinstance(feature, SequenceFeature)
            self._pooling = PositionWeightedPooling(feature.length, config.embedding_dim, config.history_half_life)
        self._user_side = self._features(self._user_features, seed + 2)
        self._item_side = self._features(self._item_features, seed + 3)
        self._task = InBatchSoftmax(config.temperature)
        counts = inputs.train.item_counts()
        self._item_probability = tf.constant(counts / max(counts.sum(), 1), tf.float32)
        self._catalogue = {name: tf.constant(values) for name, values in inputs.catalogue.features.items()}
        self._positives = tf.RaggedTensor.from_row_splits(inputs.train.items, inputs.train.row_splits)
        self._item_vectors = frozen_variable(tf.zeros([inputs.num_items, config.embedding_dim]), "item_vectors")

    def _table(self, rows: int, stddev: float, seed: int, salt: int, name: str) -> tf.Variable:
        dim = self.config.embedding_dim
        return tf.Variable(tf.random.stateless_normal([rows, dim], seed=[seed, salt], stddev=stddev), name=name)

    def _features(self, names: tuple[str, ...], seed: int) -> FeatureEmbedding | None:
        if not names:
            return None
        return FeatureEmbedding(
            self.inputs.schema,
            self.inputs.num_ids,
            names,
            self.config.embedding_dim,
            stddev=self.config.embedding_stddev * 0.1,
            seed=seed,
            first_order=False,
        )

    def embed_users(self, features: Tensors) -> tf.Tensor:
        vector = 0.0
        if self._user_table is not None:
            vector += tf.gather(self._user_table, features[self.inputs.schema.user_id])
        if self._history is not None:
            vector += self._pooling(self._item_table, features[self._history])
        if self._user_side is not None:
            vector += tf.reduce_sum(self._user_side(features).vectors, axis=1)
        return vector

    def embed_items(self, features: Tensors) -> tf.Tensor:
        vector = tf.gather(self._item_table, features[self.inputs.schema.item_id])
        if self._item_side is not None:
            vector += tf.reduce_sum(self._item_side(features).vectors, axis=1)
        return vector

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        items = inputs[ITEM_INDEX]
        positives = tf.gather(self._positives, inputs[USER_INDEX]) if self.config.mask_known_positives else None
        if training:
            inputs = {
                **inputs,
                self.inputs.schema.user_id: self._some_unknown(inputs[self.inputs.schema.user_id]),
            }
        if self.config.loss == "catalogue":
            return catalogue_softmax(self.embed_users(inputs), self.embed_items(self._catalogue), items, positives)
        return self._task(
            self.embed_users(inputs),
            self.embed_items({name: tf.gather(values, items) for name, values in self._catalogue.items()}),
            candidate_sampling_probability=tf.gather(self._item_probability, items),
            candidate_ids=items,
            known_positives=positives,
        )

    def _some_unknown(self, users: tf.Tensor) -> tf.Tensor:
        is_dropped = tf.random.uniform(tf.shape(users)) < self.config.user_id_dropout
        return tf.where(is_dropped, tf.constant(FIRST_OOV_ID, users.dtype), users)

    def train_columns(self) -> frozenset[str]:
        return self.required_features | {USER_INDEX, ITEM_INDEX}

    @property
    def required_features(self) -> frozenset[str]:
        names = {self.inputs.schema.user_id, *self._user_features}
        return frozenset(names | ({self._history} if self._history else set()))

    def refresh(self) -> None:
        self._item_vectors.assign(self.embed_items(self._catalogue))

    def scores(self, features: Tensors) -> tf.Tensor:
        return tf.matmul(self.embed_users(features), self._item_vectors, transpose_b=True)

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, self._item_vectors]
