r"""The multi-layer perceptron of neural collaborative filtering (He et al. 2017, equation 10).

.. math:: z_1 = [p_u; q_i], \quad z_{l + 1} = \mathrm{relu}(W_l^\top z_l + b_l), \quad
          \hat y(u, i) = \sigma(h^\top z_{L + 1} + b)

Each layer is half as wide as what it reads. Learnt by the logistic loss over drawn negatives
(`tfrec/models/ncf/pair_model.py`), and asked about every item of the catalogue when it answers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from pydantic import Field

from tfrec.layers import TableShape
from tfrec.models.inputs import ModelInputs
from tfrec.models.ncf.pair_part import PairPart, part_table_shapes
from tfrec.models.ncf.pair_tower import tower_widths
from tfrec.models.ncf.tower_model import TowerConfig, TowerModel
from tfrec.schema import Schema


class NcfMlpConfig(TowerConfig):
    """Choices of the perceptron."""

    embedding_dim: int = Field(64, ge=1, description="of users and items; the first layer is as wide")

    @property
    def hidden_units(self) -> tuple[int, ...]:
        """Widths of the layers."""
        return tower_widths(self.embedding_dim, self.layers)


class NcfMlp(TowerModel):
    """One part, whose tower reads both vectors."""

    Config = NcfMlpConfig
    config: NcfMlpConfig
    search_space: ClassVar[dict[str, str]] = {
        "train.learning_rate": "log(0.0005, 0.02)",
        "train.batch_size": "[1024, 4096]",
        "model.embedding_dim": "[16, 32, 64, 128]",
        "model.layers": "[2, 3, 4]",
        "model.dropout": "uniform(0, 0.5)",
        "model.l2": "uniform(0, 0.01)",
    }

    def __init__(self, config: NcfMlpConfig, inputs: ModelInputs, seed: int = 1) -> None:
        super().__init__(config, inputs, seed, "ncf_mlp", dim=config.embedding_dim, part_seed=seed)

    @property
    def parts(self) -> tuple[PairPart, ...]:
        return (self._mlp,)

    @classmethod
    def table_shapes(
        cls, config: NcfMlpConfig, schema: Schema, num_ids: Mapping[str, int], num_items: int
    ) -> list[TableShape]:
        shapes = part_table_shapes("mlp", config.embedding_dim, num_ids[schema.user_id], num_ids[schema.item_id])
        return [*shapes, TableShape("item_inputs", num_items, config.hidden_units[0], is_trained=False)]
