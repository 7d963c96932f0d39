"""Run one cell: our trainer or a peer's module, then the same judge."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq
import yaml

from benchmarks.quality.clicks import Clicks, logits_of
from benchmarks.quality.judge import Truth, catalogue_coverage, per_user, ranked_lists
from benchmarks.quality.lists import RawLists, named, read_raw_lists
from benchmarks.quality.splits import QUERY_SETS, Splits, read_splits
from benchmarks.training.processes import Run, run
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import DataError
from tfrec.metrics.lists import NO_ITEM
from tfrec.models.base import RankingModel
from tfrec.models.registry import model_class
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX
from trainer.evaluation.predictions import read_lists

if TYPE_CHECKING:
    from benchmarks.quality.arena import Arena, DataSet
    from benchmarks.quality.cells import Cell

# Lists are judged here, beside those of the others; the trainer need not judge them too.
OURS = ("evaluation.baselines=[]", "evaluation.auc=false")
HELD_OUT = ("validation", "test")
RECORD = (USER_INDEX, ITEM_INDEX, LABEL)
Named = dict[str, RawLists]


def run_ours(cell: Cell, arena: Arena, place: Path) -> dict[str, Any]:
    """Train and evaluate with `trainer.task`; its prediction files are judged."""
    job = place / "job"
    settings = (*OURS, *(_override(key, value) for key, value in cell.settings.items()))
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = ["-m", "trainer.task", "--dataset", str(arena.dataset(cell.data)), "--model", cell.entrant.name,
               "--job-dir", str(job), "--seed", str(cell.seed), "--no-export", "--json", *overrides]  # fmt: skip
    ran = run(command, place / "log.txt")
    said = {"fit_seconds": ran.said["cost/train_seconds"]}
    if cell.entrant.task == "ranking":
        metrics = _judge_clicks({name: _our_clicks(cell, job, name) for name in HELD_OUT}, place)
        own = {"auc": ran.said["validation/auc"]}
    else:
        splits = read_splits(arena.exchange(cell.data))
        metrics = _judge_lists(_our_lists(job, splits), splits, cell.entrant.title, place)
        own = {"ndcg_at_10": ran.said["validation/ndcg_at_10"]}
    shutil.rmtree(job)
    return _about(metrics, ran, said, own)


def run_peer(cell: Cell, arena: Arena, place: Path) -> dict[str, Any]:
    """Run a module of `peers/` in its environment; the lists or probabilities that it writes are judged."""
    entrant, data, output = cell.entrant, arena.exchange(cell.data), place / "output"
    python = arena.python(str(entrant.environment))
    assert python is not None, "a peer whose environment is absent is left out before"
    command = ["-m", f"benchmarks.quality.peers.{entrant.module}", "--data", str(data), "--output", str(output),
               "--model", entrant.name, "--settings", json.dumps(cell.settings), "--seed", str(cell.seed)]  # fmt: skip
    ran = run(command, place / "log.txt", python)
    if entrant.task == "ranking":
        metrics = _judge_clicks({name: _peer_clicks(arena, cell, output, name) for name in HELD_OUT}, place)
    else:
        lists = {asked.name: read_raw_lists(output / f"{asked.name}.npz") for asked in QUERY_SETS}
        metrics = _judge_lists(lists, read_splits(data), entrant.title, place)
    shutil.rmtree(output)
    prefix = "own_validation_"
    own = {key.removeprefix(prefix): value for key, value in ran.said.items() if key.startswith(prefix)}
    return _about(metrics, ran, ran.said, own)


def _about(metrics: dict[str, Any], ran: Run, said: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    return {
        "metrics": metrics,
        "own_validation": {name: value for name, value in own.items() if value is not None},
        "fit_seconds": said["fit_seconds"],
        "wall_seconds": ran.wall_seconds,
        "cpu_seconds": ran.cpu_seconds,
        "peak_bytes": ran.peak_bytes,
    }


def _judge_lists(lists: Named, splits: Splits, source: str, place: Path) -> dict[str, dict[str, float]]:
    """Means by query set; the metrics of each user go to files."""
    metrics = {}
    for asked in QUERY_SETS:
        if asked.name not in lists:
            continue
        found = ranked_lists(splits, Truth.of(splits, asked), lists[asked.name], f"{source}, {asked.name}")
        values = per_user(found)
        np.savez_compressed(place / f"{asked.name}.npz", users=found.users, **values)  # type: ignore[arg-type]
        metrics[asked.name] = {name: float(each.mean()) for name, each in values.items()}
        metrics[asked.name]["coverage_at_10"] = catalogue_coverage(found, len(splits.items))
    return metrics


def _our_lists(job: Path, splits: Splits) -> Named:
    """Of the trainer's prediction files; without a history there is no set of training histories."""
    found = {}
    for asked in QUERY_SETS:
        path = job / "predictions" / f"{asked.name}.parquet"
        if path.exists():
            lists = read_lists(path)
            found[asked.name] = named(splits, lists.users, np.where(lists.items == NO_ITEM, -1, lists.items))
    return found


def _judge_clicks(found: dict[str, Clicks], place: Path) -> dict[str, dict[str, float]]:
    found["test"].write(place / "test.npz")
    return {name: clicks.metrics() for name, clicks in found.items()}


def _our_clicks(cell: Cell, job: Path, split: str) -> Clicks:
    table = pq.read_table(job / "predictions" / f"{split}.parquet")
    predicted = table["prediction"].to_numpy()
    found = model_class(cell.entrant.name)
    if issubclass(found, RankingModel) and found.has_task_loss:  # the sum of what it predicts of each task: of one here
        predicted = logits_of(predicted)
    return clicks_of(cell.data, {name: table[name].to_numpy() for name in RECORD}, predicted)


def _peer_clicks(arena: Arena, cell: Cell, output: Path, split: str) -> Clicks:
    records = read_part(DatasetDirectory(arena.dataset(cell.data)), split, RECORD)
    probabilities = np.load(output / f"{split}.npy")
    if probabilities.shape != records[LABEL].shape or not np.isfinite(probabilities).all():
        raise DataError(f"{cell.entrant.title}, {split}: {len(records[LABEL]):,} finite probabilities are needed")
    return clicks_of(cell.data, records, logits_of(probabilities))


def clicks_of(data: DataSet, records: Mapping[str, np.ndarray], logits: np.ndarray) -> Clicks:
    """Predictions in the order of the records, which is the same for all sides."""
    users = records[USER_INDEX] if data.drawn == "users" else np.arange(len(logits))
    return Clicks.of(users, records[ITEM_INDEX], records[LABEL], logits)


def _override(key: str, value: Any) -> str:
    return f"{key}={yaml.safe_dump(value, default_flow_style=True).removesuffix('...' + chr(10)).strip()}"
