"""What the third pipeline is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from tfrec.dataset import directory
from tfrec.schema import Schema
from transforms import layout, storage
from transforms.exchange import Portions, Sender, by_key
from transforms.filters import KeepNegatives
from transforms.partitions import Partitions
from transforms.steps.split import SplitPlan

ORDER = "__order__"  # uint64 column: rows of a file are sorted by it


@dataclass(frozen=True)
class EncodePlan:
    """Where events, users and items are, and into how many files they go."""

    partitions: Partitions
    split: SplitPlan
    shards: dict[str, int]  # of each split, of users and of items
    users: int
    is_compressed: bool
    rows_per_record: int
    is_local: bool  # tables are exchanged through files
    has_base: bool  # there are users known from a base dataset
    keep_negatives: KeepNegatives | None = None

    @cached_property
    def send(self) -> Sender:
        """Takes rows to their files."""
        return Sender(layout.exchange(self.output, "shards") if self.is_local else None)

    @property
    def schema(self) -> Schema:
        return self.partitions.schema

    @property
    def output(self) -> str:
        return self.partitions.output

    @cached_property
    def transform_files(self) -> list[str]:
        """Files of the transform, relative to its directory; workers on another machine copy them."""
        base = storage.join(self.output, directory.TRANSFORM)
        found = storage.list_files(storage.join(base, "**"))
        return [metadata.path[len(base) :].lstrip("/") for metadata in found]


def portions_of(part: str, rows: pa.Table, order: np.ndarray, shard: np.ndarray) -> Portions:
    """Rows of users or items by file."""
    ordered = rows.append_column(ORDER, pa.array(order.astype(np.uint64)))
    return by_key(ordered, shard.astype(np.int64), lambda number: (part, number))
