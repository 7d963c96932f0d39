"""Probabilities of several classes against the class that came true."""

from __future__ import annotations

import numpy as np

LEAST = 1e-15  # a class that was called impossible and came true does not cost infinitely much


def class_log_loss(classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Mean of −ln of what the true class was given; NaN of no rows.

    Args:
        classes: int [rows].
        probabilities: float [rows, classes].

    """
    given = probabilities[np.arange(len(classes)), classes].astype(np.float64)
    return float(-np.log(np.maximum(given, LEAST)).mean()) if len(classes) else float("nan")


def class_accuracy(classes: np.ndarray, probabilities: np.ndarray) -> float:
    """Share of the rows whose most probable class came true; ties go to the lower class; NaN of no rows.

    Args:
        classes: int [rows].
        probabilities: float [rows, classes].

    """
    return float((probabilities.argmax(axis=1) == classes).mean()) if len(classes) else float("nan")
