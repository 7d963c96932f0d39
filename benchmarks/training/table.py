"""Measurements as Markdown, for RESULTS.md."""

from __future__ import annotations

import statistics
from collections.abc import Sequence

from benchmarks.training.sides import Side


def spread(values: Sequence[float], digits: int = 0) -> str:
    """Median, with the range where there is one."""
    if not values:
        return ""
    middle = f"{statistics.median(values):,.{digits}f}"
    return middle if len(values) == 1 else f"{middle} ({min(values):,.{digits}f}–{max(values):,.{digits}f})"


def speed_table(title: str, sides: Sequence[Side], quality: dict[str, str], quality_name: str) -> str:
    """One row a side, the first is ours; the ratio says how many times faster ours is.

    Examples per CPU second are of `fit` alone for the others, and of whole epochs with validation for ours.

    Args:
        title: above the table.
        sides: measured.
        quality: name of a side → what stands in its last column.
        quality_name: head of that column.

    """
    ours = sides[0].median("examples_per_second")
    lines = [
        f"**{title}**",
        "",
        f"| side | examples/s in `fit` | ours is × | with validation and checkpoints | per CPU s | {quality_name} |",
        "|---|---|---|---|---|---|",
    ]
    for side in sides:
        found = side.median("examples_per_second")
        times = f"{ours / found:.2f}" if ours and found and side is not sides[0] else ""
        cells = (
            side.name,
            spread(side.values("examples_per_second")),
            times,
            spread(side.values("whole_per_second")),
            spread(side.values("examples_per_cpu_second")),
            quality.get(side.name, ""),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def epoch_table(title: str, sides: Sequence[Side]) -> str:
    """What an epoch costs each side, of `examples_per_epoch` examples; the first side is ours.

    CPU seconds are those of `speed_table`: with validation and checkpoints for ours, of `fit` alone for the others.
    """
    ours = statistics.median(_epoch_seconds(sides[0]))
    rows = []
    for side in sides:
        seconds = _epoch_seconds(side)
        times = "" if side is sides[0] else f"{statistics.median(seconds) / ours:.2f}"
        rows.append((side.name, spread(side.values("examples_per_epoch")[:1]), spread(seconds, 2), times))
    return plain_table(title, ("side", "examples", "CPU s an epoch", "ours is ×"), rows)


def _epoch_seconds(side: Side) -> list[float]:
    pairs = zip(side.values("examples_per_epoch"), side.values("examples_per_cpu_second"), strict=True)
    return [examples / rate for examples, rate in pairs]


def plain_table(title: str, heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [f"**{title}**", "", f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    return "\n".join(lines + [f"| {' | '.join(row)} |" for row in rows]) + "\n"
