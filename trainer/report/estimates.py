"""Means with 95 % intervals, and the verdict between a model and a baseline."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tfrec.certainty import bootstrap_mean, paired_comparison
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.report.names import interval, metric_name, number, p_value, signed
from trainer.report.per_user import PerUser, common, is_per_user
from trainer.report.results import MAIN_SET, JobResults

SIGNIFICANCE = 0.05
FLIPS, FEW_FLIPS = 10_000, 1_000  # of the signs, for a verdict and for one of many slices
FEWEST_USERS = 5  # of an interval, or of a slice: fewer say nothing


@dataclass(frozen=True)
class Estimate:
    """A mean over users, with its 95 % interval; NaN where there is none."""

    mean: float
    low: float
    high: float
    users: int


@dataclass(frozen=True)
class Difference:
    """By how much the first of two is better, on the users of both; positive is better, whatever the metric.

    For RMSE it is the difference of the mean squared errors.
    """

    mean: float
    low: float
    high: float
    p_value: float
    users: int
    wins: int
    ties: int
    losses: int


@dataclass(frozen=True)
class Verdict:
    """Where a model stands, in words."""

    kind: str  # better, worse, open: how the page colours it
    text: str


def estimate(per_user: PerUser, metric: str) -> Estimate:
    """The mean over users (of events for errors), by bootstrap over users."""
    if not len(per_user):
        return Estimate(float("nan"), float("nan"), float("nan"), 0)
    found = bootstrap_mean(per_user.values, weights=per_user.weights, users=per_user.users)
    mean, low, high = (float(figure) for figure in (found.mean, found.low, found.high))
    if metric == "rmse":
        mean, low, high = (float(np.sqrt(figure)) for figure in (mean, low, high))
    return _judged(Estimate(mean, low, high, len(per_user)))


def difference(first: PerUser, second: PerUser, metric: str, *, test: str = "sign_flip") -> Difference | None:
    """The paired difference; None where fewer than two users have both.

    `test` is as `paired_comparison` has it. Users who weigh differently are compared by `sign_flip` in any case: the
    other tests know no weights. Of it `FEW_FLIPS` do where a faster test was asked for.
    """
    a, b = common(first, second)
    if len(a) < 2:
        return None
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    is_weighted = bool((a.weights != a.weights[0]).any())
    found = paired_comparison(
        sign * a.values,
        sign * b.values,
        users_a=a.users,
        users_b=b.users,
        weights=a.weights if is_weighted else None,
        test="sign_flip" if is_weighted else test,
        flips=FLIPS if test == "sign_flip" else FEW_FLIPS,
    )
    return Difference(
        float(found.difference),
        float(found.low),
        float(found.high),
        float(found.p_value),
        found.users,
        found.wins,
        found.ties,
        found.losses,
    )


def model_estimate(results: JobResults, name: str, metric: str, baseline: str | None = None) -> Estimate | None:
    """As metrics.json says it; what it leaves out comes from the kept predictions."""
    value = results.value(name, metric, baseline)
    low, high = (results.value(name, f"{metric}/{end}", baseline) for end in ("low", "high"))
    users = results.value(name, "users") or results.value(name, "rows") or 0
    if value is not None and low is not None and high is not None:
        return _judged(Estimate(value, low, high, int(users)))
    outcome = results.outcome(name, baseline)
    if outcome is not None and is_per_user(metric, results.task):
        found = estimate(outcome.per_user(metric), metric)
        return found if value is None else Estimate(value, found.low, found.high, found.users)
    return None if value is None else Estimate(value, float("nan"), float("nan"), int(users))


def verdict(results: JobResults, metric: str) -> Verdict:
    """The model beside the best baseline of the test set: a paired test over the same users."""
    baseline = results.best_baseline(MAIN_SET, metric)
    if baseline is None:
        return Verdict("open", "no baseline was evaluated beside it")
    if not is_per_user(metric, results.task):
        return _untested(results, metric, baseline, f"single users have no {metric_name(metric)}")
    ours, theirs, label = results.outcome(MAIN_SET), results.outcome(MAIN_SET, baseline), results.label(baseline)
    if ours is None or theirs is None:
        return _untested(results, metric, baseline, "the predictions of one of them were not kept")
    found = difference(ours.per_user(metric), theirs.per_user(metric), metric)
    if found is None:
        return _untested(results, metric, baseline, "fewer than two users have both")
    return _words(found, label, metric)


def _words(found: Difference, baseline: str, metric: str) -> Verdict:
    what = "mean squared error" if metric == "rmse" else metric_name(metric)
    if metric in LOWER_IS_BETTER:
        what = f"{what}, where lower is better"
    if found.p_value < SIGNIFICANCE and found.mean > 0:
        by = f"by {number(found.mean)} {interval(found.low, found.high)}, {p_value(found.p_value)}"
        return Verdict("better", f"better than {baseline} {by}, in {what}")
    if found.p_value < SIGNIFICANCE and found.mean < 0:
        by = f"by {number(-found.mean)} {interval(-found.high, -found.low)}, {p_value(found.p_value)}"
        return Verdict("worse", f"worse than {baseline} {by}, in {what}")
    by = f"{signed(found.mean)} {interval(found.low, found.high)}, {p_value(found.p_value)}"
    return Verdict("open", f"no better than {baseline} as far as {found.users:,} users can tell: {by}, in {what}")


def _untested(results: JobResults, metric: str, baseline: str, why: str) -> Verdict:
    ours, theirs = results.value(MAIN_SET, metric), results.value(MAIN_SET, metric, baseline)
    if ours is None or theirs is None or not np.isfinite([ours, theirs]).all():
        return Verdict("open", f"{metric_name(metric)} is not known of both the model and {results.label(baseline)}")
    gain = theirs - ours if metric in LOWER_IS_BETTER else ours - theirs
    word = "above" if gain > 0 else "below" if gain < 0 else "equal to"
    by = f"by {number(abs(gain))} " if gain else ""
    return Verdict("open", f"{word} {results.label(baseline)} {by}in {metric_name(metric)}, untested: {why}")


def _judged(found: Estimate) -> Estimate:
    """Without an interval where it would come from so few users that it means nothing."""
    return found if found.users >= FEWEST_USERS else Estimate(found.mean, float("nan"), float("nan"), found.users)
