r"""A step behind a trained model that turns its logits into those of probabilities that come true.

Fitted on rows that the weights have not seen, exported with the model. Neither curve ever falls, so that no two rows
change their order; where isotonic regression is flat, rows that had an order come out equal.

- `platt`: :math:`z' = A z + B`, maximum likelihood for the targets :math:`(N_+ + 1)/(N_+ + 2)` of the positives and
  :math:`1/(N_- + 2)` of the negatives (Platt 1999, §2.2), with A ≥ 0. Two numbers: the choice for few rows.
- `isotonic`: the non-decreasing function of least squares (Zadrozny & Elkan 2002), by pool-adjacent-violators; between
  its blocks logits are interpolated, and the ends stay at Platt's targets: no log is long enough to be certain.
"""

from __future__ import annotations

import abc
from typing import Literal

import numpy as np
import scipy.optimize
import scipy.special
import tensorflow as tf

CalibrationKind = Literal["none", "platt", "isotonic"]
KNOTS = 1024  # of an isotonic curve, at most
Curve = dict[str, list[float]]


class Calibration(tf.Module, abc.ABC):
    """Logits → calibrated logits; the identity until it is fitted."""

    @abc.abstractmethod
    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        """Float32 [batch] → float32 [batch]."""

    @abc.abstractmethod
    def fit(self, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Learn the curve.

        Args:
            logits: of rows that the model has not learnt from. [rows]
            labels: 0 or 1. [rows]
            weights: of the rows, not negative; 1 each by default. [rows]

        """

    @property
    @abc.abstractmethod
    def state(self) -> list[tf.Variable]:
        """What the curve is made of."""

    @abc.abstractmethod
    def curve(self) -> Curve:
        """The fitted curve as plain numbers."""

    @abc.abstractmethod
    def restore(self, curve: Curve) -> None:
        """Take over what `curve` gave. Raises KeyError or ValueError if it is of another kind."""


def make_calibration(kind: CalibrationKind) -> Calibration | None:
    """A step that is not fitted yet; None for `none`."""
    return None if kind == "none" else {"platt": Platt, "isotonic": Isotonic}[kind]()


class Platt(Calibration):
    """A straight line over logits."""

    def __init__(self) -> None:
        super().__init__(name="platt")
        self._slope = tf.Variable(1.0, trainable=False, name="slope")
        self._intercept = tf.Variable(0.0, trainable=False, name="intercept")

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        return self._slope * logits + self._intercept

    def fit(self, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        logits, labels, weights = _rows(logits, labels, weights)
        low, high = smoothed_targets(labels, weights)
        slope, intercept = _line(logits, np.where(labels > 0, high, low), weights)
        self.restore({"slope": [slope], "intercept": [intercept]})

    @property
    def state(self) -> list[tf.Variable]:
        return [self._slope, self._intercept]

    def curve(self) -> Curve:
        return {"slope": [float(self._slope)], "intercept": [float(self._intercept)]}

    def restore(self, curve: Curve) -> None:
        (slope,), (intercept,) = curve["slope"], curve["intercept"]
        self._slope.assign(slope)
        self._intercept.assign(intercept)


class Isotonic(Calibration):
    """Straight pieces between knots, level beyond the first and the last one."""

    def __init__(self) -> None:
        super().__init__(name="isotonic")
        # Of one size whatever the data, so that a fresh model can take over the state of a fitted one.
        self._from = tf.Variable(np.zeros(KNOTS, np.float32), trainable=False, name="knots")
        self._to = tf.Variable(np.zeros(KNOTS, np.float32), trainable=False, name="values")
        self._is_fitted = tf.Variable(False, trainable=False, name="is_fitted")

    def __call__(self, logits: tf.Tensor) -> tf.Tensor:
        knots, values = tf.convert_to_tensor(self._from), tf.convert_to_tensor(self._to)
        left = tf.clip_by_value(tf.searchsorted(knots, logits, side="right") - 1, 0, KNOTS - 2)
        start, first = tf.gather(knots, left), tf.gather(values, left)
        width, rise = tf.gather(knots, left + 1) - start, tf.gather(values, left + 1) - first
        place = tf.clip_by_value(tf.math.divide_no_nan(logits - start, width), 0.0, 1.0)
        return tf.where(self._is_fitted, first + place * rise, logits)

    def fit(self, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None = None) -> None:
        logits, labels, weights = _rows(logits, labels, weights)
        distinct, place = np.unique(logits, return_inverse=True)
        weight = np.bincount(place, weights=weights)
        rate = np.bincount(place, weights=weights * labels) / weight
        found = scipy.optimize.isotonic_regression(rate, weights=weight)
        low, high = smoothed_targets(labels, weights)
        values = scipy.special.logit(np.clip(found.x, low, high))
        # Both ends of each block; should there be very many, some that lie between others are left out.
        knots = np.unique(np.concatenate([found.blocks[:-1], found.blocks[1:] - 1]))
        if len(knots) > KNOTS:
            knots = knots[np.linspace(0, len(knots) - 1, KNOTS).round().astype(np.int64)]
        self.restore({"knots": distinct[knots].tolist(), "values": values[knots].tolist()})

    @property
    def state(self) -> list[tf.Variable]:
        return [self._from, self._to, self._is_fitted]

    def curve(self) -> Curve:
        knots, values = self._from.numpy(), self._to.numpy()
        kept = np.concatenate([[True], np.diff(knots) > 0])  # the others repeat the last one
        return {"knots": knots[kept].tolist(), "values": values[kept].tolist()}

    def restore(self, curve: Curve) -> None:
        given = np.array([curve["knots"], curve["values"]], np.float32)
        for variable, values in zip((self._from, self._to), given, strict=True):
            variable.assign(np.pad(values, (0, KNOTS - len(values)), mode="edge"))
        self._is_fitted.assign(True)


def smoothed_targets(labels: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """What Platt wants of a negative and of a positive: as if one more of each class had been seen."""
    positives = float(weights @ labels)
    negatives = float(weights.sum()) - positives
    return 1 / (negatives + 2), (positives + 1) / (positives + 2)


def _rows(
    logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As float64, without rows that weigh nothing.

    Raises:
        ValueError: no row is left, a label is neither 0 nor 1, or a logit is NaN or infinite.

    """
    weight = np.ones(len(logits)) if weights is None else np.asarray(weights, np.float64)
    kept = weight > 0
    found = np.asarray(logits, np.float64)[kept], np.asarray(labels, np.float64)[kept], weight[kept]
    if not kept.any() or not np.isin(found[1], (0, 1)).all() or not np.isfinite(found[0]).all():
        raise ValueError("calibration needs at least one row of weight above 0, finite logits, and labels 0 and 1")
    return found


def _line(logits: np.ndarray, targets: np.ndarray, weights: np.ndarray) -> tuple[float, float]:
    """Slope, 0 or more, and intercept of the greatest likelihood."""
    total = weights.sum()
    mean = float(weights @ logits / total)
    spread = float(np.sqrt(weights @ (logits - mean) ** 2 / total))
    level = float(scipy.special.logit(weights @ targets / total))
    if spread == 0:
        return 0.0, level
    scaled = np.stack([(logits - mean) / spread, np.ones_like(logits)])

    def loss(line: np.ndarray) -> tuple[float, np.ndarray]:
        z = line @ scaled
        value = weights @ (np.logaddexp(0.0, z) - targets * z) / total
        return float(value), scaled @ (weights * (scipy.special.expit(z) - targets)) / total

    def curvature(line: np.ndarray) -> np.ndarray:
        p = scipy.special.expit(line @ scaled)
        found: np.ndarray = (scaled * (weights * p * (1 - p) / total)) @ scaled.T
        return found

    start = np.array([0.0, level])
    best = scipy.optimize.minimize(loss, start, jac=True, hess=curvature, method="trust-exact", options={"gtol": 1e-10})
    slope, intercept = best.x
    if slope <= 0:  # convex: the best line that does not fall is then level
        return 0.0, level
    return float(slope / spread), float(intercept - slope * mean / spread)
