"""Results of cells as Markdown."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import Any

COLUMNS = ("model", "RMSE", "spread", "RMSE by split", "MAE", "fit s", "CPU s", "peak GB", "settings")
HEADER = f"| {' | '.join(COLUMNS)} |\n{'|---' * len(COLUMNS)}|"


def title(name: str, meaning: str, unseen: Sequence[int]) -> str:
    lines = f"**{name}: {meaning}**\n\nRatings of unseen users or items, answered with the global mean: "
    return f"{lines}{', '.join(map(str, unseen))}.\n\n{HEADER}"


def row(name: str, results: Sequence[dict[str, Any]]) -> str:
    """Means over the splits; the spread is the standard deviation between them."""
    rmse = [result["rmse"] for result in results]
    spread = f"{statistics.stdev(rmse):.4f}" if len(rmse) > 1 else ""
    cells = [
        name,
        f"{statistics.mean(rmse):.4f}",
        spread,
        " ".join(f"{one:.4f}" for one in rmse),
        mean(results, "mae", ".4f"),
    ]
    cells += [mean(results, "fit_seconds", ".1f"), mean(results, "cpu_seconds", ".0f")]
    cells += [mean(results, "peak_bytes", ".2f", 1e-9), settings(results[0].get("settings", {}))]
    return f"| {' | '.join(cells)} |"


def mean(results: Sequence[dict[str, Any]], key: str, form: str, scale: float = 1.0) -> str:
    values = [result[key] * scale for result in results if key in result]
    return format(statistics.mean(values), form) if values else ""


def settings(chosen: dict[str, Any]) -> str:
    return ", ".join(
        f"{key.rpartition('.')[2]}: {f'{value:.3g}' if isinstance(value, float) else value}"
        for key, value in chosen.items()
    )
