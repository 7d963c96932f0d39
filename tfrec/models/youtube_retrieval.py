r"""Deep candidate generation as at YouTube: the next item as one of many classes (Covington et al. 2016, section 3).

.. math:: q = \mathrm{tower}\Bigl(\bigl[\tfrac{1}{n}\textstyle\sum_r E_{h_r};\ e_{f};\ a, \sqrt a, a^2\bigr]\Bigr),
          \qquad P(i \mid q) = \frac{e^{q \cdot t_i + b_i}}{\sum_j e^{q \cdot t_j + b_j}}

E_h are the vectors of the history's items, e_f those of further user and context features, and a is the age of the
training example: how long before the newest one it happened, as a share of the time that training spans. When the model
answers, a is 0: what it would predict at the end of training, rather than on the average of the past. t and b are the
weights of the softmax, which sampled negatives stand in for; items are found by nearest-neighbour search among them.

Besides the paper: `history_half_life` weighs late items more by learnt weights, `share_item_table` takes E for t,
`residual` adds what was averaged to the tower's output, and the user's id is an input. The paper's own model has
`history_half_life: null`, `hidden: [1024, 512, 256]` and none of the others. b starts at the logarithm of the item's
share of events, so that items which nobody took (they share the vector of unknown items) stand behind.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import (
    FeatureEmbedding,
    FieldPlan,
    IdTable,
    TableConfig,
    TableShape,
    choose_features,
    dropout,
    with_weights,
)
from tfrec.layers.relu_tower import ReluTower
from tfrec.layers.tables import look_up, normal_rows, plan_rows
from tfrec.models.base import ModelConfig, RetrievalModel, TwoTowerEmbeddings
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel, frozen_variable
from tfrec.models.towers.example_age import AGE_WIDTH, ExampleAge
from tfrec.models.towers.history_mean import HistoryMean
from tfrec.models.towers.item_softmax import ItemSoftmax, by_user, some_unknown
from tfrec.negatives import NegativesConfig
from tfrec.schema import EVENT_TIME_MS, ITEM_INDEX, USER_INDEX, Schema

UNKNOWN_SALT, NEGATIVES_SALT, INPUT_SALT, DROPOUT_SALT = (
    1,
    2,
    3,
    10,
)  # dropout takes one for the input, one for each layer


class YoutubeRetrievalConfig(ModelConfig):
    """Choices of the candidate generator."""

    embedding_dim: int = Field(64, ge=1, description="of the history's items, the features and the softmax weights")
    hidden: tuple[int, ...] = Field((256,), description="widths of the ReLU layers; () for one linear layer")
    dropout: float = Field(0.5, ge=0, lt=1, description="behind each ReLU layer")
    input_dropout: float = Field(0.5, ge=0, lt=1, description="of the pooled history and the user's vector")
    history_half_life: float | None = Field(
        5.0,
        gt=0,
        description="items after which a learnt weight of the history starts at one half; null: a plain mean",
    )
    use_user_id: bool = Field(True, description="the user's id is an input of the tower too")
    user_id_dropout: float = Field(0.5, ge=0, lt=1, description="share of training rows whose user is unknown")
    user_features: tuple[str, ...] = Field((), description="further user and context features")
    example_age: bool | None = Field(
        None,
        description="the age of training examples is an input; null: where the split is temporal, so that the model is "
        "asked about the time at which training ends",
    )
    examples_per_user: int | None = Field(
        None, ge=1, description="users with more training events count as if they had so many; null: all events count"
    )
    share_item_table: bool = Field(True, description="items have one vector, in the history and in the softmax")
    residual: bool = Field(True, description="the pooled history (and the user's vector) is added to the output")
    embedding_stddev: float = Field(0.03, gt=0, description="of the initial embeddings")
    negatives: NegativesConfig = NegativesConfig()
    mask_known_positives: bool = Field(True, description="a user's other training items are not negatives")


class YoutubeRetrieval(RetrievalModel, GradientModel, TwoTowerEmbeddings):
    """Averaged history, features and example age → ReLU tower → softmax over items."""

    Config = YoutubeRetrievalConfig
    config: YoutubeRetrievalConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "average_decay": 0.99,
        "patience": 8,
        "epochs": 30,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "model.embedding_dim": "[32, 64, 128]",
        "model.history_half_life": "log(1, 50)",
        "model.hidden": "[[128], [256], [256, 128]]",
        "model.dropout": "uniform(0, 0.7)",
        "model.input_dropout": "uniform(0, 0.7)",
    }

    def __init__(self, config: YoutubeRetrievalConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="youtube_retrieval")
        self.config = config
        self.inputs = inputs
        self.seed = seed
        schema, dim = inputs.schema, config.embedding_dim
        self._features = choose_features(
            schema, config.user_features, roles=("user", "context"), key="model.user_features"
        )
        if not (schema.history or self._features or config.use_user_id):
            raise ConfigError(
                "model: the tower reads nothing; add a feature of kind sequence to dataset.yaml, or set "
                "model.user_features or model.use_user_id"
            )
        items = inputs.num_ids[schema.item_id]
        self._softmax = self._table(items, 0, "softmax_weights")
        self._bias = tf.Variable(log_shares(inputs)[:, None], name="softmax_biases")
        self._taken = self._softmax if config.share_item_table else self._table(items, 1, "history_items")
        self._users = self._table(inputs.num_ids[schema.user_id], 2, "users") if config.use_user_id else None
        self._history = HistoryMean(schema, dim, config.history_half_life) if schema.history else None
        self._side = None
        if self._features:
            plan = FieldPlan(schema, inputs.num_ids, self._features)
            self._side = FeatureEmbedding(plan, dim, stddev=config.embedding_stddev, seed=seed + 1, first_order=False)
        self._age = ExampleAge.of(config.example_age, inputs)
        vectors = (self._history is not None) + config.use_user_id + len(self._features)
        width = vectors * dim + (AGE_WIDTH if self._age else 0)
        self._tower = ReluTower(width, config.hidden, dim, dropout=config.dropout, seed=seed + 2)
        self._item_softmax = ItemSoftmax(inputs, config.negatives, mask_known_positives=config.mask_known_positives)
        self._item_ids = tf.constant(inputs.catalogue.features[schema.item_id])
        self._item_vectors = frozen_variable(tf.zeros([inputs.num_items, dim + 1]), "item_vectors")

    def _table(self, rows: int, salt: int, name: str) -> tf.Variable:
        dim = self.config.embedding_dim
        initial = normal_rows(rows, dim, stddev=self.config.embedding_stddev, seed=[self.seed, salt])
        return tf.Variable(initial, shape=[rows, dim], dtype=tf.float32, name=name)

    def embed_users(self, features: Tensors) -> tf.Tensor:
        """Encoded user and context features → float32 [batch, embedding_dim + 1]; the last column is 1."""
        return self._queries(features, None)

    def _queries(self, features: Tensors, times_ms: tf.Tensor | None, *, training: bool = False) -> tf.Tensor:
        """Outputs of the tower with a 1 behind, which meets the items' biases.

        Args:
            features: encoded.
            times_ms: of training examples; None where the model answers. int64 [batch]
            training: with dropout.

        """
        schema, vectors = self.inputs.schema, []
        batch = tf.shape(features[schema.user_id])[0]
        if self._history is not None and schema.history is not None:
            vectors.append(self._history(self._taken, features[schema.history]))
        if self._users is not None:
            vectors.append(look_up(self._users, features[schema.user_id]))
        if training and vectors:
            seed = tf.random.experimental.stateless_split(self.draw_seed(INPUT_SALT), len(vectors))
            vectors = [dropout(v, self.config.input_dropout, seed[place]) for place, v in enumerate(vectors)]
        added = tf.add_n(vectors) if self.config.residual and vectors else 0.0
        if self._side is not None:
            of_features = self._side(features).vectors
            vectors.append(tf.reshape(of_features, [batch, len(self._features) * self.config.embedding_dim]))
        if self._age is not None:
            vectors.append(self._age(times_ms, batch))
        seeds = [self.draw_seed(DROPOUT_SALT + layer) for layer in range(len(self.config.hidden) + 1)]
        of_tower = self._tower(
            tf.concat(vectors, axis=1), seeds if training else None, self.compute_type if training else tf.float32
        )
        return tf.concat([of_tower + added, tf.ones([batch, 1])], axis=1)

    def embed_items(self, features: Tensors) -> tf.Tensor:
        """Encoded item features → float32 [batch, embedding_dim + 1]: softmax weights, then the bias."""
        ids = features[self.inputs.schema.item_id]
        return tf.concat([look_up(self._softmax, ids), look_up(self._bias, ids)], axis=1)

    def _embed(self, items: tf.Tensor) -> tf.Tensor:
        """Vectors of items by index."""
        return self.embed_items({self.inputs.schema.item_id: tf.gather(self._item_ids, items)})

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        inputs, user_id = by_user(inputs), self.inputs.schema.user_id
        if training and self._users is not None and self.config.user_id_dropout:
            seed = self.draw_seed(UNKNOWN_SALT)
            inputs[user_id] = some_unknown(inputs[user_id], self.config.user_id_dropout, seed)
        return self._item_softmax.loss(
            self._queries(inputs, inputs.get(EVENT_TIME_MS), training=training),
            inputs[ITEM_INDEX],
            inputs[USER_INDEX],
            self._embed,
            self.draw_seed(NEGATIVES_SALT, per_replica=False),
            sample_weight=self._weights(inputs[USER_INDEX]),
            compute_type=self.compute_type if training else tf.float32,
        )

    def _weights(self, users: tf.Tensor) -> tf.Tensor | None:
        """Of the rows: those of a user add up to `examples_per_user` at most. float [batch]"""
        if self.config.examples_per_user is None:
            return None
        events = tf.cast(self._item_softmax.events_of(users), tf.float32)
        return tf.minimum(self.config.examples_per_user / tf.maximum(events, 1.0), 1.0)

    def refresh(self) -> None:
        self._item_vectors.assign(self.embed_items({self.inputs.schema.item_id: self._item_ids}))

    def scores(self, features: Tensors) -> tf.Tensor:
        return tf.matmul(self.embed_users(features), self._item_vectors, transpose_b=True)

    def embeddings(self) -> TwoTowerEmbeddings:
        return self

    def item_vectors_for_reasons(self) -> tf.Tensor:
        """Softmax weights without the biases: items of like weights follow like histories."""
        return self._item_vectors[:, :-1]

    def train_columns(self) -> frozenset[str]:
        times = {EVENT_TIME_MS} if self._age else set()
        return self.required_features | {USER_INDEX, ITEM_INDEX} | times

    @property
    def required_features(self) -> frozenset[str]:
        schema = self.inputs.schema
        return frozenset(
            {schema.user_id, *with_weights(schema, self._features)} | ({schema.history} if schema.history else set())
        )

    def id_tables(self) -> list[IdTable]:
        schema, num_ids = self.inputs.schema, self.inputs.num_ids
        items, users = (plan_rows(num_ids[name], TableConfig()) for name in (schema.item_id, schema.user_id))
        of_items = [self._softmax, self._bias, *([] if self.config.share_item_table else [self._taken])]
        found = [IdTable(table, schema.item_id, 0, items) for table in of_items]
        if self._users is not None:
            found.append(IdTable(self._users, schema.user_id, 0, users))
        return found + ([] if self._side is None else self._side.id_tables())

    @classmethod
    def table_shapes(
        cls, config: YoutubeRetrievalConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        dim, items = config.embedding_dim, num_ids[schema.item_id]
        shapes = [TableShape("softmax_weights", items, dim), TableShape("softmax_biases", items, 1)]
        if not config.share_item_table:
            shapes.append(TableShape("history_items", items, dim))
        if config.use_user_id:
            shapes.append(TableShape("users", num_ids[schema.user_id], dim))
        names = choose_features(schema, config.user_features, roles=("user", "context"), key="model.user_features")
        found = FieldPlan(schema, num_ids, names).table_shapes(dim, first_order=False)
        shapes += [TableShape(f"user_features/{shape.name}", shape.rows, dim) for shape in found]
        return [*shapes, TableShape("item_vectors", num_items, dim + 1, is_trained=False)]

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, self._item_vectors]


def log_shares(inputs: ModelInputs) -> np.ndarray:
    """Logarithm of each item id's share of the training events, as if each had half an event more. float32 [num_ids]"""
    size = inputs.num_ids[inputs.schema.item_id]
    ids = inputs.catalogue.features[inputs.schema.item_id]
    counts = np.bincount(ids, weights=inputs.train.item_counts(), minlength=size) + 0.5
    return np.log(counts / counts.sum()).astype(np.float32)
