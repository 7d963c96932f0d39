"""The figures of a loop, a line per round, for people who watch it; columns are called as in rounds.csv."""

from __future__ import annotations

import math
from collections.abc import Callable

from tfrec.simulation.judgement import RoundFigures


def _figure(value: float, digits: int = 3) -> str:
    """A dash where there is nothing to measure: no late items yet, no clicks."""
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


_COLUMNS: dict[str, Callable[[RoundFigures], str]] = {
    "round_number": lambda f: f"{f.round_number}",
    "logged_reward": lambda f: f"{f.logged_reward:.3f}",
    "reward": lambda f: f"{f.reward:.3f}",
    "greedy_reward": lambda f: f"{f.greedy_reward:.3f}",
    "best_reward": lambda f: f"{f.best_reward:.3f}",
    "offline_recall": lambda f: _figure(f.offline_recall),
    "true_recall": lambda f: _figure(f.true_recall),
    "illusion": lambda f: _figure(f.illusion),
    "gini": lambda f: f"{f.gini:.2f}",
    "coverage": lambda f: f"{f.coverage:.2f}",
    "late_items": lambda f: _figure(f.late_items, 2),
    "jaccard": lambda f: f"{f.jaccard:.2f}",
    "taste_coverage": lambda f: f"{f.taste_coverage:.2f}",
}


def heading() -> str:
    """Names of the columns."""
    return "  ".join(_COLUMNS)


def line(figures: RoundFigures) -> str:
    """One round, below the heading."""
    return "  ".join(value(figures).rjust(len(name)) for name, value in _COLUMNS.items())
