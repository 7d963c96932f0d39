r"""The wide model: a regression on ids, buckets and declared crosses (Cheng et al. 2016, section 3.1).

.. math:: z = b + \sum_f w_f + \sum_c w_c

w_f is the weight of field f's value, w_c that of a cross: of the combination of values that its parts have. What it
knows, it has seen: a combination that never occurred adds nothing. The weights follow FTRL with L1, as in the paper,
which sets those to exactly 0 that carry nothing (`train.wide_optimizer`; the job's other optimiser moves b alone).
"""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from tfrec.models.towers.fields import FieldConfig, FieldRanking


class WideConfig(FieldConfig):
    """Choices of the wide model."""

    crosses: Literal["none", "wide"] = Field(  # type: ignore[assignment]
        "wide", description="whether declared crosses have weights"
    )


class Wide(FieldRanking):
    """A linear model."""

    Config = WideConfig
    config: WideConfig
    training_defaults: ClassVar[dict[str, Any]] = {
        **FieldRanking.training_defaults,
        "wide_optimizer": {"name": "ftrl", "learning_rate": 1.0, "l1": 0.0005},
    }
    search_space: ClassVar[dict[str, str]] = {
        "train.wide_optimizer.learning_rate": "log(0.01, 10)",
        "train.wide_optimizer.l1": "log(0.000001, 0.01)",
    }
