"""Several jobs on the same dataset and protocol: which is better, how sure that is, and for whom."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from tfrec.certainty import holm
from tfrec.errors import ArtifactError, ConfigError, did_you_mean
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.job import JobDirectory
from trainer.report.estimates import Difference, Estimate, difference, estimate, model_estimate
from trainer.report.per_user import Outcome, PerUser, is_per_user, mean_of
from trainer.report.results import MAIN_SET, JobResults


@dataclass(frozen=True)
class Contender:
    """A model with one config, and its runs, which differ in the seed alone."""

    name: str
    runs: tuple[JobResults, ...]

    def values(self, metric: str) -> list[float]:
        """Of each run, NaN where it does not have the metric."""
        found = (run.value(MAIN_SET, metric) for run in self.runs)
        return [float("nan") if value is None else value for value in found]

    def mean(self, metric: str) -> float:
        return float(np.mean(self.values(metric)))

    def spread(self, metric: str) -> float:
        """Standard deviation over seeds; NaN for a single one."""
        return float(np.std(self.values(metric), ddof=1)) if len(self.runs) > 1 else float("nan")

    def outcomes(self) -> list[Outcome]:
        """Of each run. Raises ArtifactError where predictions were not kept."""
        found = []
        for run in self.runs:
            outcome = run.outcome(MAIN_SET)
            if outcome is None:
                raise ArtifactError(
                    f"{run.job.path}: the predictions of {MAIN_SET} were not kept; write them with: "
                    f"python -m trainer.evaluate --job-dir {run.job.path} --output {run.job.path}"
                )
            found.append(outcome)
        return found

    def per_user(self, metric: str) -> PerUser:
        """Each user's mean over the runs."""
        return mean_of([outcome.per_user(metric) for outcome in self.outcomes()])

    def estimate(self, metric: str) -> Estimate:
        """The mean over seeds, with an interval over users."""
        if len(self.runs) == 1:
            found = model_estimate(self.runs[0], MAIN_SET, metric)
            return found or Estimate(float("nan"), float("nan"), float("nan"), 0)
        return estimate(self.per_user(metric), metric)

    def cost(self, *keys: str) -> float | None:
        """The mean over runs of the first of some figures that all of them have."""
        for key in keys:
            found = [run.metrics[key] for run in self.runs if isinstance(run.metrics.get(key), int | float)]
            if len(found) == len(self.runs):
                return float(np.mean(found))
        return None


@dataclass(frozen=True)
class Pair:
    """Two contenders; `found.mean` above 0: the first is better. `p_holm` is corrected for the number of pairs."""

    first: str
    second: str
    found: Difference
    p_holm: float


@dataclass(frozen=True)
class Comparison:
    """What the page, the table and the JSON are written from."""

    metric: str
    contenders: tuple[Contender, ...]
    pairs: tuple[Pair, ...]

    @property
    def first(self) -> JobResults:
        return self.contenders[0].runs[0]

    @property
    def best(self) -> Contender:
        sign = -1 if self.metric in LOWER_IS_BETTER else 1
        return max(self.contenders, key=lambda one: sign * one.mean(self.metric))


def compare_jobs(paths: Sequence[str | Path], *, metric: str | None = None, against: str = "all") -> Comparison:
    """Compare.

    Args:
        paths: of jobs; runs of one config with other seeds are one contender.
        metric: of the tests; the first job's headline by default.
        against: which pairs are tested: `all`, each with the `first` contender, or each with the `best`.

    Raises:
        ArtifactError: no job, or one without metrics or predictions.
        ConfigError: jobs of other datasets, tasks or protocols, the same job or run twice, or a metric that is unknown
            or that single users do not have.

    """
    results = [JobResults(JobDirectory(path)) for path in paths]
    _require_comparable(results)
    metric = metric or results[0].headline
    _require_metric(results, metric)
    comparison = Comparison(metric, _contenders(results), ())
    return Comparison(metric, comparison.contenders, _pairs(comparison, against))


