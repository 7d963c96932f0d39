"""A comparison and limits → each limit that is exceeded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from tfrec.errors import ConfigError, did_you_mean
from transforms.compare.comparison import Comparison, FeatureDrift, SplitDrift
from transforms.compare.limits import Limits


@dataclass(frozen=True)
class Exceeded:
    """One limit that does not hold."""

    limit: str
    where: str
    value: float | str
    allowed: float | bool
    detail: str = ""


def judge(comparison: Comparison, limits: Limits) -> list[Exceeded]:
    """Hold the comparison against the limits: schema first, then splits, then features.

    Raises:
        ConfigError: `skip_features` names a feature that neither dataset has.

    """
    known = [feature.name for feature in comparison.features]
    for name in limits.skip_features:
        if name not in known:
            raise ConfigError(f"skip_features: no feature {name!r} in both datasets{did_you_mean(name, known)}")
    found = []
    if not limits.allow_schema_changes:
        found += [Exceeded("allow_schema_changes", "schema", change, False) for change in comparison.schema_changes]
    for split in comparison.splits:
        found += _judge_split(split, limits, is_binary=comparison.has_binary_label)
    for feature in comparison.features:
        if feature.name not in limits.skip_features:
            found += _judge_feature(feature, limits)
    return found


def row_change(split: SplitDrift) -> float:
    """1 − fewer rows / more rows: 0 for the same number, 1 where one is empty and the other is not."""
    more = max(split.rows_a, split.rows_b)
    return 1 - min(split.rows_a, split.rows_b) / more if more else 0.0


def label_change(split: SplitDrift, *, is_binary: bool) -> float | None:
    """|b − a| of the label rates; of the means of a label that is a value, relative to the larger one."""
    a, b = split.label_mean_a, split.label_mean_b
    if a is None or b is None:
        return None
    if is_binary or a == b:
        return abs(b - a)
    return abs(b - a) / max(abs(a), abs(b))


def _judge_split(split: SplitDrift, limits: Limits, *, is_binary: bool) -> Iterator[Exceeded]:
    rows = row_change(split)
    if rows > limits.max_row_change:
        detail = f"{split.rows_a:,} → {split.rows_b:,} rows"
        yield Exceeded("max_row_change", split.name, rows, limits.max_row_change, detail)
    label = label_change(split, is_binary=is_binary)
    if label is not None and label > limits.max_label_rate_change:
        detail = f"{split.label_mean_a:.4g} → {split.label_mean_b:.4g}"
        yield Exceeded("max_label_rate_change", split.name, label, limits.max_label_rate_change, detail)


def _judge_feature(feature: FeatureDrift, limits: Limits) -> Iterator[Exceeded]:
    new_limit, js_limit = "max_new_value_share", "max_js"
    if feature.is_id:
        new_limit, js_limit = f"max_new_{feature.role}_share", "max_id_js"
    missing = None
    if feature.missing_share_a is not None and feature.missing_share_b is not None:
        missing = abs(feature.missing_share_b - feature.missing_share_a)
    news = f"{feature.new_tokens} new: {', '.join(feature.new_examples)}" if feature.new_tokens else ""
    figures: list[tuple[str, float | None, str]] = [
        (new_limit, feature.new_value_share, news),
        ("max_linf", feature.linf, ""),
        (js_limit, feature.js, ""),
        (
            "max_missing_share_change",
            missing,
            f"{feature.missing_share_a:.2%} → {feature.missing_share_b:.2%}" if missing is not None else "",
        ),
    ]
    for limit, value, detail in figures:
        allowed = float(getattr(limits, limit))
        if value is not None and value > allowed:
            yield Exceeded(limit, feature.name, value, allowed, detail)
