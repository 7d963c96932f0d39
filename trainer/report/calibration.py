"""Whether predicted values are what happens: means of labels by predicted value."""

from __future__ import annotations

import numpy as np

from tfrec.schema import LABEL
from trainer.report.curves import Plot
from trainer.report.per_user import PREDICTION, EventOutcome
from trainer.report.plots import Curve, lines
from trainer.report.results import MAIN_SET, JobResults

BINS = 12  # of as many events each


def calibration_plot(results: JobResults) -> Plot | None:
    """Mean label by mean prediction, for the model and each baseline that was kept; None where nothing was."""
    curves = []
    for colour, name in enumerate([None, *results.baselines]):
        outcome = results.outcome(MAIN_SET, name)
        if isinstance(outcome, EventOutcome) and len(outcome.events[LABEL]):
            predicted = outcome.events[PREDICTION].astype(np.float64)
            predicted = 1 / (1 + np.exp(-predicted)) if results.is_binary else predicted
            x, y, low, high = reliability(predicted, outcome.events[LABEL].astype(np.float64), results.is_binary)
            curves.append(Curve(results.label(name), x, y, low, high, colour, has_dots=True))
    if not curves:
        return None
    ends = np.array([min(curve.x.min() for curve in curves), max(curve.x.max() for curve in curves)])
    what = "probability" if results.is_binary else "value"
    return Plot(
        "Calibration",
        lines(
            [*curves, Curve("perfect", ends, ends, colour=None)],
            f"predicted {what}",
            "observed rate" if results.is_binary else "observed mean",
        ),
        f"Test events in {BINS} groups by prediction, of as many events each, with 95 % intervals. "
        "Below the diagonal the model promises too much.",
    )


def reliability(
    predicted: np.ndarray, labels: np.ndarray, is_binary: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean prediction, mean label, and its 95 % interval in groups of equal size, by ascending prediction.

    Rates have Wilson's interval (1927), means the normal one.
    """
    order = np.argsort(predicted, kind="stable")
    groups = [group for group in np.array_split(order, BINS) if len(group)]
    x = np.array([predicted[group].mean() for group in groups])
    y = np.array([labels[group].mean() for group in groups])
    n = np.array([len(group) for group in groups], np.float64)
    z = 1.959964
    if is_binary:
        centre = (y + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(y * (1 - y) / n + z**2 / (4 * n**2))
        return x, y, np.maximum(centre - half, 0), np.minimum(centre + half, 1)  # rounding may pass the ends
    half = z * np.array([labels[group].std() for group in groups]) / np.sqrt(n)
    return x, y, y - half, y + half
