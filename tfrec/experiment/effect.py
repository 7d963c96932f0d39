"""The effect of a variant on a metric: a difference of means, or of ratios of totals by the delta method."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import t

from tfrec.errors import DataError


@dataclass(frozen=True)
class Arm:
    """What one variant's users say about a metric.

    Attributes:
        estimate: of the metric
        influence: of each user on the estimate, with mean 0: Var(estimate) = Var(influence) / users. float [users]

    """

    estimate: float
    influence: np.ndarray

    @property
    def variance(self) -> float:
        return float(self.influence.var(ddof=1)) / len(self.influence)


@dataclass(frozen=True)
class Effect:
    """A variant against the control.

    Attributes:
        control: the metric of the control
        variant: of the variant
        difference: variant − control
        standard_error: of the difference
        low: of the difference's interval
        high: likewise
        p_value: two-sided, of no difference (Welch 1947)
        lift: difference / |control|; NaN where the control's metric may be 0
        lift_low: of its interval
        lift_high: likewise

    """

    control: float
    variant: float
    difference: float
    standard_error: float
    low: float
    high: float
    p_value: float
    lift: float
    lift_low: float
    lift_high: float


def arm(numerator: np.ndarray, denominator: np.ndarray | None = None) -> Arm:
    """Return the mean of `numerator`, or θ = Σ numerator / Σ denominator; float [users] both.

    By the delta method a user's influence on θ is (numerator − θ denominator) / mean(denominator), since the user, not
    the row, was randomised (Deng, Knoblich & Lu 2018).

    Raises:
        DataError: fewer than two users, or the denominators sum to 0.

    """
    if len(numerator) < 2:
        raise DataError(f"{len(numerator)} users of a variant have a value; at least two are needed")
    if denominator is None:
        denominator = np.ones_like(numerator)
    size = float(denominator.mean())
    if size == 0:
        raise DataError("the denominators of a variant's users sum to 0: the ratio is not defined")
    estimate = float(numerator.mean()) / size
    return Arm(estimate, (numerator - estimate * denominator) / size)


def adjusted(control: Arm, variant: Arm, covariates: tuple[np.ndarray, np.ndarray]) -> tuple[Arm, Arm]:
    """Return both without what covariates from before the experiment explain: CUPED (Deng, Xu, Kohavi & Walker 2013).

    θ' = θ − β·(x̄ of the variant − x̄ of both), β by least squares of influence on x within the variants.

    Args:
        control: an arm
        variant: another
        covariates: of the users of each, in the same order. float [users of the arm, covariates]

    """
    means = [x.mean(axis=0) for x in covariates]
    centre = np.concatenate(covariates).mean(axis=0)
    within = [x - mean for x, mean in zip(covariates, means, strict=True)]
    influence = np.concatenate([control.influence, variant.influence])
    beta = _slopes(np.concatenate(within), influence)
    found = [
        Arm(float(side.estimate - (mean - centre) @ beta), side.influence - x @ beta)
        for side, mean, x in zip((control, variant), means, within, strict=True)
    ]
    return found[0], found[1]


def _slopes(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Least squares by the normal equations of scaled columns, 0 for a column that does not vary. float [covariates]"""
    size = np.sqrt((x**2).sum(axis=0))
    scaled = np.divide(x, size, out=np.zeros_like(x), where=size > 0)
    found = np.linalg.lstsq(scaled.T @ scaled, scaled.T @ y, rcond=None)[0]
    return np.divide(found, size, out=np.zeros_like(found), where=size > 0)


def effect(control: Arm, variant: Arm, *, alpha: float = 0.05) -> Effect:
    """Return variant − control with Welch's test, and its lift by the delta method."""
    variances = [side.variance for side in (control, variant)]
    error = math.sqrt(sum(variances))
    difference = variant.estimate - control.estimate
    lift, lift_error = math.nan, math.nan
    if abs(control.estimate) > 3 * math.sqrt(variances[0]):  # else the ratio's distribution has no use
        ratio = variant.estimate / control.estimate
        lift = difference / abs(control.estimate)
        lift_error = math.sqrt(variances[1] + ratio**2 * variances[0]) / abs(control.estimate)
    found = Effect(control.estimate, variant.estimate, difference, error, difference, difference, 1.0, lift, lift, lift)
    if error == 0:
        return replace(found, p_value=1.0 if difference == 0 else 0.0)
    parts = [v**2 / (len(side.influence) - 1) for v, side in zip(variances, (control, variant), strict=True)]
    freedom = sum(variances) ** 2 / sum(parts)
    width = float(t.ppf(1 - alpha / 2, freedom))
    return replace(
        found,
        low=difference - width * error,
        high=difference + width * error,
        p_value=float(2 * t.sf(abs(difference) / error, freedom)),
        lift_low=lift - width * lift_error,
        lift_high=lift + width * lift_error,
    )
