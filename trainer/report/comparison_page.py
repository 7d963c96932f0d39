"""A comparison → compare.html, which needs no other file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tfrec.certainty import bootstrap_mean
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.report.comparison import Comparison, Contender
from trainer.report.comparison_tables import compared_slices, contender_rows, costs, shown_metrics
from trainer.report.curves import Plot
from trainer.report.estimates import SIGNIFICANCE
from trainer.report.names import bytes_text, metric_name, number, seconds_text
from trainer.report.per_user import ListOutcome
from trainer.report.plots import SERIES, Curve, Dot, lines, scatter
from trainer.report.ranks import BASES, KS
from trainer.report.tables import Scale
from trainer.report.write import environment, save_page

_WRITE = {
    "train_seconds": ("training", seconds_text),
    "peak_memory_bytes": ("peak memory", bytes_text),
    "model_bytes": ("model size", bytes_text),
    "latency_p50_ms": ("latency, median", lambda ms: f"{ms:.2f} ms"),
    "latency_p99_ms": ("latency, 99th percentile", lambda ms: f"{ms:.2f} ms"),
}
_AXES = {
    "latency_p50_ms": "median latency (ms)",
    "train_seconds": "training time (s)",
    "model_bytes": "model size (bytes)",
}


def write_comparison(comparison: Comparison, path: Path) -> Path:
    """Write the page; an existing one is replaced. Raises ConfigError if it cannot be written."""
    rows = contender_rows(comparison)
    text = environment().get_template("compare.html").render(
        comparison=comparison,
        first=comparison.first,
        words=in_words(comparison),
        metrics=shown_metrics(comparison),
        rows=rows,
        scale=Scale.around(row.cells[0] for row in rows),
        cuts=_cut_curves(comparison),
        slices=compared_slices(comparison),
        scatters=_cost_scatters(comparison),
        costs=_cost_table(comparison),
    )  # fmt: skip
    return save_page(path, text)


def in_words(comparison: Comparison) -> tuple[str, str]:
    """How the page colours the verdict, and the verdict: what the best is surely better than."""
    best, metric = comparison.best, metric_name(comparison.metric)
    surely: list[str] = []
    unsure: list[str] = []
    for pair in comparison.pairs:
        if best.name in (pair.first, pair.second):
            other = pair.second if pair.first == best.name else pair.first
            (surely if pair.p_holm < SIGNIFICANCE else unsure).append(other)
    if not comparison.pairs:
        return "open", f"{best.name} alone: {metric} {number(best.mean(comparison.metric))}"
    text = f"{best.name} has the best {metric}, {number(best.mean(comparison.metric))}"
    if surely:
        text += f"; better than {', '.join(surely)} (paired tests, Holm, 5 %)"
    if unsure:
        text += f"; not told apart from {', '.join(unsure)}"
    return ("better" if surely and not unsure else "open"), text


def _cut_curves(comparison: Comparison) -> list[Plot]:
    """Each metric at every k; several seeds as their mean."""
    found = [(one, [outcome for outcome in one.outcomes() if isinstance(outcome, ListOutcome)])
             for one in comparison.contenders]  # fmt: skip
    if not all(outcomes for _, outcomes in found):
        return []
    one_each = all((o.lists.relevant_counts == 1).all() for _, outcomes in found for o in outcomes)
    plots = []
    for base in BASES:
        if base == "hit_rate" and one_each:
            continue
        label, curves = metric_name(f"{base}_at_k"), []
        for colour, (one, outcomes) in enumerate(found):
            ks = [k for k in KS if k <= min(outcome.lists.items.shape[1] for outcome in outcomes)]
            values = np.mean([outcome.curve(base, ks) for outcome in outcomes], axis=0)
            mean = bootstrap_mean(values, users=outcomes[0].lists.users)
            curves.append(Curve(one.name, np.array(ks), mean.mean, mean.low, mean.high, colour, has_dots=True))
        plots.append(Plot(label, lines(curves, "k", label, x_ticks=KS, is_log=True, from_zero=True)))
    return plots


def _cost_scatters(comparison: Comparison) -> list[Plot]:
    """Quality by what it costs, for each cost that all contenders have."""
    label = metric_name(comparison.metric) + (" (lower is better)" if comparison.metric in LOWER_IS_BETTER else "")
    plots = []
    for cost, axis in _AXES.items():
        found = [(one, costs(one).get(cost)) for one in comparison.contenders]
        if len(found) > 1 and all(value is not None and value > 0 for _, value in found):
            dots = [_dot(one, float(value or 0), comparison.metric, place) for place, (one, value) in enumerate(found)]
            plots.append(Plot(f"{label} by {axis}", scatter(dots, axis, label, is_log=True)))
    return plots


def _dot(one: Contender, x: float, metric: str, colour: int) -> Dot:
    found = one.estimate(metric)
    return Dot(one.name, x, found.mean, found.low, found.high, colour % SERIES)


def _cost_table(comparison: Comparison) -> list[tuple[str, list[str]]]:
    found = [costs(one) for one in comparison.contenders]
    return [
        (label, [write(of[name]) if name in of else "–" for of in found])
        for name, (label, write) in _WRITE.items()
        if any(name in of for of in found)
    ]
