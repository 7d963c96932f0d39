"""What a client's calls return."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from serving.client.signature import Array, Signature, text_of

ITEM_PREFIX = "item:"


@dataclasses.dataclass(frozen=True)
class ScoredItems:
    """Items for one user, best first: `scores[i]` belongs to `ids[i]`.

    Attributes:
        candidates: the items that a second model ordered into these, with the first model's scores.
        propensities: of a model that explores and can say it, the probability of each item at its place, given the
            candidates and the items above it.
        num_candidates: of such a model, how many items could have stood there.

    """

    user: str
    ids: tuple[str, ...]
    scores: tuple[float, ...]
    model: str
    version: int
    candidates: ScoredItems | None = None
    propensities: tuple[float, ...] | None = None
    num_candidates: int | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def __iter__(self) -> Iterator[tuple[str, float]]:
        return zip(self.ids, self.scores, strict=True)

    def first(self, k: int) -> ScoredItems:
        """The best `k` of them."""
        propensities = None if self.propensities is None else self.propensities[:k]
        return dataclasses.replace(self, ids=self.ids[:k], scores=self.scores[:k], propensities=propensities)


@dataclasses.dataclass(frozen=True)
class ScoredBatch(Sequence[ScoredItems]):
    """The items of each user of a batch, as a sequence, as NumPy arrays, or as a pandas table."""

    rows: tuple[ScoredItems, ...]

    def __len__(self) -> int:
        return len(self.rows)

    @overload
    def __getitem__(self, index: int) -> ScoredItems: ...
    @overload
    def __getitem__(self, index: slice) -> ScoredBatch: ...
    def __getitem__(self, index: int | slice) -> ScoredItems | ScoredBatch:
        return ScoredBatch(self.rows[index]) if isinstance(index, slice) else self.rows[index]

    @property
    def ids(self) -> Array:
        """Item ids, "" where a user has fewer than others. object (str) [batch, most items of a user]"""
        return self._rectangle("", object, [row.ids for row in self.rows])

    @property
    def scores(self) -> Array:
        """Scores, −inf where a user has fewer items than others. float32 [batch, most items of a user]"""
        return self._rectangle(-np.inf, np.float32, [row.scores for row in self.rows])

    def to_pandas(self) -> Any:
        """A DataFrame with one row per item: user, place (from 1), item, score, model, version. Needs pandas."""
        import pandas as pd  # type: ignore[import-untyped, import-not-found]

        columns: dict[str, list[Any]] = {name: [] for name in ("user", "place", "item", "score", "model", "version")}
        for row in self.rows:
            for place, (item_id, score) in enumerate(row, 1):
                values = (row.user, place, item_id, score, row.model, row.version)
                for column, value in zip(columns.values(), values, strict=True):
                    column.append(value)
        return pd.DataFrame(columns)

    def _rectangle(self, padding: Any, dtype: Any, rows: Sequence[Sequence[Any]]) -> Array:
        filled = np.full((len(rows), max(map(len, rows), default=0)), padding, dtype=dtype)
        for i, row in enumerate(rows):
            filled[i, : len(row)] = row
        return filled


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


def reasons_of(labels: Sequence[bytes | str], weights: Sequence[float]) -> tuple[Reason, ...]:
    """The reasons of one item as a signature gives them, without padding."""
    return tuple(
        Reason(text_of(label), float(weight)) for label, weight in zip(labels, weights, strict=True) if len(label)
    )


@dataclasses.dataclass(frozen=True)
class Prediction:
    """What a signature gave: its output arrays by name, and the version that answered."""

    outputs: Mapping[str, Array]
    version: int


@dataclasses.dataclass(frozen=True)
class ModelMetadata:
    """A model version's signatures, by name."""

    model: str
    version: int
    signatures: Mapping[str, Signature]


@dataclasses.dataclass(frozen=True)
class VersionState:
    """The state of a model version, such as `AVAILABLE`; `error` is empty when there is none."""

    version: int
    state: str
    error: str
