r"""Two towers: a vector for the user and what the user did lately, a vector for the item (Yi et al. 2019).

.. math:: s(u, i) = \Bigl(e_u + \sum_{r} w_r \odot E_{h_r} + \sum_f e_f\Bigr) \cdot \Bigl(E_i + \sum_g e_g\Bigr)

E is one table for the items of the history and for the candidates, h_r the user's r-th latest item, w_r learnt weights
by recency, e_f and e_g embeddings of further user and item features. Trained by a softmax over sampled negatives. The
score is a dot product, so items can be found by nearest-neighbour search.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import (
    FeatureEmbedding,
    FieldPlan,
    IdTable,
    PositionWeightedPooling,
    TableConfig,
    TableShape,
    choose_features,
    with_weights,
)
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.base import ModelConfig, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, frozen_variable
from tfrec.models.profiles.user_profiles import ProfileConfig, UserProfiles
from tfrec.models.towers.item_softmax import ItemSoftmax, by_user, some_unknown
from tfrec.negatives import NegativesConfig
from tfrec.schema import ITEM_INDEX, USER_INDEX, Schema, SequenceFeature

DROPOUT_SALT, NEGATIVES_SALT = 1, 2


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
    negatives: NegativesConfig = NegativesConfig()
    temperature: float = Field(1.0, gt=0, description="divides the logits of the softmax")
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
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "train.batch_size": "[512, 1024, 2048]",
        "model.embedding_dim": "[32, 64, 128]",
        "model.history_half_life": "log(1, 50)",
        "model.user_id_dropout": "uniform(0, 0.9)",
        "model.temperature": "log(0.3, 3)",
    }

    def __init__(self, config: TwoTowerConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="two_tower")
        self.config = config
        self.inputs = inputs
        self.seed = seed
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
        self._softmax = ItemSoftmax(inputs, config.negatives, mask_known_positives=config.mask_known_positives)
        self._catalogue = {name: tf.constant(values) for name, values in inputs.catalogue.features.items()}
        self._item_vectors = frozen_variable(tf.zeros([inputs.num_items, config.embedding_dim]), "item_vectors")

    def _table(self, rows: int, stddev: float, seed: int, salt: int, name: str) -> tf.Variable:
        dim = self.config.embedding_dim
        initial = normal_rows(rows, dim, stddev=stddev, seed=[seed, salt])
        return tf.Variable(initial, shape=[rows, dim], dtype=tf.float32, name=name)

    def _features(self, names: tuple[str, ...], seed: int) -> FeatureEmbedding | None:
        if not names:
            return None
        return FeatureEmbedding(
            FieldPlan(self.inputs.schema, self.inputs.num_ids, names),
            self.config.embedding_dim,
            stddev=self.config.embedding_stddev * 0.1,
            seed=seed,
            first_order=False,
        )

    def embed_users(self, features: Tensors) -> tf.Tensor:
        vector = 0.0
        if self._user_table is not None:
            vector += look_up(self._user_table, features[self.inputs.schema.user_id])
        if self._history is not None:
            vector += self._pooling(self._item_table, features[self._history])
        if self._user_side is not None:
            vector += tf.reduce_sum(self._user_side(features).vectors, axis=1)
        return vector

    def embed_items(self, features: Tensors) -> tf.Tensor:
        vector = look_up(self._item_table, features[self.inputs.schema.item_id])
        if self._item_side is not None:
            vector += tf.reduce_sum(self._item_side(features).vectors, axis=1)
        return vector

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        inputs, user_id = by_user(inputs), self.inputs.schema.user_id
        if training and self.config.user_id_dropout:
            seed = self.draw_seed(DROPOUT_SALT)
            inputs[user_id] = some_unknown(inputs[user_id], self.config.user_id_dropout, seed)
        return self._softmax.loss(
            self.embed_users(inputs) / self.config.temperature,
            inputs[ITEM_INDEX],
            inputs[USER_INDEX],
            self._embed,
            self.draw_seed(NEGATIVES_SALT, per_replica=False),
            compute_type=self.compute_type if training else tf.float32,
        )

    def _embed(self, items: tf.Tensor) -> tf.Tensor:
        """Vectors of items of the catalogue, by item index."""
        return self.embed_items({name: tf.gather(values, items) for name, values in self._catalogue.items()})

    def id_tables(self) -> list[IdTable]:
        schema, num_ids = self.inputs.schema, self.inputs.num_ids
        items, users = (plan_rows(num_ids[name], TableConfig()) for name in (schema.item_id, schema.user_id))
        found = [IdTable(self._item_table, schema.item_id, 0, items, content=self._item_features)]
        if self._user_table is not None:
            found.append(IdTable(self._user_table, schema.user_id, 0, users))
        for side in (self._user_side, self._item_side):
            found += [] if side is None else side.id_tables()
        return found

    def train_columns(self) -> frozenset[str]:
        return self.required_features | {USER_INDEX, ITEM_INDEX}

    @classmethod
    def table_shapes(
        cls, config: TwoTowerConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        dim = config.embedding_dim
        shapes = [TableShape("items", num_ids[schema.item_id], dim)]
        if config.use_user_id:
            shapes.append(TableShape("users", num_ids[schema.user_id], dim))
        for side, wanted, roles in (
            ("user_features", config.user_features, ("user", "context")),
            ("item_features", config.item_features, ("item",)),
        ):
            names = choose_features(schema, wanted, roles=roles, key=f"model.{side}")
            found = FieldPlan(schema, num_ids, names).table_shapes(dim, first_order=False)
            shapes += [TableShape(f"{side}/{shape.name}", shape.rows, dim) for shape in found]
        return [*shapes, TableShape("item_vectors", num_items, dim, is_trained=False)]

    @property
    def required_features(self) -> frozenset[str]:
        names = {self.inputs.schema.user_id, *with_weights(self.inputs.schema, self._user_features)}
        return frozenset(names | ({self._history} if self._history else set()))

    def refresh(self) -> None:
        self._item_vectors.assign(self.embed_items(self._catalogue))

    def scores(self, features: Tensors) -> tf.Tensor:
        return tf.matmul(self.embed_users(features), self._item_vectors, transpose_b=True)

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return tf.convert_to_tensor(self._item_vectors)

    def profiles_for_reasons(self) -> UserProfiles:
        if self._history is not None and self._user_table is None:  # nothing else of the user reaches the score
            return UserProfiles(ProfileConfig(profile="history"), self.inputs)
        return super().profiles_for_reasons()

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, self._item_vectors]
