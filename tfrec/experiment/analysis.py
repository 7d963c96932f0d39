"""All metrics and variants of an experiment, corrected for their number, with what may be wrong with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tfrec.certainty.corrections import benjamini_hochberg, holm
from tfrec.certainty.power import detectable_errors
from tfrec.errors import ConfigError, DataError, did_you_mean
from tfrec.experiment.checks import SUSPICIOUS, balance_p_value, expected_shares, sample_ratio_p_value
from tfrec.experiment.effect import Effect
from tfrec.experiment.metric import Metric
from tfrec.experiment.pair import pair_of
from tfrec.experiment.sequential import Look
from tfrec.experiment.users import ExperimentUsers

CORRECTIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "holm": holm,
    "bh": benjamini_hochberg,
    "none": np.asarray,
}


@dataclass(frozen=True)
class Settings:
    """How an experiment is analysed.

    Attributes:
        control: the variant that others are compared with
        covariates: columns from before the experiment, by metric name; those of "" serve every metric
        split: planned share of each variant; equal ones if None
        winsorise: quantile of users above which values are cut, and below 1 − it; not of ratios
        alpha: level of tests and intervals
        correction: of p-values for the number of metrics × variants: one of CORRECTIONS
        planned_users: of two variants, at which the sequential interval is tightest; set before the start
        looks: along the path, where the log has times

    """

    control: str = "control"
    covariates: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    split: Mapping[str, float] | None = None
    winsorise: float | None = None
    alpha: float = 0.05
    correction: str = "holm"
    planned_users: int = 10_000
    looks: int = 20

    def __post_init__(self) -> None:
        if self.correction not in CORRECTIONS:
            raise ConfigError(f"correction: got {self.correction!r}; allowed: {', '.join(CORRECTIONS)}")
        if not 0 < self.alpha < 0.5:
            raise ConfigError(f"alpha: got {self.alpha}; allowed: above 0 and below 0.5, such as 0.05")
        if self.winsorise is not None and not 0.5 < self.winsorise < 1:
            raise ConfigError(f"winsorise: got {self.winsorise}; allowed: above 0.5 and below 1, such as 0.999")
        if self.planned_users < 1 or self.looks < 1:
            raise ConfigError("planned_users and looks: allowed: from 1")


@dataclass(frozen=True)
class Finding:
    """One metric of one variant against the control.

    Attributes:
        metric: name
        variant: name
        users: of the control and of the variant that have a value
        missing: users of both without one, left out
        effect: adjusted by covariates, if there are any
        p_corrected: its p-value, corrected for the number of metrics × variants
        unadjusted: the effect without covariates, if there are any
        variance_reduction: by the covariates, 1 − Var(adjusted) / Var(unadjusted)
        minimum_detectable_effect: found with power 0.8 with as many users
        sequential: what holds at all looks together, at the last of them; None with too few users
        sequential_p_corrected: its p-value, corrected
        looks: the path, where the log has times

    """

    metric: str
    variant: str
    users: tuple[int, int]
    missing: int
    effect: Effect
    p_corrected: float
    unadjusted: Effect | None
    variance_reduction: float | None
    minimum_detectable_effect: float
    sequential: Look | None
    sequential_p_corrected: float | None
    looks: tuple[Look, ...]


@dataclass(frozen=True)
class Analysis:
    """An experiment's findings.

    Attributes:
        control: name
        users: of each variant
        sample_ratio_p_value: below 0.001 users were not assigned as planned, and no finding can be trusted
        findings: by metric, then variant
        warnings: one line each

    """

    control: str
    users: dict[str, int]
    sample_ratio_p_value: float
    findings: tuple[Finding, ...]
    warnings: tuple[str, ...]


def analyse(users: ExperimentUsers, metrics: Sequence[Metric], settings: Settings) -> Analysis:
    """Compare every variant with the control by every metric.

    Raises:
        ConfigError: a setting does not fit the log.
        DataError: there are too few users or variants.

    """
    if settings.control not in users.variants:
        near = did_you_mean(settings.control, users.variants)
        raise ConfigError(f"control: no variant {settings.control!r} in the log{near}")
    if len(users.variants) < 2:
        raise DataError(f"all users have the variant {users.variants[0]!r}; a comparison needs two")
    names = [metric.name for metric in metrics]
    if len(set(names)) < len(names) or not names:
        raise ConfigError(f"metrics: got {', '.join(names) or 'none'}; allowed: one or more, each with its own name")
    if unknown := sorted(set(settings.covariates) - {"", *names}):
        raise ConfigError(f"covariates: no metric {unknown[0]!r}{did_you_mean(unknown[0], names)}")
    counts = [int(n) for n in np.bincount(users.variant, minlength=len(users.variants))]
    p_value = sample_ratio_p_value(counts, expected_shares(users.variants, settings.split))
    findings = [
        _finding(users, metric, variant, settings)
        for metric in metrics
        for variant in users.variants
        if variant != settings.control
    ]
    return Analysis(
        control=settings.control,
        users=dict(zip(users.variants, counts, strict=True)),
        sample_ratio_p_value=p_value,
        findings=_corrected(findings, settings.correction),
        warnings=tuple(_warnings(users, settings, p_value)),
    )


def _finding(users: ExperimentUsers, metric: Metric, variant: str, settings: Settings) -> Finding:
    pair = pair_of(
        users,
        metric,
        control=users.variants.index(settings.control),
        variant=users.variants.index(variant),
        covariates=sorted({*settings.covariates.get("", ()), *settings.covariates.get(metric.name, ())}),
        cap=_cap(users, metric, settings.winsorise),
    )
    in_variant = int(pair.is_variant.sum())
    in_control = len(pair.is_variant) - in_variant
    if min(in_control, in_variant) < 2:
        raise DataError(
            f"metric {metric.name!r}: {in_control} users of {settings.control!r} and {in_variant} of {variant!r} have "
            "a value; at least two of each are needed"
        )
    plain, better = pair.effects(alpha=settings.alpha)
    looks = pair.looks(settings.looks, planned_users=settings.planned_users, alpha=settings.alpha)
    chosen = better or plain
    reduction = None
    if better is not None and plain.standard_error > 0:
        reduction = 1 - (better.standard_error / plain.standard_error) ** 2
    return Finding(
        metric=metric.name,
        variant=variant,
        users=(in_control, in_variant),
        missing=pair.missing,
        effect=chosen,
        p_corrected=chosen.p_value,
        unadjusted=plain if better is not None else None,
        variance_reduction=reduction,
        minimum_detectable_effect=detectable_errors(alpha=settings.alpha) * chosen.standard_error,
        sequential=looks[-1] if looks else None,
        sequential_p_corrected=looks[-1].p_value if looks else None,
        looks=looks if pair.known_ms is not None else (),
    )


def _cap(users: ExperimentUsers, metric: Metric, quantile: float | None) -> tuple[float, float] | None:
    """Where values are cut: the same for all variants, or the cut would itself be an effect."""
    if quantile is None or metric.denominator is not None:
        return None
    values = users.parts[metric.numerator]
    low, high = np.quantile(values[~np.isnan(values)], [1 - quantile, quantile])
    return float(low), float(high)


def _corrected(findings: list[Finding], correction: str) -> tuple[Finding, ...]:
    adjust = CORRECTIONS[correction]
    fixed = adjust(np.array([finding.effect.p_value for finding in findings]))
    running = adjust(np.array([np.nan if f.sequential is None else f.sequential.p_value for f in findings]))
    return tuple(
        replace(
            finding,
            p_corrected=float(p),
            sequential_p_corrected=None if finding.sequential is None else float(p_running),
        )
        for finding, p, p_running in zip(findings, fixed, running, strict=True)
    )


def _warnings(users: ExperimentUsers, settings: Settings, p_value: float) -> list[str]:
    found = []
    if p_value < SUSPICIOUS:
        found.append(
            f"sample ratio mismatch (p < {SUSPICIOUS:g}): users were not assigned as planned, so no difference can be "
            "trusted; find out where users are lost, or give the planned split"
        )
    if users.crossed:
        found.append(f"{users.crossed:,} users in several variants are left out")
    if users.incomplete:
        found.append(f"{users.incomplete:,} users not yet watched for the whole window are left out")
    if users.grows:
        found.append(
            "users have several rows and no window, so their values can still grow, and the always-valid interval "
            "holds only for values that are final; give a time and a window"
        )
    for name in dict.fromkeys(column for columns in settings.covariates.values() for column in columns):
        for variant in users.variants:
            if variant != settings.control and balance_p_value(users, name, settings.control, variant) < SUSPICIOUS:
                found.append(
                    f"covariate {name!r} differs between {settings.control} and {variant}: is it from before the "
                    "experiment? If not, adjusting by it hides part of the effect"
                )
    return found
