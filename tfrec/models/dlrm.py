r"""DLRM: numbers through a network, dot products of all vectors, and a network on top (Naumov et al. 2019, figure 1).

.. math::
    v_0 = \mathrm{bottom}(x), \qquad
    z = b + \mathrm{MLP}\bigl([v_0, (\langle v_f, v_g \rangle)_{g < f}]\bigr)

x are the numbers and precomputed vectors of a row, v_1 … v_F the vectors of its ids; prediction is σ(z) for a binary
label. Without numbers v_0 is left out.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors, encoded_dtype, list_width
from tfrec.errors import ConfigError
from tfrec.layers import EmbeddedFeatures, IdTable
from tfrec.layers.dot_interactions import DotInteractions
from tfrec.layers.id_tables import fixed_rows
from tfrec.layers.relu_tower import ReluTower
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.deep_fields import DeepFieldConfig, DeepFieldRanking
from tfrec.schema import Schema


class DLRMConfig(DeepFieldConfig):
    """Choices of DLRM: embeddings so large that their products are of the size of the numbers, none of them dropped."""

    embedding_dim: int = Field(16, ge=1)
    embedding_stddev: float = Field(0.3, gt=0, description="of the initial embeddings")
    embedding_l2: float = Field(0.003, ge=0, description="weight of the mean over rows of Σ_f ‖v_f‖²")
    input_dropout: float = Field(0.0, ge=0, lt=1, description="of the products on their way into the top network")
    dropout: float = Field(0.2, ge=0, lt=1, description="behind each hidden layer of the top network")
    crosses: Literal["none", "both"] = Field(  # type: ignore[assignment]
        "both", description="whether declared crosses are fields like any other"
    )
    bottom_units: tuple[int, ...] = Field((64,), description="hidden layers of the network on the numbers")

    def chosen_fields(self, schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Features with ids, and crosses; `numbers` are read by the bottom network.

        Raises:
            ConfigError: nothing with ids is among the features.

        """
        features, crosses = super().chosen_fields(schema)
        with_ids = [name for name in features if not encoded_dtype(schema.encoded[name]).is_floating]
        if not with_ids and not crosses:
            raise ConfigError(
                f"model.features: {', '.join(features)} have no ids, and dlrm multiplies vectors of ids; name a "
                "categorical feature too"
            )
        # The rows of the top network belong to pairs of places: a warm start needs each field where it was.
        return tuple(sorted(with_ids)), tuple(sorted(crosses))

    def numbers(self, schema: Schema) -> dict[str, int]:
        """Numbers and precomputed vectors among the features, and how wide each is."""
        features, _ = super().chosen_fields(schema)
        kinds = {name: schema.encoded[name] for name in sorted(features)}
        return {name: list_width(kind) or 1 for name, kind in kinds.items() if encoded_dtype(kind).is_floating}


class DLRM(DeepFieldRanking):
    """Dot interactions between two networks."""

    Config = DLRMConfig
    config: DLRMConfig
    has_first_order: ClassVar[bool] = False
    search_space: ClassVar[dict[str, str]] = {
        **DeepFieldRanking.search_space,
        "model.bottom_units": "[[64], [128, 64], [256, 128]]",
    }

    def __init__(self, config: DLRMConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed)
        if not self._mlp_inputs:
            raise ConfigError(
                f"model.features: {self.fields[0]!r} is alone, and dlrm multiplies pairs of vectors; name another "
                "feature too"
            )
        self._dots = DotInteractions()
        self._bottom: ReluTower | None = None
        if self._numbers:
            width = sum(self._numbers.values())
            self._bottom = ReluTower(width, config.bottom_units, config.embedding_dim, seed=seed + 3)

    @classmethod
    def activations(cls, config: DLRMConfig, schema: Schema) -> int:
        vectors = sum(map(len, config.chosen_fields(schema))) + 1
        return super().activations(config, schema) + sum(config.bottom_units) + vectors**2

    @property
    def _numbers(self) -> dict[str, int]:
        return self.config.numbers(self.inputs.schema)

    @property
    def _mlp_inputs(self) -> int:
        vectors = len(self.fields) + bool(self._numbers)
        return self.config.embedding_dim * bool(self._numbers) + vectors * (vectors - 1) // 2

    def _logits(self, embedded: EmbeddedFeatures, features: Tensors, *, training: bool) -> tf.Tensor:
        vectors = embedded.vectors
        if self._bottom is None:
            return self._bias + self._network(self._dots(vectors), training=training)
        columns = [tf.reshape(features[name], [-1, width]) for name, width in self._numbers.items()]
        compute_type = self.compute_type if training else tf.float32
        dense = tf.nn.relu(self._bottom(tf.concat(columns, axis=1), compute_type=compute_type))
        products = self._dots(tf.concat([dense[:, None, :], vectors], axis=1))
        return self._bias + self._network(tf.concat([dense, products], axis=1), training=training)

    def id_tables(self) -> list[IdTable]:
        found, row = self.embedding.id_tables(), 0
        if self._bottom is not None:
            for name, width in self._numbers.items():
                found.append(fixed_rows(self._bottom.kernels[0], name, row, width))
                row += width
            # What the top network makes of v_0 belongs to all numbers together: it goes with the first of them.
            found.append(fixed_rows(self._mlp.kernels[0], next(iter(self._numbers)), 0, self.config.embedding_dim))
        return [*found, *self._rows_of_pairs()]

    def _rows_of_pairs(self) -> list[IdTable]:
        """The top network's rows of each field's products with those before it; fewer elsewhere, so not taken over."""
        found, kernel = [], self._mlp.kernels[0]
        first, dense = self.config.embedding_dim * bool(self._numbers), int(bool(self._numbers))
        for at, name in self._placed():
            before = at + dense
            if before:
                found.append(fixed_rows(kernel, name, first + before * (before - 1) // 2, before))
        return found

    def _kernels(self) -> list[tf.Variable]:
        return [*super()._kernels(), *([] if self._bottom is None else self._bottom.kernels)]

    @property
    def required_features(self) -> frozenset[str]:
        return super().required_features | frozenset(self._numbers)
