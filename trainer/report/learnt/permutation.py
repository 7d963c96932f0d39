r"""Permutation importance: how much worse a ranking model gets when the values of one field are shuffled.

.. math:: I_f = M\Big(\frac{1}{R} \sum_{r=1}^{R} \ell(y, z(x^{f \to \pi_r}))\Big) - M\big(\ell(y, z(x))\big)

x^{f→π} has field f of row π(i) in row i, π a permutation of the test rows; ℓ is the loss of a row and M its mean (for
RMSE the root of it). Breiman (2001), section 10, with test rows for the ones out of the bag; Fisher, Rudin and Dominici
(2019), section 3, the difference of e_switch and e_orig. Rows that no log would hold count as well: of two fields that
say the same, each seems to matter less than both do together.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import scipy.stats

from tfrec.certainty import bootstrap_mean
from tfrec.dataset.records import Arrays
from tfrec.schema import LABEL, USER_INDEX, WEIGHT, Schema, SequenceFeature
from trainer.report.estimates import FEWEST_USERS, Estimate
from trainer.report.per_user import event_errors, event_weights

MOST_ROWS = 20_000
REPEATS = 5
MOST_SCORED = 2_000_000  # rows × fields × repeats: with many fields fewer rows are taken
SECONDS = 60.0  # after them no further repeat begins
SEED = 1
ORDERS = ("auc", "spearman")  # metrics of the order alone; higher is better

Predict = Callable[[Arrays], np.ndarray]


@dataclass(frozen=True)
class Importance:
    """Of one field, or of several that are shuffled as one.

    Attributes:
        name: of the field, or what the fields have in common.
        fields: shuffled together.
        estimate: change of the metric, with an interval over users.
        spread: standard deviation of the change over repeats; NaN for a single one.
        is_group: all fields of a role.

    """

    name: str
    fields: tuple[str, ...]
    estimate: Estimate
    spread: float
    is_group: bool = False


@dataclass(frozen=True)
class Importances:
    """Of all fields, the most important first, and how they were measured."""

    metric: str
    baseline: float  # the metric on the same rows as they are
    rows: int
    repeats: int
    fields: tuple[Importance, ...]


def shuffled_together(schema: Schema, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Name → fields that are one: made of one column, with its weights, or sequences of which place i is one event."""
    names = list(fields)
    weights = {own: name for name in names if (own := schema.weights_of(name)) in names}
    found: dict[str, tuple[str, ...]] = {}
    done: set[str] = set(weights)
    for name in names:
        if name not in done:
            events, column = schema.side_by_side(name), _column(schema, name)
            same = [n for n in names if n not in done and (n in events or _column(schema, n) == column)]
            found[name] = (*same, *(own for own, of in weights.items() if of in same))
            done |= set(same)
    return found


def _column(schema: Schema, name: str) -> tuple[str, ...]:
    """What a feature is made of: role and column, or itself alone where that is not one column."""
    feature = schema.features[name]
    is_made = isinstance(feature, SequenceFeature) or any(getattr(feature, key, None) for key in ("flags", "so_far"))
    return (name,) if is_made else (feature.role, feature.column or name)


