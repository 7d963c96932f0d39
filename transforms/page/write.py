"""Statistics of one dataset, or of two side by side → an HTML page that needs no other file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import jinja2

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.schema import SPLITS
from transforms.compare.comparison import Comparison, FeatureDrift
from transforms.compare.judge import Exceeded
from transforms.compare.profile import FeatureProfile, profiles
from transforms.compare.tables import number_text, time_text
from transforms.page import plots

_TOP = 10  # values in a plot
_FIGURES = {
    "missing_share": "missing",
    "distinct": "distinct values",
    "vocabulary_size": "vocabulary",
    "out_of_vocabulary_share": "out of vocabulary",
    "values_per_row": "values per row",
    "mean": "mean",
    "standard_deviation": "standard deviation",
}


@dataclass(frozen=True)
class Card:
    """One feature of the page."""

    name: str
    kind: str
    facts: tuple[tuple[str, tuple[str, ...]], ...]  # what, and the figure of each dataset
    plot: str  # SVG, or nothing
    is_exceeded: bool


def write_page(
    path: Path,
    datasets: Sequence[DatasetDirectory],
    comparison: Comparison | None = None,
    exceeded: Sequence[Exceeded] = (),
) -> None:
    """Write the page; an existing one is replaced.

    Args:
        path: the HTML file.
        datasets: one, or the two that `comparison` is of.
        comparison: for two datasets.
        exceeded: the limits that do not hold.

    Raises:
        ArtifactError: a file of a dataset is absent or unreadable.
        ConfigError: the page cannot be written.

    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = ("A", "B")[: len(datasets)] if comparison else ("",)
    found = [profiles(dataset) for dataset in datasets]
    drifts = {drift.name: drift for drift in comparison.features} if comparison else {}
    over = {item.where for item in exceeded}
    features = list(dict.fromkeys(name for of in found for name in of))
    text = environment.get_template("page.html").render(
        datasets=list(zip(names, datasets, strict=True)),
        colours=plots.COLOURS,
        splits=[(split, [_split_cells(dataset, split) for dataset in datasets]) for split in SPLITS],
        overview=[plot for plot in (_popularity(found, names), _events_per_user(found, names)) if plot],
        cards=[_card([of.get(name) for of in found], names, drifts.get(name), name in over) for name in features],
        comparison=comparison,
        exceeded=[(item, number_text(item.value), number_text(item.allowed)) for item in exceeded],
    )
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--html {path}: cannot be written ({error.strerror}); name another file") from None


def _split_cells(dataset: DatasetDirectory, split: str) -> tuple[str, str, str, str]:
    figures = dataset.statistics["splits"][split]
    label = f"{figures['label_mean']:.4f}" if "label_mean" in figures else "–"
    times = time_text(figures.get("first_time_ms")), time_text(figures.get("last_time_ms"))
    rows, records = figures["rows"], figures.get("records", figures["rows"])
    return f"{rows:,}" if records == rows else f"{rows:,} ({records:,} written)", label, *times


def _card(
    sides: Sequence[FeatureProfile | None], names: Sequence[str], drift: FeatureDrift | None, is_exceeded: bool
) -> Card:
    present = [profile for profile in sides if profile is not None]
    first = present[0]
    facts: list[tuple[str, tuple[str, ...]]] = []
    for key, label in _FIGURES.items():
        if any(key in profile.statistics for profile in present):
            figures = (profile.statistics.get(key) if profile else None for profile in sides)
            facts.append((label, tuple(_figure(key, value) for value in figures)))
    if drift is not None:
        for label, value in (
            ("L∞ distance", drift.linf),
            ("Jensen–Shannon (bits)", drift.js),
            ("values new in B", drift.new_value_share),
            ("values gone from A", drift.vanished_value_share),
        ):
            if value is not None:
                facts.append((label, (f"{value:.4f}",)))
    kind = f"{first.feature.role} · {'id' if first.is_id else first.feature.kind}"
    if len(present) < len(sides):
        kind += f" · only in {names[sides.index(first)]}"
    return Card(first.name, kind, tuple(facts), _feature_plot(sides, names), is_exceeded)


def _figure(key: str, value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:.2%}" if key.endswith("share") else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def _feature_plot(sides: Sequence[FeatureProfile | None], names: Sequence[str]) -> str:
    """Top values or a histogram; nothing for text, sequences and hashed features."""
    numeric = [
        (profile.cumulative, name)
        for profile, name in zip(sides, names, strict=True)
        if profile is not None and profile.cumulative is not None
    ]
    if numeric:
        return plots.histogram([cumulative for cumulative, _ in numeric if cumulative], [name for _, name in numeric])
    tokens = [(profile, name) for profile, name in zip(sides, names, strict=True) if profile and profile.tokens]
    if not tokens:
        return ""
    top = list(dict.fromkeys(token for profile, _ in tokens for token in list(profile.tokens)[:_TOP]))
    shares = []
    for profile, _ in tokens:
        total = sum(profile.tokens.values()) + profile.rest
        shares.append({token: profile.tokens.get(token, 0) / max(total, 1) for token in top})
    order = sorted(top, key=lambda token: -sum(share[token] for share in shares))[:_TOP]
    return plots.top_values([{token: share[token] for token in order} for share in shares], [n for _, n in tokens])


def _id_counts(found: Sequence[dict[str, FeatureProfile]], role: str) -> list[list[int]]:
    return [
        [*profile.tokens.values()]
        for of in found
        for profile in of.values()
        if profile.is_id and profile.feature.role == role
    ]


def _popularity(found: Sequence[dict[str, FeatureProfile]], names: Sequence[str]) -> str:
    counts = _id_counts(found, "item")
    return plots.popularity_curve(counts, names) if all(counts) else ""


def _events_per_user(found: Sequence[dict[str, FeatureProfile]], names: Sequence[str]) -> str:
    counts = _id_counts(found, "user")
    return plots.events_per_user(counts, names) if all(counts) else ""
