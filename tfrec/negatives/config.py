"""Which items a model is taught to score below the positive."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from tfrec.config_file import Config


class NegativesConfig(Config):
    """Choice of negatives. The correction for how often each is drawn (logQ) follows from it."""

    kind: Literal["in_batch", "uniform", "popularity", "mixed", "hard", "catalogue"] = Field(
        "in_batch",
        description="in_batch: the other items of the batch; uniform, popularity: n drawn items, shared by all rows; "
        "mixed: both the batch's and n drawn ones; hard: n drawn by the current model's scores from a larger pool; "
        "catalogue: all items, where they are few",
    )
    n: int = Field(512, ge=1, description="items drawn per step; not for in_batch and catalogue")
    alpha: float = Field(
        0.75, ge=0, le=2, description="popularity, mixed, hard: an item is drawn in proportion to (its events)^alpha"
    )
    pool: int = Field(4, ge=1, description="hard: the pool is this many times n")
