r"""Matrix factorisation: a vector for each user and each item, whose inner product says how well they go together.

.. math:: s(u, i) = b_i + p_u \cdot q_i \qquad
          \hat r(u, i) = \mu + b_u + b_i + \Bigl(p_u + |N(u)|^{-1/2} \sum_{j \in N(u)} y_j\Bigr) \cdot q_i

The left one orders items, by a loss over what was taken and drawn negatives: BPR (Rendle et al. 2009), WARP (Weston et
al. 2011), hinge, logistic (Johnson 2014), gBCE (Petrov & Macdonald 2023), softmax. The right one predicts ratings by
squared errors: biased matrix factorisation (Koren et al. 2009), and with `implicit_history` SVD++ (Koren 2008), where
N(u) is what the user rated, whatever the ratings. With the other losses `implicit_history` gives p_u + the same sum, in
which no item helps to predict itself (as in FISM, Kabbur et al. 2013).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import numpy as np
import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError
from tfrec.layers import IdTable, TableConfig, TableShape
from tfrec.layers.tables import plan_rows
from tfrec.losses import CrossBatchMemory, squared
from tfrec.models.base import PredictsRatings, RetrievalModel, TwoTowerEmbeddings, rates
from tfrec.models.factors.answers import FactorAnswers
from tfrec.models.factors.losses import implicit_losses
from tfrec.models.factors.reciprocal import Reciprocity
from tfrec.models.factors.softmax import FactorSoftmax
from tfrec.models.factors.sparse_scores import order_of, sparse_scores
from tfrec.models.factors.tables import FactorTable, with_ones
from tfrec.models.factors.users import FactorUsers, FactorUsersConfig, UserRows, factor_l2, first_token
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel
from tfrec.negatives import NegativesConfig
from tfrec.negatives.of_rows import RowSampler, TakenItems
from tfrec.replicas import global_mean
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX, WEIGHT, Schema

NEGATIVES_SALT = 1
Loss = Literal["squared", "logistic", "bpr", "warp", "hinge", "softmax", "gbce"]


class MatrixFactorizationConfig(FactorUsersConfig):
    """Choices of the factorisation."""

    loss: Loss | None = Field(
        None,
        description="squared: of ratings where the label is a value, else of 1 against 0 for drawn negatives; null: "
        "squared where the label is a value, else bpr",
    )
    mask_known_positives: bool = Field(True, description="a user's other training items are not negatives")
    negatives: NegativesConfig = Field(NegativesConfig(kind="uniform"), description="of softmax, shared by the batch")
    memory_rows: int = Field(
        0, ge=0, description="softmax: this many item vectors of the latest batches are the negatives, beside the batch"
    )
    clip: bool = Field(True, description="predicted ratings stay within the range of the training labels")
    reciprocal: bool = Field(False, description="where users are items too: order by the product of both directions")


class MatrixFactorization(RetrievalModel, GradientModel, PredictsRatings, TwoTowerEmbeddings):
    """Tables of factors; `FactorAnswers` has the side that answers."""

    Config = MatrixFactorizationConfig
    config: MatrixFactorizationConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 8192,
        "learning_rate": 0.01,
        "average_decay": 0.99,
        "epochs": 100,
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.001, 0.03)",
        "train.batch_size": "[2048, 4096, 8192]",
        "model.embedding_dim": "[32, 64, 128]",
        "model.l2": "log(0.003, 0.3)",
        "model.bias_l2": "log(0.0001, 0.05)",
        "model.negative_alpha": "[0, 0.5, 0.75]",
        "model.negatives_per_row": "[1, 4, 16]",
    }

    def __init__(self, config: MatrixFactorizationConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(name="matrix_factorization")
        self.config, self.inputs, self.seed = config, inputs, seed
        schema, train, counts = inputs.schema, inputs.train, inputs.train.item_counts()
        has_values = schema.label is not None and not schema.label.is_binary
        self._loss = config.loss or ("squared" if has_values else "bpr")
        self._is_rating = self._loss == "squared" and has_values
        if config.memory_rows and self._loss != "softmax":
            raise ConfigError(f"model.memory_rows: is of loss softmax, and the loss is {self._loss}; set it to 0")
        self._users = FactorUsers(config, inputs, seed, is_rating=self._is_rating)
        looked_up = counts.astype(np.float64)
        if self._loss != "softmax" and not self._is_rating:
            taken = TakenItems(train.row_splits, train.items, inputs.num_items) if config.mask_known_positives else None
            self._sampler = RowSampler(counts, config.negative_alpha, taken)
            looked_up += config.negatives_per_row * counts.sum() * self._sampler.probabilities
        ids, num_ids = inputs.catalogue.features[schema.item_id], inputs.num_ids[schema.item_id]
        self._item_ids, first = tf.constant(ids, tf.int64), first_token(schema, schema.item_id)
        self._first_item = first if np.array_equal(ids, np.arange(len(ids)) + first) else None
        self._items = FactorTable(
            np.bincount(ids, looked_up, num_ids),
            config.embedding_dim,
            has_bias=config.biases,
            reserved=first,
            l2=factor_l2(config, self._is_rating),
            bias_l2=config.bias_l2,
            stddev=config.embedding_stddev,
            seed=[seed, 1],
            name="items",
        )
        self._answers = FactorAnswers(inputs, config.embedding_dim, is_rating=self._is_rating)
        self._reciprocity = Reciprocity(inputs, self._answers, self._users.first) if config.reciprocal else None
        if self._loss == "softmax":
            width = config.embedding_dim + config.biases
            memory = CrossBatchMemory(config.memory_rows, width) if config.memory_rows else None
            self._softmax = FactorSoftmax(config.negatives, inputs, mask=config.mask_known_positives, memory=memory)

    @classmethod
    def searched(cls, schema: Schema) -> dict[str, str]:
        has_values = schema.label is not None and not schema.label.is_binary  # ratings have no drawn negatives
        return {key: text for key, text in cls.search_space.items() if not (has_values and "negative" in key)}

    # --- Training ---

    def train_columns(self) -> frozenset[str]:
        schema = self.inputs.schema
        names = {schema.user_id, ITEM_INDEX, LABEL if self._is_rating else USER_INDEX}
        return frozenset(names | ({WEIGHT} if schema.weight is not None else set()))

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        is_softmax, user_id = self._loss == "softmax", self.inputs.schema.user_id
        # Users without an id of their own share one: a softmax, which masks what each of them took, goes by index.
        by, count = (USER_INDEX, self.inputs.num_users) if is_softmax else (user_id, self.inputs.num_ids[user_id])
        order = order_of(inputs[by], count)
        inputs = {name: tf.gather(values, order) for name, values in inputs.items()}
        users = self._users.look_up(inputs[user_id], inputs[ITEM_INDEX])
        if is_softmax:
            return users.penalty + self._softmax_loss(users, inputs, training)
        items, is_negative = inputs[ITEM_INDEX][:, None], None
        if not self._is_rating:
            seed = self.draw_seed(NEGATIVES_SALT)
            drawn = self._sampler.draw(inputs[USER_INDEX], inputs[ITEM_INDEX], self.config.negatives_per_row, seed)
            items, is_negative = tf.concat([items, drawn.items], axis=1), drawn.is_negative
        found = self._items.look_up(self._ids_of(items))
        scores = sparse_scores(users.rows, self._beside(found.rows), users.places, found.places)
        if is_negative is None:
            losses = squared(scores[:, 0] + self._answers.mean, inputs[LABEL])
        else:
            losses = implicit_losses(self._loss, self.config, scores, is_negative, self.inputs.num_items)
        return users.penalty + found.penalty + global_mean(losses, inputs.get(WEIGHT))

    def _ids_of(self, items: tf.Tensor) -> tf.Tensor:
        """Item indices → ids, which are the same but for a constant unless items have no token."""
        return tf.gather(self._item_ids, items) if self._first_item is None else items + self._first_item

    def _beside(self, items: tf.Tensor) -> tf.Tensor:
        """Rows of the item table, so that their product with the users' is the score: a 1 for the user's bias."""
        return with_ones(items, items.shape[1]) if self._users.table.has_bias else items

    def _softmax_loss(self, users: UserRows, inputs: Tensors, training: bool) -> tf.Tensor:
        penalties = []

        def embed(items: tf.Tensor) -> tf.Tensor:
            found = self._items.look_up(self._ids_of(items))
            penalties.append(found.penalty)
            return tf.gather(found.rows, found.places)

        loss = self._softmax(
            tf.gather(users.rows, users.places),
            inputs[USER_INDEX],
            inputs[ITEM_INDEX],
            embed,
            self.draw_seed(NEGATIVES_SALT, per_replica=False),
            weights=inputs.get(WEIGHT),
            compute_type=self.compute_type if training else tf.float32,
            training=training,
        )
        return loss + penalties[0]  # of the rows' own items

    def id_tables(self) -> list[IdTable]:
        schema = self.inputs.schema
        tables = [(self._users.table, schema.user_id), (self._items, schema.item_id)]
        if self._users.history is not None:
            tables.append((self._users.history.table, schema.item_id))
        return [
            IdTable(table.variable, name, 0, plan_rows(self.inputs.num_ids[name], TableConfig()))
            for table, name in tables
        ]

    @classmethod
    def table_shapes(
        cls, config: MatrixFactorizationConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        width = config.embedding_dim + config.biases
        # What orders items has no bias of the user.
        of_users = width if rates(cls, config, schema) else config.embedding_dim
        shapes = [TableShape("users", num_ids[schema.user_id], of_users)]
        shapes.append(TableShape("items", num_ids[schema.item_id], width))
        if config.implicit_history:
            shapes.append(TableShape("history_items", num_ids[schema.item_id], config.embedding_dim))
        derived = {"item_vectors_by_id": num_ids[schema.item_id], "item_vectors": num_items}
        return [*shapes, *(TableShape(name, rows, width, is_trained=False) for name, rows in derived.items())]

    # --- Answers ---

    @property
    def predicts_ratings(self) -> bool:
        return self.config.loss in (None, "squared")

    @property
    def preferred_monitor(self) -> str | None:
        return "rmse" if self.config.loss in (None, "squared") else None

    @property
    def required_features(self) -> frozenset[str]:
        return self._users.required_features

    def refresh(self) -> None:
        self._answers.refresh(tf.convert_to_tensor(self._items.variable), self._users.longest())
        self._users.refresh(self.item_vectors_for_reasons())
        if self._reciprocity is not None:
            self._reciprocity.refresh(self._answers.users(*self._users.of_ids(self._reciprocity.user_ids)))

    def embed_users(self, features: Tensors) -> tf.Tensor:
        return self._answers.users(*self._users(features, self.item_vectors_for_reasons()))

    def embed_items(self, features: Tensors) -> tf.Tensor:
        return tf.gather(self._answers.by_id, features[self.inputs.schema.item_id])

    def scores(self, features: Tensors) -> tf.Tensor:
        found = tf.matmul(self.embed_users(features), self._answers.items, transpose_b=True)
        if self._reciprocity is None:
            return found
        return self._reciprocity.match(found, features[self.inputs.schema.user_id])

    def predicted_ratings(self, features: Tensors) -> tf.Tensor:
        items = tf.gather(self._answers.items, features[ITEM_INDEX])
        found = tf.reduce_sum(self.embed_users(features) * items, axis=1)
        return self._answers.clipped(found) if self.config.clip else found

    def embeddings(self) -> TwoTowerEmbeddings | None:
        return None if self.config.reciprocal else self

    def item_vectors_for_reasons(self) -> tf.Tensor:
        return tf.convert_to_tensor(self._answers.items)[:, : self.config.embedding_dim]

    @property
    def state(self) -> list[tf.Variable]:
        return [*self._users.state, *self._answers.state, *(self._reciprocity.state if self._reciprocity else ())]
