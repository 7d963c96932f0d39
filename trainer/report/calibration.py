"""Whether predicted values are what happens: means of labels by predicted value."""

from __future__ import annotations

import numpy as np

from tfrec.metrics import equal_mass_bins
from tfrec.schema import LABEL
from trainer.report.bias import predicted_values
from trainer.report.curves import Plot
from trainer.report.per_user import PREDICTION, EventOutcome, event_weights
from trainer.report.plots import Curve, lines
from trainer.report.results import MAIN_SET, JobResults

BINS = 12  # of as many events each


def calibration_plot(results: JobResults) -> Plot | None:
    """Mean label by mean prediction, for the model and each baseline that was kept.

    None where nothing was, or where predictions only order events.
    """
    if not results.predicts_values:
        return None
    curves = []
    for colour, name in enumerate([None, *results.baselines]):
        outcome = results.outcome(MAIN_SET, name)
        if isinstance(outcome, EventOutcome) and event_weights(outcome.events).any():
            predicted = predicted_values(outcome.events[PREDICTION], results.is_binary)
            labels = outcome.events[LABEL].astype(np.float64)
            x, y, low, high = reliability(predicted, labels, results.is_binary, event_weights(outcome.events))
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
        f"Test events in {BINS} groups by prediction, of as many events each as equal predictions, which stay "
        "together, allow; with 95 % intervals. "
        "Below the diagonal the model promises too much.",
    )


def reliability(
    predicted: np.ndarray, labels: np.ndarray, is_binary: bool, weights: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Mean prediction, mean label, and its 95 % interval in groups of equal size, by ascending prediction.

    Equal predictions are in one group, so that the order of the log does not matter: after isotonic calibration, or of
    item means, there are many. Rates have Wilson's interval (1927), means the normal one; with weights n is Kish's
    effective number of events (1965), (Σ w)² / Σ w².
    """
    weights = np.ones(len(labels)) if weights is None else weights
    counted = np.flatnonzero(weights > 0)
    group_of = equal_mass_bins(predicted[counted], None, BINS)
    groups = [counted[group_of == group] for group in np.unique(group_of)]

    def means(values: np.ndarray) -> np.ndarray:
        return np.array([np.average(values[group], weights=weights[group]) for group in groups])

    x, y = means(predicted), means(labels)
    n = np.array([weights[group].sum() ** 2 / (weights[group] ** 2).sum() for group in groups])
    z = 1.959964
    if is_binary:
        centre = (y + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * np.sqrt(y * (1 - y) / n + z**2 / (4 * n**2))
        return x, y, np.maximum(centre - half, 0), np.minimum(centre + half, 1)  # rounding may pass the ends
    half = z * np.sqrt((means(labels**2) - y**2).clip(0) / n)
    return x, y, y - half, y + half
