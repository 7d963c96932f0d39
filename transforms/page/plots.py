"""Plots as inline SVG. Each takes one or two series: a dataset, or the two that are compared."""

from __future__ import annotations

import io
import re
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from transforms.compare.distances import Cumulative

COLOURS = ("#2166ac", "#d6604d")
_WIDTH, _HEIGHT = 3.6, 1.9  # inches
_BINS = 30
_STYLE: Any = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "svg.fonttype": "none",  # text stays text: smaller, and can be searched
    "svg.hashsalt": "tfrec",  # the same data gives the same bytes
    "font.family": "sans-serif",
}


def top_values(shares: Sequence[Mapping[str, float]], names: Sequence[str]) -> str:
    """Horizontal bars of the shares of a few values, in the order of the first mapping; one bar per dataset each."""
    values = list(dict.fromkeys(value for share in shares for value in share))
    figure, axes = _axes(height=0.45 + 0.2 * len(values))
    thickness = 0.8 / len(shares)
    rows = np.arange(len(values))
    for number, share in enumerate(shares):
        lengths = [share.get(value, 0.0) for value in values]
        axes.barh(rows + number * thickness, lengths, thickness, color=COLOURS[number], label=names[number])
    # A token may hold $ signs: they are not formulas here.
    axes.set_yticks(rows + (len(shares) - 1) * thickness / 2, [_short(v) for v in values], parse_math=False)
    axes.invert_yaxis()
    _percent(axes, "x")
    return _svg(figure)


def histogram(distributions: Sequence[Cumulative], names: Sequence[str]) -> str:
    """Share of the rows per bin of equal width; of equal width in log(1 + x) where the tail is long."""
    edges, is_long = _histogram_edges(np.unique(np.concatenate([d.values for d in distributions])))
    figure, axes = _axes()
    for number, distribution in enumerate(distributions):
        axes.stairs(
            np.diff(distribution.share_up_to(edges)),
            edges,
            fill=len(distributions) == 1,
            color=COLOURS[number],
            label=names[number],
            linewidth=1.4,
        )
    if is_long:
        axes.set_xscale("symlog")
    _percent(axes, "y")
    return _svg(figure)


def _histogram_edges(values: np.ndarray) -> tuple[np.ndarray, bool]:
    """Edges around all values, which are ascending, and whether they are even in log(1 + x) instead of x."""
    low, high = float(values[0]), float(values[-1])
    if low >= 0 and high > 100 * max(float(np.median(values)), 1):
        edges = np.expm1(np.linspace(np.log1p(low), np.log1p(high), _BINS + 1))
        return np.concatenate([[np.nextafter(low, -np.inf)], edges[1:-1], [high]]), True
    if np.all(values == np.round(values)):  # as many whole numbers in each bin, or the bins would show a comb
        width = max(1.0, np.ceil((high - low + 1) / _BINS))
        return np.arange(low - 0.5, high + width, width), False
    return np.concatenate([[np.nextafter(low, -np.inf)], np.linspace(low, high, _BINS + 1)[1:-1], [high]]), False


def popularity_curve(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Share of the training events that fall on the most popular x % of the items."""
    figure, axes = _axes(height=2.2)
    for number, of_items in enumerate(counts):
        descending = np.sort(np.asarray(of_items, np.float64))[::-1]
        events = np.append(0.0, np.cumsum(descending)) / max(descending.sum(), 1)
        items = np.linspace(0, 1, len(events))
        keep = np.unique(np.linspace(0, len(events) - 1, 200).astype(int))  # a curve needs no more points
        axes.plot(items[keep], events[keep], color=COLOURS[number], label=names[number])
    axes.set_xlabel("most popular items")
    axes.set_ylabel("training events")
    _percent(axes, "x")
    _percent(axes, "y")
    return _svg(figure)


def events_per_user(counts: Sequence[Sequence[int]], names: Sequence[str]) -> str:
    """Share of the users by their number of training events: how long histories get."""
    highest = max(max(of_users, default=1) for of_users in counts)
    edges = np.unique(np.round(np.geomspace(1, highest + 1, 25)))
    figure, axes = _axes(height=2.2)
    for number, of_users in enumerate(counts):
        found, _ = np.histogram(np.asarray(of_users), edges)
        axes.stairs(
            found / max(len(of_users), 1),
            edges,
            fill=len(counts) == 1,
            color=COLOURS[number],
            label=names[number],
            linewidth=1.4,
        )
    axes.set_xscale("log")
    axes.set_xlabel("training events of a user")
    axes.set_ylabel("users")
    _percent(axes, "y")
    return _svg(figure)


def _axes(height: float = _HEIGHT) -> tuple[Figure, Axes]:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(_WIDTH, height), layout="constrained")
        return figure, figure.add_subplot()


def _percent(axes: Axes, which: str) -> None:
    axis = axes.xaxis if which == "x" else axes.yaxis
    axis.set_major_formatter(lambda value, _: f"{100 * value:g}%")


def _short(value: str) -> str:
    kept = "".join(sign if sign.isprintable() else "·" for sign in value)
    return kept if len(kept) <= 18 else kept[:17] + "…"


def _svg(figure: Figure) -> str:
    """The figure's `<svg>` element alone, without the prolog and the metadata, which name addresses."""
    content = io.StringIO()
    with matplotlib.rc_context(_STYLE), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a sign that the measuring font lacks; the browser has its own fonts
        for axes in figure.axes:
            if len(axes.get_legend_handles_labels()[1]) > 1:
                axes.legend(frameon=False, fontsize=7)
        figure.savefig(
            content,
            format="svg",
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
            transparent=True,
        )
    text = content.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL).strip()
    return re.sub(r'<g id="[^"]*"', "<g", text)  # nothing refers to groups, and ids are unique in a page
