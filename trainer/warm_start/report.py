"""What a warm start took over, for people."""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console

from trainer.warm_start.row_source import Counts
from trainer.warm_start.start import TableLine, WarmStart

WORDS = {
    "copied": "copied",
    "from_unknown": "new from the unknown token",
    "from_content": "new from content",
    "from_mean": "new from the mean",
    "fresh": "fresh",
    "gone": "gone",
}


def print_warm_start(console: Console, start: WarmStart) -> None:
    """One line per feature (more where its tables differ), then the variables without features."""
    _say(console, f"warm start from {start.job}")
    by_feature: dict[tuple[str, Counts, str], list[str]] = defaultdict(list)
    by_matrix: dict[str, list[TableLine]] = defaultdict(list)
    for line in start.tables:
        if line.is_fixed:
            by_matrix[line.variable].append(line)
        else:
            by_feature[line.feature, line.counts, line.note].append(line.variable)
    for (feature, counts, note), variables in by_feature.items():
        found = ", ".join(f"{getattr(counts, key):,} {word}" for key, word in WORDS.items() if getattr(counts, key))
        reason = f" ({note})" if note else ""
        _say(console, f"  {feature}: {found or 'nothing'}{reason} [{', '.join(variables)}]")
    for variable, lines in by_matrix.items():
        copied = [line.feature for line in lines if not line.note]
        notes = "".join(f"; fresh: {line.feature} ({line.note})" for line in lines if line.note)
        _say(console, f"  {variable}: rows of {', '.join(copied) or 'no feature'} copied{notes}")
    if start.copied:
        _say(console, f"  copied whole: {', '.join(start.copied)}")
    for path, reason in start.fresh.items():
        _say(console, f"  fresh: {path} ({reason})")


def _say(console: Console, text: str) -> None:
    console.print(text, highlight=False, soft_wrap=True, markup=False)
