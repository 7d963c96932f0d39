"""One metric of one variant and the control: the users that count, the effect, and what each look would have said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from tfrec.experiment.effect import Effect, adjusted, arm, effect
from tfrec.experiment.metric import Metric
from tfrec.experiment.sequential import FEWEST_USERS, Look, look
from tfrec.experiment.users import ExperimentUsers


@dataclass(frozen=True)
class Pair:
    """Users of the control and of one variant that have a value, in the order in which the values were known.

    Attributes:
        is_variant: not of the control. bool [users]
        numerator: of the metric. float [users]
        denominator: of a ratio. float [users]
        covariates: from before the experiment; without a value the mean, and a column that says so. float [users, n]
        known_ms: when the values were known. int64 [users]
        missing: users without a value, left out

    """

    is_variant: np.ndarray
    numerator: np.ndarray
    denominator: np.ndarray | None
    covariates: np.ndarray
    known_ms: np.ndarray | None
    missing: int

    def effects(self, users: int | None = None, *, alpha: float) -> tuple[Effect, Effect | None]:
        """Return the effect as it is and, where there are covariates, adjusted by them; of the first users only."""
        sides = [np.flatnonzero(self.is_variant[:users] == side) for side in (False, True)]
        arms = [
            arm(self.numerator[rows], None if self.denominator is None else self.denominator[rows]) for rows in sides
        ]
        plain = effect(*arms, alpha=alpha)
        if not self.covariates.shape[1]:
            return plain, None
        found = adjusted(arms[0], arms[1], (self.covariates[sides[0]], self.covariates[sides[1]]))
        return plain, effect(*found, alpha=alpha)

    def looks(self, count: int, *, planned_users: int, alpha: float) -> tuple[Look, ...]:
        """Return what `count` looks, evenly over the users, would have said; the last one alone if there are no times.

        Looks before both variants have enough users are left out.
        """
        total = len(self.numerator)
        ends = (
            np.unique(np.ceil(np.linspace(0, total, count + 1)[1:]).astype(int))
            if self.known_ms is not None
            else [total]
        )
        found: list[Look] = []
        for end in ends:
            variants = int(self.is_variant[:end].sum())
            if min(variants, end - variants) < FEWEST_USERS:
                continue
            plain, better = self.effects(int(end), alpha=alpha)
            chosen = better or plain
            time_ms = None if self.known_ms is None else int(self.known_ms[end - 1])
            now = look(
                chosen.difference,
                chosen.standard_error,
                int(end),
                planned_users=planned_users,
                alpha=alpha,
                time_ms=time_ms,
            )
            found.append(now.after(found[-1]) if found else now)
        return tuple(found)


def pair_of(
    users: ExperimentUsers,
    metric: Metric,
    *,
    control: int,
    variant: int,
    covariates: Sequence[str] = (),
    cap: tuple[float, float] | None = None,
) -> Pair:
    """Choose the users of two variants that have a value of the metric, and of its covariates what there is."""
    values = [users.parts[part] for part in metric.parts]
    chosen = np.isin(users.variant, (control, variant))
    is_there = chosen & ~np.isnan(np.stack(values)).any(axis=0)
    parts = [value[is_there] for value in values]
    if cap is not None:
        parts[0] = np.clip(parts[0], *cap)
    columns = []
    for name in covariates:
        before = users.covariates[name][is_there]
        is_known = ~np.isnan(before)
        columns.append(np.where(is_known, before, before[is_known].mean() if is_known.any() else 0.0))
        if not is_known.all():
            columns.append(is_known.astype(np.float64))
    return Pair(
        is_variant=users.variant[is_there] == variant,
        numerator=parts[0],
        denominator=parts[1] if len(parts) == 2 else None,
        covariates=np.stack(columns, axis=1) if columns else np.zeros((len(parts[0]), 0)),
        known_ms=None if users.known_ms is None else users.known_ms[is_there],
        missing=int((chosen & ~is_there).sum()),
    )