def _contenders(results: Sequence[JobResults]) -> tuple[Contender, ...]:
    groups: dict[str, list[JobResults]] = {}
    for one in results:
        evaluation = one.config.evaluation.model_copy(update={"baselines_from": None})
        key = one.config.model_copy(update={"seed": 0, "evaluation": evaluation}).model_dump_json(serialize_as_any=True)
        runs = groups.setdefault(key, [])
        if twin := next((other for other in runs if other.config.seed == one.config.seed), None):
            raise ConfigError(
                f"{one.job.path}: has the config and the seed of {twin.job.path}, so it is the same run and no further "
                "seed; name one of them"
            )
        runs.append(one)
    of_model = [runs[0].name for runs in groups.values()]
    names = []
    for runs in groups.values():
        # The model's name where it says enough, else the directory's too.
        is_clear = of_model.count(runs[0].name) == 1
        names.append(runs[0].name if is_clear else f"{runs[0].name} ({runs[0].job.path.resolve().name})")
    if len(set(names)) < len(names):
        names = [f"{runs[0].name} ({runs[0].job.path})" for runs in groups.values()]
    return tuple(Contender(name, tuple(runs)) for name, runs in zip(names, groups.values(), strict=True))


def _pairs(comparison: Comparison, against: str) -> tuple[Pair, ...]:
    everyone, metric = comparison.contenders, comparison.metric
    if against == "all":
        chosen = list(itertools.combinations(everyone, 2))
    else:
        other = comparison.best if against == "best" else everyone[0]
        chosen = [(one, other) for one in everyone if one is not other]
    values = {one.name: one.per_user(metric) for pair in chosen for one in pair}
    found = [(a.name, b.name, difference(values[a.name], values[b.name], metric)) for a, b in chosen]
    known = [(a, b, one) for a, b, one in found if one is not None]
    corrected = holm(np.array([one.p_value for _, _, one in known])) if known else np.zeros(0)
    return tuple(Pair(a, b, one, float(p)) for (a, b, one), p in zip(known, corrected, strict=True))


def _require_comparable(results: Sequence[JobResults]) -> None:
    first = results[0]
    seen: dict[Path, JobResults] = {}
    for one in results:
        path = one.job.path.resolve()
        if path in seen:
            raise ConfigError(f"{one.job.path}: named twice; name each job once")
        seen[path] = one
        facts = _deciding_facts(one)
        for what, ours in _deciding_facts(first).items():
            theirs = facts.get(what, "not stated")
            if ours != theirs:
                raise ConfigError(
                    f"{one.job.path}: has another {what} than {first.job.path} ({_short(theirs)} instead of "
                    f"{_short(ours)}), so their figures do not compare; evaluate both alike"
                )


def _deciding_facts(results: JobResults) -> dict[str, str]:
    """What must be alike. How baselines were tuned and costs measured does not change what the metrics mean, nor does
    it that one model predicts ratings beside its lists.
    """
    found = results.metrics.get("protocol")
    stated = found if isinstance(found, dict) else {}
    return {
        "dataset": results.config.dataset_fingerprint,
        "set of evaluation files": ", ".join(results.config.eval_files) or "the dataset's",
        "task": results.task,
    } | {
        f"protocol of {key!r}": str(text)
        for key, text in stated.items()
        if key not in ("cost", "ratings") and not key.startswith("baseline")
    }


def _require_metric(results: Sequence[JobResults], metric: str) -> None:
    names = {key.split("/")[1] for key in results[0].metrics if key.startswith(f"{MAIN_SET}/")}
    usable = {name for name in names if is_per_user(name, results[0].task)}
    for one in results:
        if one.value(MAIN_SET, metric) is None:
            raise ConfigError(f"--metric: {one.job.path} has no {metric!r} of {MAIN_SET}{did_you_mean(metric, usable)}")
    if metric not in usable:
        raise ConfigError(
            f"--metric: single users have no {metric!r}, and tests compare user by user; "
            f"allowed: {', '.join(sorted(usable))}"
        )


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:57] + "…"
