r"""Deep & Cross Network V2: explicit crosses of bounded degree beside or before a network (Wang et al. 2021, figure 1).

.. math::
    x_0 = [v_1, \dots, v_F], \qquad x_{l+1} = x_0 \odot (W_l x_l + b_l) + x_l

    \text{parallel:} \quad z = b + w^\top x_L + \mathrm{MLP}(x_0) \qquad\qquad
    \text{stacked:} \quad z = b + \mathrm{MLP}(x_L)

W_l is full (eq. 1) or of low rank (eq. 2); prediction is σ(z) for a binary label. Without hidden units the MLP is one
linear layer.
"""

from __future__ import annotations

from typing import ClassVar, Literal

import tensorflow as tf
from pydantic import Field

from tfrec.dataset.records import Tensors
from tfrec.layers import CrossNetwork, EmbeddedFeatures, IdTable
from tfrec.layers.id_tables import fixed_rows
from tfrec.layers.mlp import MLP
from tfrec.models.inputs import ModelInputs
from tfrec.models.towers.deep_fields import DeepFieldConfig, DeepFieldRanking
from tfrec.schema import Schema


class DCNConfig(DeepFieldConfig):
    """Choices of the Deep & Cross Network."""

    crosses: Literal["none", "both"] = Field(  # type: ignore[assignment]
        "both", description="whether declared crosses are fields like any other"
    )
    cross_layers: int = Field(2, ge=1, description="crosses of up to this many + 1 fields")
    cross_rank: int | None = Field(None, ge=1, description="of the cross layers' matrices; full by default")
    structure: Literal["parallel", "stacked"] = Field("parallel", description="the MLP beside or behind the crosses")

    def chosen_fields(self, schema: Schema) -> tuple[tuple[str, ...], tuple[str, ...]]:
        features, crosses = super().chosen_fields(schema)
        # The columns of the cross layers' matrices belong to places: a warm start needs each field where it was.
        return tuple(sorted(features)), tuple(sorted(crosses))


class DCN(DeepFieldRanking):
    """A cross network and an MLP."""

    Config = DCNConfig
    config: DCNConfig
    has_first_order: ClassVar[bool] = False
    search_space: ClassVar[dict[str, str]] = {
        **DeepFieldRanking.search_space,
        "model.cross_layers": "[1, 2, 3]",
        "model.structure": "[parallel, stacked]",
    }

    def __init__(self, config: DCNConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed)
        self._crosses = CrossNetwork(self._width, config.cross_layers, rank=config.cross_rank, seed=seed + 3)
        # The row of the joint output layer that reads the crosses; its other part is the MLP's own.
        self._crossed = MLP(self._width, (), seed=seed + 4) if config.structure == "parallel" else None

    @classmethod
    def activations(cls, config: DCNConfig, schema: Schema) -> int:
        width = sum(map(len, config.chosen_fields(schema))) * config.embedding_dim
        return super().activations(config, schema) + 2 * config.cross_layers * width

    def _logits(self, embedded: EmbeddedFeatures, features: Tensors, *, training: bool) -> tf.Tensor:
        values = self._flat(embedded)
        crossed = self._crosses(values)
        if self._crossed is None:
            return self._bias + self._network(crossed, training=training)
        return self._bias + self._crossed(crossed) + self._network(values, training=training)

    def id_tables(self) -> list[IdTable]:
        dim, found = self.config.embedding_dim, super().id_tables()
        # Of a low rank every second matrix reads the fields no more.
        reading = self._crosses.kernels[:: 1 if self.config.cross_rank is None else 2]
        linear = [] if self._crossed is None else self._crossed.kernels
        for kernel in (*reading, *linear):
            found += [fixed_rows(kernel, name, at * dim, dim) for at, name in self._placed()]
        return found

    def _kernels(self) -> list[tf.Variable]:
        return [*super()._kernels(), *self._crosses.kernels]
