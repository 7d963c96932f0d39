"""A cell: one model on one split of one log. Finished ones are kept and not run again."""

from __future__ import annotations

import hashlib
import json
import shutil
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from benchmarks.ratings.entrants import Entrant, Settings
from benchmarks.ratings.judge import errors, read_predictions
from benchmarks.ratings.splits import PARTS, RatingLog, Ratings, write_dataset, write_parts
from benchmarks.training.processes import Run, run
from benchmarks.training.venvs import environment

# Lists are not looked at here: of few users, without what else takes time.
FEW_LISTS = ("evaluation.baselines=[]", "evaluation.auc=false", "evaluation.users={count: 20}", "evaluation.ks=[10]")
RESULT = "cell.json"  # written last
PEERS = Path(__file__).parent / "peers"

Result = dict[str, Any]


@dataclass(frozen=True)
class Place:
    """Where everything is.

    Attributes:
        data_dir: the folder of the logs' folders.
        work: for splits, datasets, studies and cells.

    """

    data_dir: Path
    work: Path


def ratings_of(log: RatingLog, number: int, place: Place) -> tuple[Ratings, Ratings]:
    """(training with validation, test) of a split."""
    parts = write_parts(log, place.data_dir, number, place.work)
    train, validation, test = (Ratings.read(parts / f"{part}.txt", log.delimiter) for part in PARTS)
    return train.and_those(validation), test


def finished(name: str, entrant: Entrant, settings: Settings, log: RatingLog, number: int, place: Place) -> Result:
    """The result of a cell, from an earlier run where there is one: rmse, mae, unseen, seconds, memory."""
    parts = write_parts(log, place.data_dir, number, place.work)
    about = [_digest(parts), entrant.model, entrant.peer, settings]
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:12]
    cell = place.work / "cells" / log.name / name / f"{number}-{digest}"
    if not (cell / RESULT).exists():
        print(f"{log.name} · {entrant.title} · split {number} · {json.dumps(settings)}", file=sys.stderr, flush=True)
        unfinished = cell.with_name(cell.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        train, test = ratings_of(log, number, place)
        if entrant.peer is not None:
            ran, predicted = _of_peer(entrant.peer, settings, log, parts, number, unfinished, place)
        else:
            chooses_epoch = entrant.has_epochs and settings.get("train.monitor") != "steps"
            dataset = write_dataset(log, parts, place.work, has_validation=chooses_epoch)
            ran, predicted = _of_trainer(str(entrant.model), settings, dataset, number, unfinished, test)
        result = {"settings": settings, "cpu_seconds": ran.cpu_seconds, "peak_bytes": ran.peak_bytes}
        result |= {"fit_seconds": ran.said.get("fit_seconds", ran.said.get("cost/train_seconds"))}
        result |= asdict(errors(train, test, predicted))
        (unfinished / RESULT).write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(cell)
    found: Result = json.loads((cell / RESULT).read_text(encoding="utf-8"))
    return found


def _of_trainer(
    model: str, settings: Settings, dataset: Path, seed: int, cell: Path, test: Ratings
) -> tuple[Run, np.ndarray]:
    job = cell / "job"
    command = ["-m", "trainer.task", "--dataset", str(dataset), "--model", model, "--job-dir", str(job),
               "--seed", str(seed), "--no-export", "--json"]  # fmt: skip
    for override in (*FEW_LISTS, *overrides(settings)):
        command += ["--set", override]
    ran = run(command, cell / "log.txt")
    predicted = read_predictions(job, dataset, test)
    shutil.rmtree(job)
    return ran, predicted


def _of_peer(
    algorithm: str, settings: Settings, log: RatingLog, parts: Path, seed: int, cell: Path, place: Place
) -> tuple[Run, np.ndarray]:
    output = cell / "predictions.npy"
    command = ["-m", "benchmarks.ratings.peers.surprise_ratings", "--parts", str(parts), "--delimiter", log.delimiter,
               "--algorithm", algorithm, "--settings", json.dumps(settings), "--seed", str(seed),
               "--output", str(output)]  # fmt: skip
    ran = run(command, cell / "log.txt", environment("surprise", place.work, PEERS))
    return ran, np.load(output)


def _digest(parts: Path) -> str:
    return hashlib.sha256(b"".join((parts / f"{part}.txt").read_bytes() for part in PARTS)).hexdigest()


def searched(name: str, entrant: Entrant, log: RatingLog, trials: int, place: Place) -> Settings:
    """The settings of the lowest validation error of so many trials, on a cut from the training part of split 1."""
    parts = write_parts(log, place.data_dir, 1, place.work)
    dataset = write_dataset(log, parts, place.work, has_validation=True)
    study = place.work / "studies" / f"{log.name}-{name}"
    study.mkdir(parents=True, exist_ok=True)
    command = ["-m", "trainer.tune", "--dataset", str(dataset), "--model", str(entrant.model), "--study-dir",
               str(study), "--trials", str(trials), "--json"]  # fmt: skip
    for override in (*FEW_LISTS, "train.monitor=rmse", *overrides(entrant.settings)):
        command += ["--set", override]
    for key, values in entrant.space.items():
        command += ["--space", f"{key}={values}"]
    run(command, study / "log.txt")
    best = yaml.safe_load((study / "best.yaml").read_text(encoding="utf-8"))
    found = {f"{section}.{key}": value for section, keys in best.items() for key, value in keys.items()}
    return {key: found[key] for key in entrant.space if key in found}


def overrides(settings: Settings) -> list[str]:
    """As `--set` takes them."""
    return [f"{key}={_as_yaml(value)}" for key, value in settings.items()]


def _as_yaml(value: Any) -> str:
    return str(yaml.safe_dump(value, default_flow_style=True)).splitlines()[0]
