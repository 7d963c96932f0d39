"""A cell: one model with one seed on one published split. Finished ones are kept and not run again."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.published.splits import PublishedSplit, dataset
from benchmarks.training.processes import make, run
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class
from trainer.job import JobDirectory
from trainer.report.per_user import ListOutcome
from trainer.report.results import JobResults

Settings = dict[str, Any]
EPOCHS = "train.epochs"
RECENCY = "half_life"  # keys that are not searched: the rows of these files are not in the order of time


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
        metrics: the content of its metrics.json, with `cpu_seconds` and `peak_bytes` of its process.
        users: of the test set, ascending. int64 [users]
        ndcg: of each of them, at 10. float64 [users]

    """

    metrics: dict[str, Any]
    users: np.ndarray
    ndcg: np.ndarray


def searched(model: str, split: PublishedSplit, trials: int, minutes: int, place: Place) -> Settings:
    """The best settings of a search on the cut, with the epochs after which they were best."""
    cut = dataset(split, place.data_dir, place.work, cut=True)
    study = place.work / "studies" / split.name / model
    study.mkdir(parents=True, exist_ok=True)
    command = ["-m", "trainer.tune", "--dataset", str(cut), "--model", model, "--study-dir", str(study),
               "--trials", str(trials), "--timeout-minutes", str(minutes), "--json",
               "--set", "evaluation.baselines=[]"]  # fmt: skip
    for key, values in model_class(model).search_space.items():
        if not key.endswith(RECENCY):
            command += ["--space", f"{key}={values}"]
    run(command, study / "log.txt")
    best = yaml.safe_load((study / "best.yaml").read_text(encoding="utf-8")) or {}
    found = {f"{section}.{key}": value for section, keys in best.items() for key, value in keys.items()
             if section in ("model", "train")}  # fmt: skip
    if issubclass(model_class(model), GradientModel):
        metrics = JobDirectory(study / "trials" / _best_trial(study / "trials.csv")).read_metrics()
        found[EPOCHS] = int(metrics["train/best_epoch"])
    return found


def _best_trial(table: Path) -> str:
    with table.open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["state"] == "complete"]
    metric = list(rows[0])[3]  # after trial, directory and state
    return max(rows, key=lambda row: float(row[metric]))["directory"]


def finished(model: str, settings: Settings, seed: int, split: PublishedSplit, place: Place) -> Finished:
    """Train on all training rows, test, and read what came of it."""
    whole = dataset(split, place.data_dir, place.work, cut=False)
    digest = hashlib.sha256(json.dumps([model, settings, seed], sort_keys=True).encode()).hexdigest()[:12]

    def write(target: Path) -> None:
        shutil.rmtree(target, ignore_errors=True)
        command = ["-m", "trainer.task", "--dataset", str(whole), "--model", model, "--job-dir", str(target),
                   "--seed", str(seed), "--no-export", "--json"]  # fmt: skip
        own = [f"{key}={yaml.safe_dump(value, default_flow_style=True).splitlines()[0]}"
               for key, value in settings.items()]  # fmt: skip
        if issubclass(model_class(model), GradientModel):
            own.append("train.monitor=steps")  # nothing is held back: the number of epochs is a setting
        for override in (*split.overrides(place.data_dir), "evaluation.baselines=[]", "evaluation.auc=false", *own):
            command += ["--set", override]
        ran = run(command, place.work / "last.log")
        cost = {"cpu_seconds": ran.cpu_seconds, "peak_bytes": ran.peak_bytes}
        (target / "cost.json").write_text(json.dumps(cost) + "\n", encoding="utf-8")

    (place.work / "jobs" / split.name).mkdir(parents=True, exist_ok=True)
    job = make(place.work / "jobs" / split.name / f"{model}-{seed}-{digest}", write)
    results = JobResults(JobDirectory(job))
    outcome = results.outcome(split.asked)
    assert isinstance(outcome, ListOutcome)
    values = outcome.per_user("ndcg_at_10")
    cost = json.loads((job / "cost.json").read_text(encoding="utf-8"))
    return Finished({**results.metrics, **cost}, values.users, values.values)
