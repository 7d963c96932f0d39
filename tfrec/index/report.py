"""What is wanted of an index, and what is known of the one that was chosen."""

from __future__ import annotations

from typing import Literal, NamedTuple

from pydantic import Field, model_validator

from tfrec.config_file import Config
from tfrec.index.exact import Scoring
from tfrec.index.item_index import ItemIndex
from tfrec.index.limits import MOST_PROBES

IndexKind = Literal["exact", "ivf", "scann", "auto"]


class IndexConfig(Config):
    """What is wanted of an index."""

    kind: IndexKind = Field("exact", description="auto: ivf where it reaches the recall and is worth it, else exact")
    recall_at_least: float = Field(0.95, gt=0, le=1)
    k: int = Field(100, ge=1, description="places that the recall is of; requests up to twice as deep use the lists")
    lists: int | None = Field(
        None, ge=1, description="about 2√(number of items) by default, of scann √(number of items)"
    )
    probes: int | None = Field(None, ge=1, description="lists looked into; tuned by default")
    scoring: Scoring = Field("float32", description="of exact; bfloat16 is faster for batches, where the CPU has it")
    seed: int = 1

    @model_validator(mode="after")
    def _lists_are_of_lists(self) -> IndexConfig:
        if self.kind == "exact" and (self.lists or self.probes):
            raise ValueError("lists and probes belong to the index ivf; this one is exact")
        if self.kind != "scann" and (self.probes or 0) > MOST_PROBES:
            raise ValueError(f"probes: got {self.probes}, and the index ivf looks into {MOST_PROBES} lists at most")
        return self


class CurvePoint(Config):
    """What looking into so many lists finds, over the queries that were tuned on."""

    probes: int
    recall: float
    recall_deeper: float
    share_scored: float | None = None  # of the items; scann does not say


class IndexReport(Config):
    """What was chosen and how it was measured; goes into the model card."""

    kind: Literal["exact", "ivf", "scann"]
    why: str
    num_items: int
    k: int
    recall: float
    recall_low: float
    recall_high: float
    recall_at_least: float
    queries: int
    lists: int | None = None
    probes: int | None = None
    depth: int | None = None
    curve: tuple[CurvePoint, ...] = ()
    needs: str | None = None  # what a server must have beyond stock TensorFlow


class Chosen(NamedTuple):
    """An index and what is known of it."""

    index: ItemIndex
    report: IndexReport