def of_roles(schema: Schema, fields: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """All fields of a role, where there are several and not all are of it."""
    names = list(fields)
    roles = {role: tuple(n for n in names if schema.features[n].role == role) for role in ("user", "item", "context")}
    return {f"all of {role}": own for role, own in roles.items() if 1 < len(own) < len(names)}


def permutation_importance(
    predict: Predict,
    records: Mapping[str, np.ndarray],
    groups: Mapping[str, tuple[str, ...]],
    metric: str,
    *,
    of_group: Mapping[str, tuple[str, ...]] | None = None,
    repeats: int = REPEATS,
    most_rows: int = MOST_ROWS,
    seconds: float = SECONDS,
) -> Importances | None:
    """Shuffle each field, predict, and compare; the same records give the same figures.

    Args:
        predict: encoded rows → logits or values. float [rows]
        records: of the test split.
        groups: name → fields to shuffle as one.
        metric: `log_loss`, `rmse` or `mae`; or `auc` or `spearman`, of which the loss is what is missing to 1.
        of_group: further ones that hold fields of several `groups`.
        repeats: permutations of each field.
        most_rows: more are drawn from.
        seconds: no further repeat begins after them.

    Returns:
        None where there are no rows or no fields, or where the metric is not defined.

    """
    wanted = {**groups, **(of_group or {})}
    if metric == "spearman":  # counts all rows alike
        records = {name: values for name, values in records.items() if name != WEIGHT}
    counted = np.flatnonzero(event_weights(records) > 0)
    if not len(counted) or not wanted:
        return None
    draws = np.random.default_rng(SEED)
    size = min(len(counted), most_rows, max(MOST_SCORED // (len(wanted) * repeats), 1))
    rows = np.sort(draws.choice(counted, size, replace=False))
    kept = {name: values[rows] for name, values in records.items()}
    weights = event_weights(kept)

    def losses_of(given: Arrays) -> np.ndarray:
        if metric == "auc":
            return auc_parts(given[LABEL], predict(given), weights)
        if metric == "spearman":
            return rank_parts(given[LABEL], predict(given))
        return event_errors(metric, given[LABEL], predict(given))

    base = losses_of(kept)
    if not np.isfinite(base).all():
        return None
    losses: dict[str, list[np.ndarray]] = {name: [] for name in wanted}
    began, done = time.monotonic(), 0
    while done < repeats and (not done or time.monotonic() - began < seconds):
        order = draws.permutation(size)  # one for all fields: they are compared on the same shuffle
        for name, fields in wanted.items():
            shuffled = {**kept, **{field: kept[field][order] for field in fields}}
            losses[name].append(losses_of(shuffled))
        done += 1
    shuffled_losses = [np.mean(found, axis=0) for found in losses.values()]
    estimates = _estimates(metric, kept[USER_INDEX], weights, base, shuffled_losses)
    start = _value(metric, base, weights)
    found = [
        Importance(name, wanted[name], estimate, _spread(metric, losses[name], weights, start), name not in groups)
        for name, estimate in zip(wanted, estimates, strict=True)
    ]
    found.sort(key=lambda one: -one.estimate.mean)
    return Importances(metric, 1 - start if metric in ORDERS else start, size, done, tuple(found))


def _estimates(
    metric: str, users: np.ndarray, weights: np.ndarray, base: np.ndarray, shuffled: list[np.ndarray]
) -> list[Estimate]:
    """Changes of the metric. A root is no mean: its interval is that of its linear part (the delta method). Spearman's
    ρ, whose rows hang together by their ranks, has none.
    """
    start = _value(metric, base, weights)
    ends = [_value(metric, one, weights) for one in shuffled]
    if metric == "rmse":
        scales = [2 * max(end, 1e-12) for end in ends]
        rows = [one / scale - base / (2 * max(start, 1e-12)) for one, scale in zip(shuffled, scales, strict=True)]
    else:
        rows = [one - base for one in shuffled]
    owners, inverse = np.unique(users, return_inverse=True)
    total = np.bincount(inverse, weights=weights)
    means = np.stack([np.bincount(inverse, weights=weights * row) for row in rows], axis=1) / total[:, None]
    found = bootstrap_mean(means, weights=total, users=owners)
    estimates = []
    for place, end in enumerate(ends):
        change, offset = end - start, end - start - found.mean[place]
        low, high = found.low[place] + offset, found.high[place] + offset
        if metric == "spearman" or len(owners) < FEWEST_USERS:
            low = high = float("nan")
        estimates.append(Estimate(change, float(low), float(high), len(owners)))
    return estimates


def auc_parts(labels: np.ndarray, predicted: np.ndarray, weights: np.ndarray) -> np.ndarray:
    r"""Numbers of the rows whose mean is 1 − AUC, and whose spread over users is that of AUC (DeLong et al. 1988).

    .. math:: 1 - A - (V_i - A) \, W / W_{y_i}, \quad V_i = P(z_j < z_i) + P(z_j = z_i) / 2

    over the rows j of the other class (for a negative i with the signs turned); W are total weights. NaN without both
    classes. float64 [rows]
    """
    is_positive = labels > 0
    _, place = np.unique(predicted, return_inverse=True)
    below = []  # weight of negatives and of positives at and below each score, half of those at it
    for of_class in (~is_positive, is_positive):
        at = np.bincount(place, weights=weights * of_class, minlength=place.max() + 1)
        below.append((np.cumsum(at) - at / 2)[place])
    negatives, positives = weights[~is_positive].sum(), weights[is_positive].sum()
    if not negatives or not positives:
        return np.full(len(labels), np.nan)
    placed = np.where(is_positive, below[0] / negatives, 1 - below[1] / positives)
    auc = np.average(placed[is_positive], weights=weights[is_positive])
    own: np.ndarray = np.where(is_positive, positives, negatives)
    parts: np.ndarray = 1 - auc - (placed - auc) * (negatives + positives) / own
    return parts


def rank_parts(labels: np.ndarray, predicted: np.ndarray) -> np.ndarray:
    """Numbers of the rows whose mean is 1 − Spearman's ρ; NaN where one side is constant. float64 [rows]"""
    ranks = [scipy.stats.rankdata(values) for values in (labels, predicted)]
    spread = ranks[0].std() * ranks[1].std()
    if not spread:
        return np.full(len(labels), np.nan)
    found: np.ndarray = 1 - (ranks[0] - ranks[0].mean()) * (ranks[1] - ranks[1].mean()) / spread
    return found


def _value(metric: str, losses: np.ndarray, weights: np.ndarray) -> float:
    mean = float(np.average(losses, weights=weights))
    return float(np.sqrt(mean)) if metric == "rmse" else mean


def _spread(metric: str, losses: list[np.ndarray], weights: np.ndarray, start: float) -> float:
    changes = [_value(metric, one, weights) - start for one in losses]
    return float(np.std(changes, ddof=1)) if len(changes) > 1 else float("nan")
