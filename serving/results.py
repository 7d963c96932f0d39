"""What a client's calls return."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

ITEM_PREFIX = "item:"


@dataclasses.dataclass(frozen=True)
class ScoredItems:
    """Items for one user, best first: `scores[i]` belongs to `ids[i]`."""

    user: str
    ids: tuple[str, ...]
    scores: tuple[float, ...]
    model: str
    version: int

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.ids, self.scores, strict=True)

    def first(self, k: int) -> ScoredItems:
        """The best `k` of them."""
        return dataclasses.replace(self, ids=self.ids[:k], scores=self.scores[:k])


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why an item is recommended: `item:<id>` of the user's history, `<feature>=<value>`, or `popularity`.

    `weight` is on a scale of the model's own; reasons of one answer compare.
    """

    label: str
    weight: float

    @property
    def item_id(self) -> str | None:
        """The item of the user's history; None for a reason of another kind."""
        return self.label.removeprefix(ITEM_PREFIX) if self.label.startswith(ITEM_PREFIX) else None


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """A model version's signatures, by name, as SignatureDef protos."""

    model: str
    version: int
    signatures: Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class VersionState:
    """The state of a model version, such as `AVAILABLE`; `error` is empty when there is none."""

    version: int
    state: str
    error: str
