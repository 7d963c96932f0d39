"""The figures of a loop, a line per round, for people who watch it."""

from __future__ import annotations

from collections.abc import Callable

from tfrec.simulation.judgement import RoundFigures

_COLUMNS: dict[str, Callable[[RoundFigures], str]] = {
    "round": lambda f: f"{f.round_number}",
    "clicks": lambda f: f"{f.logged_reward:.3f}",
    "expected": lambda f: f"{f.reward:.3f}",
    "greedy, true": lambda f: f"{f.greedy_reward:.3f}",
    "best": lambda f: f"{f.best_reward:.3f}",
    "offline recall": lambda f: f"{f.offline_recall:.3f}",
    "true recall": lambda f: f"{f.true_recall:.3f}",
    "gini": lambda f: f"{f.gini:.2f}",
    "coverage": lambda f: f"{f.coverage:.2f}",
    "late items": lambda f: f"{f.late_items:.2f}",
    "likeness": lambda f: f"{f.jaccard:.2f}",
    "tastes": lambda f: f"{f.taste_coverage:.2f}",
}


def heading() -> str:
    """Names of the columns."""
    return "  ".join(_COLUMNS)


def line(figures: RoundFigures) -> str:
    """One round, below the heading."""
    return "  ".join(value(figures).rjust(len(name)) for name, value in _COLUMNS.items())
