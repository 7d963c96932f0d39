"""A comparison as tables for people."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.console import Console
from rich.table import Table
from rich.text import Text

from transforms.compare.comparison import Comparison
from transforms.compare.judge import Exceeded


def print_comparison(console: Console, comparison: Comparison, exceeded: Sequence[Exceeded]) -> None:
    """Splits, features, and then each exceeded limit; a figure above its limit is red."""
    over = {(found.where, found.limit) for found in exceeded}
    console.print(_splits(comparison, over))
    console.print(_features(comparison, over))
    if exceeded:
        console.print(exceeded_table(exceeded))


def exceeded_table(exceeded: Sequence[Exceeded]) -> Table:
    table = Table(title="Above the limits", title_justify="left")
    for name in ("where", "limit", "value", "allowed", "detail"):
        table.add_column(name, overflow="fold", no_wrap=name in ("limit", "allowed"))
    for found in exceeded:
        table.add_row(
            Text(found.where),
            found.limit,
            Text(number_text(found.value)),
            number_text(found.allowed),
            Text(found.detail),
        )
    return table


def number_text(value: float | str | bool) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value).lower() if isinstance(value, bool) else str(value)


def time_text(time_ms: int | None) -> str:
    """`2013-04-03 22:31` in UTC, or a dash."""
    if time_ms is None:
        return "–"
    try:
        return datetime.fromtimestamp(time_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):
        return f"{time_ms} ms"


def _splits(comparison: Comparison, over: set[tuple[str, str]]) -> Table:
    table = Table(title=f"A {comparison.a} → B {comparison.b}", title_justify="left")
    for name in ("split", "rows A", "rows B", "label A", "label B", "time A", "time B"):
        table.add_column(name, overflow="fold")
    for split in comparison.splits:
        rows_style = "red" if (split.name, "max_row_change") in over else ""
        label_style = "red" if (split.name, "max_label_rate_change") in over else ""
        table.add_row(
            split.name,
            Text(f"{split.rows_a:,}", rows_style),
            Text(f"{split.rows_b:,}", rows_style),
            Text(_figure(split.label_mean_a), label_style),
            Text(_figure(split.label_mean_b), label_style),
            _days(split.first_time_ms_a, split.last_time_ms_a),
            _days(split.first_time_ms_b, split.last_time_ms_b),
        )
    return table


def _features(comparison: Comparison, over: set[tuple[str, str]]) -> Table:
    table = Table()
    for name in ("feature", "kind", "L∞", "JS", "new", "gone", "miss. A", "miss. B"):
        table.add_column(name, overflow="fold", no_wrap=name != "feature")
    for feature in comparison.features:

        def cell(value: float | None, *limits: str, name: str = feature.name) -> Text:
            return Text(_figure(value), "red" if any((name, limit) in over for limit in limits) else "")

        table.add_row(
            Text(feature.name),
            "id" if feature.is_id else feature.kind,
            cell(feature.linf, "max_linf"),
            cell(feature.js, "max_js", "max_id_js"),
            cell(feature.new_value_share, "max_new_value_share", "max_new_item_share", "max_new_user_share"),
            cell(feature.vanished_value_share),
            cell(feature.missing_share_a, "max_missing_share_change"),
            cell(feature.missing_share_b, "max_missing_share_change"),
        )
    return table


def _days(first_ms: int | None, last_ms: int | None) -> str:
    first, last = time_text(first_ms).split()[0], time_text(last_ms).split()[0]
    return first if first == last else f"{first} … {last}"


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
