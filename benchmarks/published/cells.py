"""A cell: one model with one seed on one published split. Finished ones are kept and not run again.

Settings are keys of the job's config. Beside them `model` names the model, where the row of the table has another name,
and `starts_from` holds models with their settings, whose finished cells of the same seed it starts with.
"""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import numpy as np
import yaml

from benchmarks.published.protocol import Judgement, PublishedSplit
from benchmarks.training.processes import make, run
from tfrec.models.base import Recommender
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class
from trainer.job import JobDirectory
from trainer.report.per_user import ListOutcome
from trainer.report.results import JobResults

Settings = dict[str, Any]
EPOCHS = "train.epochs"
MODEL, STARTS_FROM = "model", "starts_from"  # settings that are not keys of the config
RECENCY = "half_life"  # not searched where rows are not in the order of time: items weigh alike there
FLAT = 1000.0  # where a number is needed: beyond all histories


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        data_dir: the folder of the published folders.
        work: for datasets, studies and jobs, all kept.

    """

    data_dir: Path
    work: Path


@dataclass(frozen=True)
class Finished:
    """A job that was trained and tested.

    Attributes:
        metrics: the content of its metrics.json, or of that of an evaluation apart; with `cpu_seconds` and
            `peak_bytes` of the process that trained and tested it.
        users: of the test set, ascending. int64 [users]
        ndcg: of each of them, at 10. float64 [users]

    """

    metrics: dict[str, Any]
    users: np.ndarray
    ndcg: np.ndarray


def searched(model: str, split: PublishedSplit, trials: int, minutes: int, place: Place) -> Settings:
    """The best settings of a search on validation; where that is a cut, with the epochs after which they were best."""
    cut = split.dataset(place.data_dir, place.work, cut=True)
    study = place.work / "studies" / split.name / model
    study.mkdir(parents=True, exist_ok=True)
    command = ["-m", "trainer.tune", "--dataset", str(cut), "--model", model, "--study-dir", str(study),
               "--trials", str(trials), "--timeout-minutes", str(minutes), "--json",
               "--set", "evaluation.baselines=[]"]  # fmt: skip
    alike = {} if split.is_ordered else _items_alike(model_class(model))
    for key, values in model_class(model).search_space.items():
        command += [] if key in alike else ["--space", f"{key}={values}"]
    for key, value in alike.items():
        command += ["--set", f"{key}={'null' if value is None else value}"]
    run(command, study / "log.txt")
    if not (study / "best.yaml").exists():
        raise SystemExit(f"{model} on {split.name}: no trial ended within --minutes {minutes}; give more")
    best = yaml.safe_load((study / "best.yaml").read_text(encoding="utf-8")) or {}
    found = {f"{section}.{key}": value for section, keys in best.items() for key, value in keys.items()
             if section in ("model", "train")} | alike  # fmt: skip
    if issubclass(model_class(model), GradientModel) and not split.has_validation:
        metrics = JobDirectory(study / "trials" / _best_trial(study / "trials.csv")).read_metrics()
        found[EPOCHS] = int(metrics["train/best_epoch"])
    return found


def _items_alike(model: type[Recommender]) -> Settings:
    """What makes the model weigh all items of a history alike."""
    found: Settings = {}
    for key in model.search_space:
        if key.endswith(RECENCY):
            kinds = get_args(model.Config.model_fields[key.removeprefix("model.")].annotation)
            found[key] = None if type(None) in kinds else FLAT
    return found


def _best_trial(table: Path) -> str:
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    metric = list(rows[0])[3]  # after trial, directory and state
    return max(rows, key=lambda row: float(row[metric]))["directory"]


def model_of(row: str, settings: Settings) -> type[Recommender]:
    """The model of a row of the table."""
    return model_class(settings.get(MODEL, row))


def finished(row: str, settings: Settings, seed: int, split: PublishedSplit, place: Place) -> list[Finished]:
    """Train on all training rows, test, and read what came of it by each of the split's judgements."""
    job = _trained(row, settings, seed, split, place)
    cost = json.loads((job / "cost.json").read_text(encoding="utf-8"))
    return [_judged(job, judgement, cost, place) for judgement in split.judgements]


def _judged(job: Path, judgement: Judgement, cost: dict[str, float], place: Place) -> Finished:
    results = JobResults(JobDirectory(_evaluated(job, judgement, place)))
    outcome = results.outcome(judgement.asked)
    assert isinstance(outcome, ListOutcome)
    values = outcome.per_user("ndcg_at_10")
    return Finished({**results.metrics, **cost}, values.users, values.values)


def _evaluated(job: Path, judgement: Judgement, place: Place) -> Path:
    """Where the metrics of a judgement stand."""
    if judgement.apart is None:
        return job

    def write(target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        command = ["-m", "trainer.evaluate", "--job-dir", str(job), "--output", str(target), "--json"]
        for override in judgement.overrides:
            command += ["--set", override]
        run(command, place.work / "last.log")

    return make(job.with_name(f"{job.name}-{judgement.apart}"), write)


def _trained(row: str, settings: Settings, seed: int, split: PublishedSplit, place: Place) -> Path:
    whole = split.dataset(place.data_dir, place.work, cut=False)
    digest = hashlib.sha256(json.dumps([row, settings, seed], sort_keys=True).encode()).hexdigest()[:12]
    earlier = [_trained(name, own, seed, split, place) for name, own in settings.get(STARTS_FROM, {}).items()]

    def write(target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        command = ["-m", "trainer.task", "--dataset", str(whole), "--model", settings.get(MODEL, row),
                   "--job-dir", str(target), "--seed", str(seed), "--no-export", "--json"]  # fmt: skip
        own = [f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
               for key, value in settings.items() if key not in (MODEL, STARTS_FROM)]  # fmt: skip
        if issubclass(model_of(row, settings), GradientModel) and not split.has_validation:
            own.append("train.monitor=steps")  # nothing is held back: the number of epochs is a setting
        for job in earlier:
            command += ["--warm-start-from", str(job)]
        for override in (*split.overrides(place.data_dir), "evaluation.baselines=[]", "evaluation.auc=false", *own):
            command += ["--set", override]
        ran = run(command, place.work / "last.log")
        cost = {"cpu_seconds": ran.cpu_seconds, "peak_bytes": ran.peak_bytes}
        (target / "cost.json").write_text(json.dumps(cost) + "\n", encoding="utf-8")

    (place.work / "jobs" / split.name).mkdir(parents=True, exist_ok=True)
    return make(place.work / "jobs" / split.name / f"{row}-{seed}-{digest}", write)
