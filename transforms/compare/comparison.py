"""Two datasets → what differs between them, feature by feature and split by split. Nothing is judged here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from tfrec.dataset.directory import DatasetDirectory
from tfrec.schema import SPLITS
from transforms.compare.distances import common_edges, jensen_shannon_divergence, linf_distance, token_counts
from transforms.compare.profile import FeatureProfile, profiles
from transforms.compare.schema_changes import schema_changes

MAX_LISTED = 5  # new and vanished tokens that are named


@dataclass(frozen=True)
class FeatureDrift:
    """One feature that both datasets have; None where a figure does not exist for its kind.

    `new_value_share` is the share of B's training values that are tokens of B's vocabulary and not of A's: what a
    model trained on A takes for unknown. `vanished_value_share` is the same with A and B exchanged.
    """

    name: str
    role: str
    kind: str
    is_id: bool
    linf: float | None = None
    js: float | None = None
    new_value_share: float | None = None
    new_tokens: int | None = None
    new_examples: tuple[str, ...] = ()
    vanished_value_share: float | None = None
    vanished_tokens: int | None = None
    vanished_examples: tuple[str, ...] = ()
    missing_share_a: float | None = None
    missing_share_b: float | None = None


@dataclass(frozen=True)
class SplitDrift:
    """Rows, label and time of one split; label and times are None where a split is empty."""

    name: str
    rows_a: int
    rows_b: int
    label_mean_a: float | None
    label_mean_b: float | None
    first_time_ms_a: int | None
    first_time_ms_b: int | None
    last_time_ms_a: int | None
    last_time_ms_b: int | None


@dataclass(frozen=True)
class Comparison:
    """Everything that was compared."""

    a: str
    b: str
    schema_fingerprint_a: str
    schema_fingerprint_b: str
    schema_changes: tuple[str, ...]
    has_binary_label: bool
    splits: tuple[SplitDrift, ...]
    features: tuple[FeatureDrift, ...]


def compare_datasets(a: DatasetDirectory, b: DatasetDirectory) -> Comparison:
    """Compare B (say, today's) with A (yesterday's), from their schemas, statistics and vocabularies alone.

    Raises:
        ArtifactError: a file of a dataset is absent or unreadable.
        SchemaError: a schema was edited by hand.

    """
    of_a, of_b = profiles(a), profiles(b)
    label = b.schema.label
    return Comparison(
        a=str(a.path),
        b=str(b.path),
        schema_fingerprint_a=a.schema.fingerprint,
        schema_fingerprint_b=b.schema.fingerprint,
        schema_changes=schema_changes(a.schema, b.schema),
        has_binary_label=label is not None and label.is_binary,
        splits=tuple(_split_drift(name, a.statistics, b.statistics) for name in SPLITS),
        features=tuple(_feature_drift(of_a[name], of_b[name]) for name in of_b if name in of_a),
    )


def _split_drift(name: str, a: dict[str, Any], b: dict[str, Any]) -> SplitDrift:
    figures: dict[str, Any] = {}
    for side, statistics in (("a", a), ("b", b)):
        split = statistics["splits"][name]
        figures[f"rows_{side}"] = split["rows"]
        for key in ("label_mean", "first_time_ms", "last_time_ms"):
            figures[f"{key}_{side}"] = split.get(key)
    return SplitDrift(name, **figures)


def _feature_drift(a: FeatureProfile, b: FeatureProfile) -> FeatureDrift:
    common: dict[str, Any] = {
        "name": b.name,
        "role": b.feature.role,
        "kind": b.feature.kind,
        "is_id": b.is_id,
        "missing_share_a": a.missing_share,
        "missing_share_b": b.missing_share,
    }
    counts = comparable_counts(a, b)
    if counts is not None:
        common |= {"linf": linf_distance(*counts), "js": jensen_shannon_divergence(*counts)}
    if a.tokens and b.tokens:
        common |= _token_changes(a, b)
    return FeatureDrift(**common)


def comparable_counts(a: FeatureProfile, b: FeatureProfile) -> tuple[np.ndarray, np.ndarray] | None:
    """Counts of the two over the same values or bins; None where there is nothing to compare on one side."""
    if a.feature.kind != b.feature.kind:
        return None
    if a.cumulative is not None and b.cumulative is not None:
        edges = common_edges(a.cumulative, b.cumulative)
        return a.cumulative.shares_between(edges), b.cumulative.shares_between(edges)
    if a.token_hash_counts is not None and b.token_hash_counts is not None:
        counts = np.array(a.token_hash_counts), np.array(b.token_hash_counts)
    else:
        counts = token_counts(a.tokens, b.tokens, a.rest, b.rest)
    return counts if counts[0].sum() and counts[1].sum() else None


def _token_changes(a: FeatureProfile, b: FeatureProfile) -> dict[str, Any]:
    new = {token: count for token, count in b.tokens.items() if token not in a.tokens}
    vanished = {token: count for token, count in a.tokens.items() if token not in b.tokens}
    return {
        "new_value_share": sum(new.values()) / max(sum(b.tokens.values()) + b.rest, 1),
        "new_tokens": len(new),
        "new_examples": tuple(new)[:MAX_LISTED],
        "vanished_value_share": sum(vanished.values()) / max(sum(a.tokens.values()) + a.rest, 1),
        "vanished_tokens": len(vanished),
        "vanished_examples": tuple(vanished)[:MAX_LISTED],
    }
