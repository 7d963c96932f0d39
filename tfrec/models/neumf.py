r"""Neural matrix factorisation, NeuMF: GMF and a perceptron that share the output (He et al. 2017, equation 12).

.. math:: \hat y(u, i) = \sigma\Bigl(h^\top \bigl[p^G_u \odot q^G_i;\ z_{L + 1}(p^M_u, q^M_i)\bigr] + b\Bigr)

Each part has vectors of its own. h and b are kept in two parts as well, since the logit is the sum of what both parts
say: `gmf` alone and `ncf_mlp` alone.

Started from a finished job of each (section 3.4.1), NeuMF takes over all their weights, those of the outputs times α
and 1 − α: before its first step it scores α · gmf + (1 − α) · ncf_mlp. The paper goes on with plain gradient descent
(`train.optimizer=sgd`), since the momentum of Adam is not there.

    python -m trainer.task --model neumf --warm-start-from GMF_JOB --warm-start-from NCF_MLP_JOB …
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

import tensorflow as tf
from pydantic import Field

from tfrec.layers import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.models.learning import EarlierPart, frozen_variable
from tfrec.models.ncf.gmf_part import GmfPart
from tfrec.models.ncf.pair_part import PairPart, part_table_shapes
from tfrec.models.ncf.pair_tower import tower_widths
from tfrec.models.ncf.tower_model import TowerConfig, TowerModel
from tfrec.schema import Schema


class NeuMFConfig(TowerConfig):
    """Choices of NeuMF."""

    gmf_dim: int = Field(64, ge=1, description="of the vectors whose product is weighted")
    mlp_dim: int = Field(64, ge=1, description="of the vectors that the tower reads; its first layer is as wide")
    alpha: float = Field(
        0.5, ge=0, le=1, description="weight of the gmf job's output; that of the ncf_mlp job's is 1 − alpha"
    )

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Widths of the layers."""
        return tower_widths(self.mlp_dim, self.layers)


class NeuMF(TowerModel):
    """Two parts, whose logits add up."""

    Config = NeuMFConfig
    config: NeuMFConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "train.batch_size": "[1024, 4096]",
        "model.gmf_dim": "[16, 32, 64, 128]",
        "model.mlp_dim": "[16, 32, 64, 128]",
        "model.layers": "[2, 3, 4]",
        "model.dropout": "uniform(0, 0.5)",
        "model.l2": "uniform(0, 0.01)",
    }

    def __init__(self, config: NeuMFConfig, inputs: ModelInputs, seed: int = 1) -> None:
        # Another seed for the tower's vectors, or those of both parts would be the same.
        super().__init__(config, inputs, seed, "neumf", dim=config.mlp_dim, part_seed=seed + 1)
        self._gmf = GmfPart(
            inputs, self.item_lookups(), config.gmf_dim, l2=config.l2, stddev=config.embedding_stddev, seed=seed
        )
        self._item_vectors = frozen_variable(tf.zeros([inputs.num_items, config.gmf_dim]), "item_vectors")

    @property
    def parts(self) -> tuple[PairPart, ...]:
        return (self._gmf, self._mlp)

    @property
    def earlier_parts(self) -> Mapping[str, EarlierPart]:
        alpha = self.config.alpha
        return {
            "gmf": EarlierPart("_gmf", _outputs("_gmf", alpha), "model.gmf_dim"),
            "ncf_mlp": EarlierPart("_mlp", _outputs("_mlp/tower", 1.0 - alpha), "model.mlp_dim"),
        }

    @classmethod
    def table_shapes(
        cls, config: NeuMFConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        users, items = num_ids[schema.user_id], num_ids[schema.item_id]
        derived = {"item_vectors": config.gmf_dim, "item_inputs": config.hidden_units[0]}
        return [
            *part_table_shapes("gmf", config.gmf_dim, users, items),
            *part_table_shapes("mlp", config.mlp_dim, users, items),
            *(TableShape(name, num_items, width, is_trained=False) for name, width in derived.items()),
        ]

    # --- Answers ---

    def refresh(self) -> None:
        super().refresh()
        self._item_vectors.assign(self._gmf.item_vectors(self._item_ids))

    def catalogue_logits(self, users: tf.Tensor) -> tf.Tensor:
        of_gmf = tf.matmul(self._gmf.user_vectors(users), self._item_vectors, transpose_b=True)
        return of_gmf + self._gmf.output_bias + super().catalogue_logits(users)

    def item_vectors_for_reasons(self) -> tf.Tensor:
        """What each part sees of an item, both of length 1: the cosine is the mean of theirs."""
        of_parts = (self._item_vectors * self._gmf.output, super().item_vectors_for_reasons())
        return tf.concat([tf.math.l2_normalize(vectors, axis=1) for vectors in of_parts], axis=1)

    @property
    def state(self) -> list[tf.Variable]:
        return [*self._gmf.user_state, self._item_vectors, *super().state]


def _outputs(place: str, weight: float) -> dict[str, float]:
    return {f"{place}/output": weight, f"{place}/output_bias": weight}
