r"""The deep model: embeddings and a network, the generalising half of Wide & Deep (Cheng et al. 2016, section 3.2).

.. math:: z = b + \mathrm{MLP}([v_1, \dots, v_F])

v_f is the vector of field f's value; prediction is σ(z) for a binary label. With `history=attention` and the items of
the user's past in the vectors of the candidates it is the Deep Interest Network (Zhou et al. 2018).
"""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from tfrec.models.towers.deep_fields import DeepFieldConfig, DeepFieldRanking


class DeepConfig(DeepFieldConfig):
    """Choices of the deep model."""

    crosses: Literal["none", "both"] = Field(  # type: ignore[assignment]
        "both", description="whether declared crosses are fields like any other"
    )


class Deep(DeepFieldRanking):
    """An MLP on embeddings."""

    Config = DeepConfig
    config: DeepConfig
    has_first_order: ClassVar[bool] = False
