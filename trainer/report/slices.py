"""Parts of the users, of the items and of the events in which a model may be better or worse than on the whole."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, Literal

import numpy as np

from tfrec.dataset.records import Arrays, read_part
from tfrec.schema import PADDING_ID, USER_INDEX, CategoricalFeature, Feature, FeatureRole, NumericFeature
from trainer.data import JobData
from trainer.report.names import range_text
from trainer.warm_start.vocabularies import read_vocabulary

Side = Literal["user", "item", "event"]
MOST_FEATURES = 12  # of users, of items and of the context each, in the order of the schema: a page stays small
TOP_VALUES = 8  # of a categorical feature, by users or items
QUARTERS = (0.25, 0.5, 0.75)


@dataclass(frozen=True)
class Slice:
    """Some users, items or events of a split. `members` bool [num_users], [num_items] or [events]."""

    label: str
    members: np.ndarray


@dataclass(frozen=True)
class SliceGroup:
    """Slices by one property. Those of multi-valued features overlap."""

    title: str
    side: Side
    slices: tuple[Slice, ...]


def slice_groups(data: JobData) -> list[SliceGroup]:
    """By activity, by popularity, and by the first features of users and items whose values can be named."""
    groups = [_by_activity(data), _by_popularity(data), *_by_features(data, "user"), *_by_features(data, "item")]
    return [group for group in groups if len(group.slices) > 1]


def event_slice_groups(data: JobData, split: str) -> list[SliceGroup]:
    """Of the events of a split: by the first context features, those with values that can be named."""
    names = _sliced(data, "context")
    columns = data.columns(split, list(names)) if names else {}
    groups = list(_groups(data, "event", names, columns, of="context"))
    return [group for group in groups if len(group.slices) > 1]


def _by_activity(data: JobData) -> SliceGroup:
    counts = np.diff(data.model_inputs.train.row_splits)
    slices = [Slice("cold start (none)", counts == 0)]
    active = counts[counts > 0]
    edges = np.unique(np.quantile(active, QUARTERS, method="lower")).astype(int).tolist() if len(active) else []
    for low, high in _ranges(1, edges, int(counts.max(initial=0))):
        slices.append(Slice(f"{low:,}–{high:,}" if low < high else f"{low:,}", (counts >= low) & (counts <= high)))
    return SliceGroup("User activity: training events", "user", _present(slices))


def _by_popularity(data: JobData) -> SliceGroup:
    """Head, middle and tail: the items with the first 50 %, the next 30 % and the last 20 % of the training events."""
    counts = data.model_inputs.train.item_counts()
    order = np.argsort(-counts, kind="stable")
    before = np.empty(len(counts))
    before[order] = (np.cumsum(counts[order]) - counts[order]) / max(counts.sum(), 1)
    known = counts > 0
    slices = [
        Slice("head (50 %)", known & (before < 0.5)),
        Slice("middle (next 30 %)", known & (before >= 0.5) & (before < 0.8)),
        Slice("tail (last 20 %)", known & (before >= 0.8)),
        Slice("cold start (none)", ~known),
    ]
    return SliceGroup("Item popularity: training events", "item", _present(slices))


def _by_features(data: JobData, side: Literal["user", "item"]) -> Iterator[SliceGroup]:
    features = _sliced(data, side)
    if not features:
        return
    if side == "item":
        columns = data.catalogue.features
    else:
        columns = read_part(data.dataset, "users", [USER_INDEX, *features])
        order = np.argsort(columns[USER_INDEX])
        columns = {name: values[order] for name, values in columns.items()}
    yield from _groups(data, side, features, columns, of=side)


def _sliced(data: JobData, role: FeatureRole) -> dict[str, Feature]:
    """Features of a role by whose values there are slices."""
    found = (
        (name, feature)
        for name, feature in data.schema.of_role(role).items()
        if (isinstance(feature, NumericFeature) and feature.so_far is None)
        or (isinstance(feature, CategoricalFeature) and not feature.id and feature.hash_buckets is None)
    )
    return dict(islice(found, MOST_FEATURES))


def _groups(
    data: JobData, side: Side, features: dict[str, Feature], columns: Arrays, *, of: FeatureRole
) -> Iterator[SliceGroup]:
    for name, feature in features.items():
        slices = _categorical if isinstance(feature, CategoricalFeature) else _numeric
        yield SliceGroup(f"{of}: {name}", side, _present(slices(data, name, feature, columns[name])))


def _categorical(data: JobData, name: str, feature: Any, ids: np.ndarray) -> list[Slice]:
    ids = ids[:, None] if ids.ndim == 1 else ids
    tokens = read_vocabulary(data.dataset, name)
    first = feature.first_token_id
    counts = np.bincount(ids.ravel(), minlength=first + len(tokens))[first:]
    top = np.argsort(-counts, kind="stable")[:TOP_VALUES]
    slices = [Slice(_text(tokens[int(place)].as_py()), (ids == first + place).any(axis=1)) for place in top]
    is_missing = (ids == PADDING_ID).all(axis=1)
    is_shown = np.any([one.members for one in slices], axis=0) if slices else np.zeros(len(ids), bool)
    return [*slices, Slice("any other", ~is_shown & ~is_missing), Slice("missing", is_missing)]


def _numeric(data: JobData, name: str, feature: Feature, encoded: np.ndarray) -> list[Slice]:
    """By the feature's quantile buckets, some of them together where there are many; else by quarters."""
    assert isinstance(feature, NumericFeature)
    encoding = data.dataset.statistics["features"][name].get("encoding", {})
    if feature.buckets is not None:
        bounds = np.asarray(encoding["boundaries"])
        kept = np.unique(np.linspace(0, len(bounds) - 1, min(len(bounds), TOP_VALUES - 1)).astype(int))
        place = np.searchsorted(kept, encoded - 1, side="left")  # bucket b holds bounds[b - 2] ≤ x < bounds[b - 1]
        place = np.where(encoded == PADDING_ID, -1, place)
        return [*_between(bounds[kept], place), Slice("missing", place == -1)]
    values = encoded.astype(np.float64)
    if feature.standardize:
        values = values * (encoding["standard_deviation"] or 1.0) + encoding["mean"]
    values = np.expm1(values) if feature.log else values
    edges = np.unique(np.quantile(values, QUARTERS, method="lower"))
    return _between(edges, np.searchsorted(edges, values, side="right"))


def _between(bounds: np.ndarray, place: np.ndarray) -> list[Slice]:
    """`place` 0 lies below the first bound, i from bound i − 1 to below bound i."""
    ends = pairwise([None, *bounds.tolist(), None])  # a feature with one value has no boundaries
    return [Slice(range_text(low, high), place == at) for at, (low, high) in enumerate(ends)]


def _ranges(first: int, edges: list[int], last: int) -> Iterator[tuple[int, int]]:
    """Whole numbers from `first` to `last`, cut behind every edge."""
    for edge in [*edges, last]:
        if first <= edge:
            yield first, edge
            first = edge + 1


def _present(slices: list[Slice]) -> tuple[Slice, ...]:
    return tuple(one for one in slices if one.members.any())


def _text(token: bytes) -> str:
    return token.decode("utf-8", "replace")
