"""What rankers over fields share: the fields, their first-order weights, a bias, and the loss of the label."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.errors import ConfigError, did_you_mean
from tfrec.layers import (
    EmbeddedFeatures,
    FeatureEmbedding,
    FieldPlan,
    IdTable,
    TableConfig,
    TableShape,
    choose_features,
)
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import GradientModel
from tfrec.models.towers.event_losses import (
    EventLossConfig,
    LearnsFromEvents,
    event_loss,
    loss_columns,
    require_loss,
)
from tfrec.replicas import global_mean, share
from tfrec.schema import Schema

_ROLES = ("user", "item", "context")


class FieldConfig(EventLossConfig):
    """Choices that all of them have."""

    features: tuple[str, ...] | None = Field(
        None, min_length=1, description="encoded features and declared crosses; all but sequences by default"
    )
    tables: dict[str, TableConfig] = Field(
        {}, description="feature → how its ids share rows (hashed, quotient_remainder), for huge vocabularies"
    )
    crosses: Literal["none", "wide", "both"] = Field(
        "wide",
        description="declared crosses have first-order weights alone (wide), or are fields like any other (both)",
    )

    def chosen_fields(self, schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Names of the features and of the crosses that are read.

        Raises:
            ConfigError: `features` names neither a feature nor a cross, one twice, or a cross although `crosses` is
                none.

        """
        wanted = self.features
        if wanted is None:
            features = choose_features(schema, None, roles=_ROLES, key="model.features")
            return features, () if self.crosses == "none" else tuple(schema.crosses)
        for place, name in enumerate(wanted):
            if name in wanted[:place]:
                raise ConfigError(f"model.features: names {name!r} twice; keep one")
        crosses = tuple(name for name in wanted if name in schema.crosses)
        if crosses and self.crosses == "none":
            raise ConfigError(
                f"model.features: {crosses[0]!r} is a cross, and model.crosses=none leaves crosses out; "
                "drop one of the two"
            )
        known = [*schema.encoded, *schema.crosses]
        for name in wanted:
            if name not in known:
                raise ConfigError(f"model.features: no encoded feature or cross {name!r}{did_you_mean(name, known)}")
        features = tuple(name for name in wanted if name not in crosses)
        return choose_features(schema, features, roles=_ROLES, key="model.features"), crosses

    def plan(self, schema: Schema, num_ids: Mapping[str, int]) -> FieldPlan:
        """Where the fields stand."""
        features, crosses = self.chosen_fields(schema)
        if self.crosses == "both":
            return FieldPlan(schema, num_ids, features, self.tables, crosses=crosses)
        return FieldPlan(schema, num_ids, features, self.tables, wide_crosses=crosses)


class FieldRanking(LearnsFromEvents, GradientModel):  # type: ignore[override]
    """A logit of fields: a bias, first-order weights, and what a model adds to them."""

    config: FieldConfig
    has_first_order: ClassVar[bool] = True
    training_defaults: ClassVar[dict[str, Any]] = {
        "batch_size": 1024,
        "learning_rate": 0.003,
        "patience": 4,
        "epochs": 60,
    }

    def __init__(self, config: FieldConfig, inputs: ModelInputs, seed: int = 1) -> None:
        require_loss(config, inputs.schema)
        super().__init__(name=type(self).__name__.lower())
        self.config = config
        self.inputs = inputs
        self.seed = seed
        plan = config.plan(inputs.schema, inputs.num_ids)
        dim, stddev = self.vector_size(config)
        if dim and not plan.fields:
            raise ConfigError(
                f"model.features: {', '.join(plan.terms)} are crosses with first-order weights alone; name a feature "
                "too, or set model.crosses=both"
            )
        self.embedding = FeatureEmbedding(plan, dim, stddev=stddev, seed=seed, first_order=self.has_first_order)
        self._bias = tf.Variable(0.0, name="bias")

    @classmethod
    def vector_size(cls, config: Any) -> tuple[int, float]:
        """Width of the fields' vectors, 0 without any, and the standard deviation that they start with."""
        return 0, 0.0

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of the fields, in the order of their vectors."""
        return self.embedding.plan.fields

    def embed(self, features: Tensors) -> EmbeddedFeatures:
        """Encoded features [batch] or [batch, width] → vectors of `fields` and first-order weights."""
        embedded: EmbeddedFeatures = self.embedding(features)
        return embedded

    def logits(self, features: Tensors, *, training: bool = False) -> tf.Tensor:
        return self._logits(self.embed(features), features, training=training)

    def _logits(self, embedded: EmbeddedFeatures, features: Tensors, *, training: bool) -> tf.Tensor:
        """The fields of a batch, embedded and as they came → float [batch]."""
        return self._bias + tf.reduce_sum(embedded.weights, axis=1)

    def compute_loss(self, inputs: Tensors, training: bool = False) -> tf.Tensor:
        embedded = self.embed(inputs)
        logits = self._logits(embedded, inputs, training=training)
        loss = self._data_loss(inputs, logits)
        of_rows, of_matrices = self._row_penalties(embedded), self._matrix_penalty()
        if of_rows is not None:
            loss += global_mean(of_rows)
        return loss if of_matrices is None else loss + share(of_matrices)

    def _data_loss(self, inputs: Tensors, logits: tf.Tensor) -> tf.Tensor:
        """How far the logits are from the labels; this replica's share, a scalar."""
        return event_loss(self.config, self.inputs.schema, inputs, logits)

    def _row_penalties(self, embedded: EmbeddedFeatures) -> tf.Tensor | None:
        """What the rows of a batch add to the loss by what they look up. float [batch]"""
        return None

    def _matrix_penalty(self) -> tf.Tensor | None:
        """What matrices add to the loss in every step."""
        return None

    def train_columns(self) -> frozenset[str]:
        return self.required_features | loss_columns(self.inputs.schema)

    def wide_variables(self) -> list[tf.Variable]:
        return self.embedding.first_order

    def id_tables(self) -> list[IdTable]:
        return self.embedding.id_tables()

    @property
    def required_features(self) -> frozenset[str]:
        return self.embedding.plan.required_features

    @property
    def state(self) -> list[tf.Variable]:
        return [*self.trainable_variables, *self.calibration_state]

    @classmethod
    def table_shapes(
        cls, config: FieldConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        plan, dim = config.plan(schema, num_ids), cls.vector_size(config)[0]
        return plan.table_shapes(dim, first_order=cls.has_first_order)
