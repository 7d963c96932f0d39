"""What rankers whose fields have vectors share: how wide they are, and the user's past as further fields."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors, list_width
from tfrec.layers import EmbeddedFeatures, History, HistoryFields
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.fields import FieldConfig, FieldRanking
from tfrec.schema import Schema


class VectorFieldConfig(FieldConfig):
    """Choices of models with vectors."""

    embedding_dim: int = Field(32, ge=1)
    embedding_stddev: float = Field(0.05, gt=0, description="of the initial embeddings")
    embedding_l2: float = Field(0.0225, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    history: History = Field(
        "none",
        description="the user's past items as a field, in the vectors of the candidates: their mean, or their sum "
        "weighted by a network that sees the candidate (attention, as in DIN)",
    )
    attention_units: tuple[int, ...] = Field((36,), min_length=1, description="hidden layers of the attention")


class VectorFieldRanking(FieldRanking):
    """A logit of fields with vectors."""

    config: VectorFieldConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0003, 0.03)",
        "model.embedding_dim": "[8, 16, 32, 64]",
        "model.embedding_l2": "log(0.0001, 0.1)",
    }

    def __init__(self, config: VectorFieldConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed)
        self._history = HistoryFields(
            self.embedding.plan,
            inputs.schema,
            config.history,
            config.embedding_dim,
            units=config.attention_units,
            seed=seed + 2,
        )

    @classmethod
    def vector_size(cls, config: VectorFieldConfig) -> tuple[int, float]:
        return config.embedding_dim, config.embedding_stddev

    @classmethod
    def activations(cls, config: Any, schema: Schema) -> int:
        events = 0
        if config.history == "attention" and schema.history is not None:
            events = list_width(schema.encoded[schema.history]) or 0
        return super().activations(config, schema) + events * sum(config.attention_units)

    @property
    def fields(self) -> tuple[str, ...]:
        return (*super().fields, *self._history.fields)

    def _placed(self) -> Iterator[tuple[int, str]]:
        """Place and name of the fields whose rows in a matrix a later model can take over: all but crosses."""
        return ((at, name) for at, name in enumerate(self.fields) if name not in self.embedding.plan.crosses)

    @property
    def _width(self) -> int:
        """Of all vectors together."""
        return len(self.fields) * self.config.embedding_dim

    def embed(self, features: Tensors) -> EmbeddedFeatures:
        embedded = super().embed(features)
        if not self._history.fields:
            return embedded
        past = self._history(self.embedding, features, embedded.vectors)
        return EmbeddedFeatures(tf.concat([embedded.vectors, past], axis=1), embedded.weights)

    def _flat(self, embedded: EmbeddedFeatures) -> tf.Tensor:
        """The vectors side by side. float [batch, fields · dim]"""
        return tf.reshape(embedded.vectors, [-1, self._width])

    def _row_penalties(self, embedded: EmbeddedFeatures) -> tf.Tensor | None:
        if not self.config.embedding_l2:
            return None
        # Only rows of the batch are penalised: the cost does not grow with the tables.
        return self.config.embedding_l2 * tf.reduce_sum(tf.square(self._flat(embedded)), axis=1)

    @property
    def required_features(self) -> frozenset[str]:
        return super().required_features | self._history.required_features
