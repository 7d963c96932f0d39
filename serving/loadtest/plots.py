"""Plots of a load test as inline SVG."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from serving.loadtest.histogram import Histogram
from serving.loadtest.outcome import Outcome

_COLOURS = ("#2166ac", "#d6604d", "#1b7837", "#762a83", "#b35806", "#4d4d4d")
_TAIL = (0, 50, 90, 99, 99.9, 99.99)
_STYLE: Any = {
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e4e4e4",
    "axes.axisbelow": True,
    "svg.fonttype": "none",  # text stays text: smaller, and can be searched
    "svg.hashsalt": "tfrec",  # the same data gives the same bytes
    "text.parse_math": False,
    "font.family": "sans-serif",
}
Drawn = Callable[[Axes], None]


def percentile_curves(names: Sequence[str], outcomes: Sequence[Outcome]) -> str:
    """Response time by percentile, the tail spread out: x is log 1 / (1 − q)."""

    def draw(axes: Axes) -> None:
        for i, (name, outcome) in enumerate(zip(names, outcomes, strict=True)):
            x, y = tail(outcome.response)
            axes.plot(x, y, color=_COLOURS[i % len(_COLOURS)], label=name, drawstyle="steps-pre")
        axes.set_xscale("log")
        axes.set_xticks([1 / (1 - percent / 100) for percent in _TAIL], [f"{percent:g}%" for percent in _TAIL])
        axes.minorticks_off()
        axes.set_ylim(bottom=0)
        axes.set_xlabel("percentile")
        axes.set_ylabel("response time, ms")
        axes.legend(frameon=False)

    return _svg(draw)


def tail(histogram: Histogram) -> tuple[np.ndarray, np.ndarray]:
    """1 / (1 − q) and the time in ms at q; the highest bucket stands at the last rank that can be told from 1."""
    highest, counts = np.array(list(histogram), float).reshape(-1, 2).T
    reached = np.cumsum(counts)
    above = np.maximum(histogram.count - reached, 0.5)
    return histogram.count / above, np.minimum(highest, histogram.max) / 1e3


def over_time(outcome: Outcome) -> str:
    """Median, 99th percentile and worst response of every second, by when the requests were to start."""
    seconds = sorted(outcome.by_second)

    def draw(axes: Axes) -> None:
        for i, (name, percent) in enumerate((("p50", 50), ("p99", 99), ("max", 100))):
            times = [outcome.by_second[second].percentile(percent) / 1e3 for second in seconds]
            axes.plot(seconds, times, color=_COLOURS[i], label=name, marker=".", linewidth=1)
        axes.set_ylim(bottom=0)
        axes.set_xlabel("second")
        axes.set_ylabel("response time, ms")
        axes.legend(frameon=False)

    return _svg(draw)


def _svg(draw: Drawn) -> str:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 3.2), layout="constrained")
        draw(figure.add_subplot())
        written = io.StringIO()
        figure.savefig(written, format="svg", metadata={"Date": None})
    return re.sub(r"^.*?(?=<svg)", "", written.getvalue(), flags=re.DOTALL)
