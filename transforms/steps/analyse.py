"""Counts → vocabularies, moments, quantile boundaries. Everything comes from the training split alone."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tfrec.feature_transform import NumericAnalysis
from tfrec.schema import CategoricalFeature, NumericFeature
from transforms.steps.counts import COUNT, TRAIN_COUNT, VALUE, continued, vocabulary, weighted_quantiles

MAX_POINTS = 256  # of the distribution of a numeric feature
HASH_BINS = 64  # of the token distribution of a feature without a vocabulary
_QUANTILES = (0.0, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 1.0)


@dataclass(frozen=True)
class CategoricalSummary:
    """A categorical feature of the training split."""

    tokens: pa.Table  # `value`, `train_count`; the vocabulary in the order of its ids
    statistics: dict[str, object]


@dataclass(frozen=True)
class NumericSummary:
    """A numeric feature of the training split."""

    analysis: NumericAnalysis
    statistics: dict[str, object]


def summarise_categorical(
    feature: CategoricalFeature, counts: pa.Table, train_rows: int, known: pa.Array | None = None
) -> CategoricalSummary:
    """Vocabulary and shares of a feature from its counts; the vocabulary goes on from the `known` one."""
    if feature.hash_buckets is not None:
        tokens = counts.select([VALUE, TRAIN_COUNT]).slice(0, 0)
    else:
        default = "" if feature.multivalued else feature.default  # an empty list has no element to put it in
        tokens = vocabulary(counts, feature.min_count, feature.max_size, default)
        if known is not None:
            tokens = continued(known, vocabulary(counts, 1, None, default), feature.min_count, feature.max_size)
    train = counts.column(TRAIN_COUNT).to_numpy()
    is_missing = pc.equal(counts.column(VALUE), "").to_numpy()
    values = int(train[~is_missing].sum())
    is_token = pc.is_in(counts.column(VALUE), value_set=tokens.column(VALUE).combine_chunks()).to_numpy()
    in_vocabulary = int(train[is_token].sum())
    missing = int(train[is_missing].sum())
    statistics: dict[str, object] = {
        "distinct": int((train[~is_missing] > 0).sum()),
        "vocabulary_size": tokens.num_rows,
        "values": values,
        "values_per_row": values / max(train_rows, 1),
        "out_of_vocabulary_share": 0.0 if feature.hash_buckets else 1 - min(in_vocabulary / max(values, 1), 1.0),
        "missing_share": missing / max(train_rows, 1),
    }
    if feature.hash_buckets is not None:
        statistics["token_hash_counts"] = _hash_counts(counts.filter(pa.array(~is_missing)))
    return CategoricalSummary(tokens, statistics)


def summarise_given(counts: pa.Table, train_rows: int) -> dict[str, object]:
    """How often vectors or weights are missing."""
    is_missing = pc.equal(counts.column(VALUE), "").to_numpy()
    return {"missing_share": int(counts.column(TRAIN_COUNT).to_numpy()[is_missing].sum()) / max(train_rows, 1)}


def summarise_numeric(feature: NumericFeature, counts: pa.Table, train_rows: int) -> NumericSummary:
    """Moments of g(x) and quantiles of x, from weighted distinct values (sorted, so sums are always the same)."""
    values = counts.column(VALUE).to_numpy().astype(np.float64)
    weights = counts.column(TRAIN_COUNT).to_numpy()
    present = ~np.isnan(values) & (weights > 0)
    missing = int(weights[np.isnan(values)].sum())
    values, weights = values[present], weights[present]
    statistics: dict[str, object] = {"missing_share": missing / max(train_rows, 1), "distinct": len(values)}
    if len(values) == 0:
        return NumericSummary(NumericAnalysis(), statistics)
    seen = np.log1p(np.maximum(values, 0)) if feature.log else values
    mean = float(np.average(seen, weights=weights))
    deviation = float(np.sqrt(np.average((seen - mean) ** 2, weights=weights)))
    boundaries: tuple[float, ...] = ()
    if feature.buckets is not None:
        inner = weighted_quantiles(values, weights, [b / feature.buckets for b in range(1, feature.buckets)])
        boundaries = tuple(sorted(set(inner.tolist()) - {float(values[0])}))
    quantiles = weighted_quantiles(values, weights, _QUANTILES)
    statistics |= {
        "mean": float(np.average(values, weights=weights)),
        "standard_deviation": float(
            np.sqrt(np.average((values - np.average(values, weights=weights)) ** 2, weights=weights))
        ),
        "distribution": distribution(values, weights),
        "quantiles": {f"{share:g}": float(value) for share, value in zip(_QUANTILES, quantiles, strict=True)},
    }
    if seen.min() == seen.max():  # a constant has no spread, but for rounding: divide by 1
        deviation = 1.0
    analysis = NumericAnalysis(mean=mean, standard_deviation=deviation, boundaries=boundaries)
    return NumericSummary(analysis, statistics)


def distribution(values: np.ndarray, weights: np.ndarray) -> dict[str, list[float]]:
    """Points of the cumulative distribution, so that two datasets can be compared over any common edges.

    Args:
        values: distinct, ascending. float64 [n], n ≥ 1
        weights: rows of each. int64 [n]

    Returns:
        `values`, ascending: all of them, or of more than 256 the quantiles at 0, 1/256 … 1; and `counts`, how many
        rows lie above the value before and at or below this one. Counts at or below a point are exact.

    """
    points = values
    if len(values) > MAX_POINTS:
        points = np.unique(weighted_quantiles(values, weights, [i / MAX_POINTS for i in range(MAX_POINTS + 1)]))
    up_to = np.cumsum(weights)[np.searchsorted(values, points, side="right") - 1]
    return {"values": points.tolist(), "counts": np.diff(up_to, prepend=0).tolist()}


def _hash_counts(counts: pa.Table) -> list[int]:
    """Training counts by crc32(token) mod 64: the distribution of a feature that has no vocabulary."""
    bins = np.zeros(HASH_BINS, np.int64)
    for token, count in zip(counts.column(VALUE).to_pylist(), counts.column(TRAIN_COUNT).to_pylist(), strict=True):
        bins[zlib.crc32(token.encode()) % HASH_BINS] += count
    return [int(count) for count in bins]


def total_count(counts: pa.Table) -> int:
    return int(pc.sum(counts.column(COUNT)).as_py() or 0)
