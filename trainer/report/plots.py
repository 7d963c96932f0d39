"""Plots as inline SVG, whose colours are the page's own: the same file is right in light, dark and print."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SERIES = 6  # colours that the page's style has
_INK, _GRID, _LINE = "#0a0a00", "#0a0a01", "#0a0a02"  # stand for colours of the page until the figure is written
_COLOURS = [f"#0a0b{place:02x}" for place in range(SERIES)]
_WIDTH, _HEIGHT = 4.6, 2.7  # inches
_STYLE: Any = {
    "font.size": 8.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _GRID,
    "ytick.color": _GRID,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _LINE,
    "grid.linewidth": 0.5,
    "axes.axisbelow": True,
    "text.parse_math": False,  # a title may hold $ signs
    "svg.fonttype": "none",  # text stays text: smaller, and can be searched
    "svg.hashsalt": "tfrec",  # the same data gives the same bytes
    "font.family": "sans-serif",
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot, with a band around it where `low` and `high` are given."""

    name: str
    x: np.ndarray
    y: np.ndarray
    low: np.ndarray | None = None
    high: np.ndarray | None = None
    colour: int | None = 0  # number of a series; None for a reference line
    has_dots: bool = False


def lines(
    curves: Sequence[Curve],
    x_label: str,
    y_label: str,
    *,
    x_ticks: Sequence[float] = (),
    is_log: bool = False,
    mark_x: float | None = None,
    from_zero: bool = False,
) -> str:
    """Lines in one plot.

    Args:
        curves: the first one on top.
        x_label: of the axis.
        y_label: of the axis.
        x_ticks: where figures stand, instead of where the plot would put them.
        is_log: of x.
        mark_x: a dashed vertical line.
        from_zero: the y axis begins at 0.

    """
    figure, axes = _axes()
    for place, curve in reversed(list(enumerate(curves))):
        colour = _GRID if curve.colour is None else _COLOURS[curve.colour % SERIES]
        style: Any = {"linestyle": (0, (4, 3)), "linewidth": 1.0} if curve.colour is None else {"linewidth": 1.8}
        if curve.low is not None and curve.high is not None:
            axes.fill_between(curve.x, curve.low, curve.high, color=colour, alpha=0.16, linewidth=0)
        marker: Any = {"marker": "o", "markersize": 3.5} if curve.has_dots else {}
        axes.plot(curve.x, curve.y, color=colour, label=curve.name, zorder=3 + len(curves) - place, **style, **marker)
    if is_log:
        axes.set_xscale("log")
    if len(x_ticks):
        axes.set_xticks(list(x_ticks), [f"{tick:g}" for tick in x_ticks])
        axes.set_xticks([], minor=True)
    if mark_x is not None:
        axes.axvline(mark_x, color=_INK, linestyle=(0, (2, 2)), linewidth=0.9)
    if from_zero:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return _svg(figure, f"{y_label} by {x_label}")


@dataclass(frozen=True)
class Dot:
    """One point with a whisker and its name beside it."""

    name: str
    x: float
    y: float
    low: float
    high: float
    colour: int


def scatter(dots: Sequence[Dot], x_label: str, y_label: str, *, is_log: bool = False) -> str:
    """Named points, each with the interval of its y."""
    figure, axes = _axes()
    for dot in dots:
        colour = _COLOURS[dot.colour % SERIES]
        axes.plot([dot.x], [dot.y], "o", color=colour, markersize=6)
        axes.plot([dot.x, dot.x], [dot.low, dot.high], color=colour, linewidth=1.4)
        axes.annotate(dot.name, (dot.x, dot.y), (6, 4), textcoords="offset points")
    if is_log:
        axes.set_xscale("log")
    axes.margins(x=0.25, y=0.15)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return _svg(figure, f"{y_label} by {x_label}", has_legend=False)


def _axes() -> tuple[Figure, Axes]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained")
        return figure, figure.add_subplot()


def _svg(figure: Figure, title: str, *, has_legend: bool = True) -> str:
    """The figure's `<svg>` element alone, without the prolog and the metadata, which name addresses."""
    content = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a sign that the measuring font lacks; the browser has its own fonts
        for axes in figure.axes:
            handles, labels = axes.get_legend_handles_labels()
            if has_legend and len(labels) > 1:
                columns = min(len(labels), 4)
                figure.legend(handles[::-1], labels[::-1], frameon=False, loc="outside upper left", ncols=columns)
        none = {"Date": None, "Creator": None, "Format": None, "Type": None}
        figure.savefig(content, format="svg", metadata=none, transparent=True)
    text = content.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL).strip()
    text = re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to groups, and ids are unique in a page
    text = re.sub(r"\n\s*", "\n", text)
    text = text.replace(_INK, "var(--ink)").replace(_GRID, "var(--axis)").replace(_LINE, "var(--line)")
    for place, colour in enumerate(_COLOURS):
        text = text.replace(colour, f"var(--series-{place})")
    label = title.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1)
