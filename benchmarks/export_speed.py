"""`python -m benchmarks.export_speed`: what an export takes to answer and to refresh, on one core; Markdown on stdout.

A generated catalogue, two_tower and deepfm trained for a few steps (what they know does not change what they cost), and
one request at a time to the SavedModels: without and with 1,000 excluded ids, with an attribute filter, and through a
cascade that retrieves 500, ranks them and returns 20. Then a dataset with 1,000 items more is served with the weights
as they are, also with an index that is tuned again. Beside the wall time stands the CPU time of a request, which a busy
machine changes less.

example: python -m benchmarks.export_speed --work-dir WORK
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training import processes

ADDED = 1_000  # items that the later dataset has more
USERS = 300  # the generator weighs all items for each event
EXCLUDED, CANDIDATES, K = 1_000, 500, 20
TRAINING = ("train.steps=20", "train.epochs=1", "evaluation.baselines=[]")
OF_RETRIEVAL = ("evaluation.users={count: 50, seed: 1}", "evaluation.auc=false")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work-dir", type=Path, required=True, help="for datasets, jobs and exports")
    flags.add_argument("--items", type=int, default=100_000)
    flags.add_argument("--requests", type=int, default=200, help="of each kind")
    chosen = flags.parse_args()
    processes.pin(1)
    import tfrec  # noqa: F401, I001  chooses the Keras generation before TensorFlow is loaded
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    work = chosen.work_dir.resolve()
    first = dataset(work, chosen.items - ADDED)
    later = dataset(work, chosen.items)
    jobs = {name: job(work, name, first) for name in ("two_tower", "deepfm")}
    print(
        f"| request to {chosen.items - ADDED:,} items | wall p50 ms | wall p99 ms | CPU ms | × |\n|---|---|---|---|---|"
    )
    answer(exports(work, jobs), chosen.requests)
    print("\n| refresh | items | wall s | CPU s | index |\n|---|---|---|---|---|")
    refresh(work, jobs, later, chosen.items)


def dataset(work: Path, items: int) -> Path:
    """A generated dataset of so many items; written once."""
    from transforms.dataset import write_dataset
    from transforms.dataset_config import load_dataset_config
    from transforms.generate import World, generate_log

    logs, directory = work / f"logs-{items}", work / f"dataset-{items}"
    if not directory.exists():
        generate_log(logs, 1, World(users=USERS, items=items, mean_events=30))
        write_dataset(load_dataset_config("generated", ()), str(logs), str(directory))
    return directory


def job(work: Path, model: str, directory: Path) -> Any:
    """A job of a few steps; trained once."""
    from rich.console import Console

    from tfrec.dataset.directory import DatasetDirectory
    from trainer.config import resolve_config
    from trainer.job import JobDirectory
    from trainer.run import run_job

    found = JobDirectory(work / f"job-{model}")
    if not found.metrics.exists():
        identity = {"dataset": str(directory), "dataset_fingerprint": DatasetDirectory(directory).fingerprint}
        settings = [*TRAINING, *(OF_RETRIEVAL if model == "two_tower" else ())]
        config = resolve_config(model, None, settings, **identity, seed=1)
        run_job(config, found, Console(file=sys.stderr))
    return found


def exports(work: Path, jobs: dict[str, Any]) -> dict[str, Any]:
    """Loaded exports: the retrieval model with a filter, and the cascade."""
    import tensorflow as tf

    from trainer.export import export_job
    from trainer.release.cascade import export_cascade

    base = work / "exports"
    settings = [f"candidates={CANDIDATES}"]
    cascade = export_cascade(
        [jobs["two_tower"]], jobs["deepfm"], str(base / "cascade"), settings, ["genres"], checks="none"
    )
    paths = {
        "two_tower": export_job(jobs["two_tower"], str(base / "two_tower"), ["genres"], "none"),
        "cascade": cascade,
    }
    return {name: tf.saved_model.load(str(path)) for name, path in paths.items()}


def answer(loaded: dict[str, Any], count: int) -> None:
    import tensorflow as tf

    excluded = tf.constant([["", *(f"i{n:04d}" for n in range(EXCLUDED))]])
    kinds: tuple[tuple[str, str, dict[str, Any]], ...] = (
        ("retrieve 20", "two_tower", {}),
        (f"retrieve 20, {EXCLUDED:,} excluded", "two_tower", {"exclude_ids": excluded}),
        ("retrieve 20 of one genre", "two_tower", {"filter_genres": tf.constant([["Comedy"]])}),
        (f"cascade: {CANDIDATES} candidates, rank, 20", "cascade", {}),
        (f"cascade, {EXCLUDED:,} excluded", "cascade", {"exclude_ids": excluded}),
        ("cascade, of one genre", "cascade", {"filter_genres": tf.constant([["Comedy"]])}),
    )
    asks = [requests(loaded[model], given) for _, model, given in kinds]
    wall, cpu = measure(asks, count)
    base = {model: cpu[place] for place, (_, model, _) in reversed(list(enumerate(kinds)))}
    for place, (name, model, _) in enumerate(kinds):
        half, most = np.percentile(wall[place], [50, 99]) * 1e3
        share = cpu[place] / base[model]
        print(f"| {name} | {half:.2f} | {most:.2f} | {cpu[place] * 1e3:.2f} | {share:.2f} |", flush=True)


def requests(loaded: Any, given: dict[str, Any]) -> Callable[[int], Any]:
    """A function that sends the request of a numbered user to `recommend`."""
    import tensorflow as tf

    signature = loaded.signatures["recommend"]
    inputs: dict[str, Any] = {
        "k": tf.constant([K]),
        "exclude_ids": tf.constant([[""]]),
        "allow_ids": tf.constant([[""]]),
        "exclude_seen": tf.constant([True]),
        **given,
    }
    for name, spec in signature.structured_input_signature[1].items():
        if name not in inputs and name != "user_id":
            value = float("nan") if spec.dtype.is_floating else ""
            inputs[name] = tf.fill([1] * spec.shape.rank, tf.constant(value, spec.dtype))
    return lambda user: signature(**inputs, user_id=tf.constant([f"u{user % USERS:05d}"]))["ids"].numpy()


def measure(asks: Sequence[Callable[[int], Any]], count: int) -> tuple[np.ndarray, list[float]]:
    """Wall seconds [kinds, count] and mean CPU seconds of each kind; kinds by turns, so that all meet the same load."""
    wall, cpu = np.zeros((len(asks), count)), [0.0] * len(asks)
    for number in range(-5, count):
        for place, ask in enumerate(asks):
            start, used = time.perf_counter(), time.process_time()
            ask(number)
            if number >= 0:
                wall[place, number] = time.perf_counter() - start
                cpu[place] += (time.process_time() - used) / count
    return wall, cpu


def refresh(work: Path, jobs: dict[str, Any], later: Path, items: int) -> None:
    from tfrec.export.saved_model import CARD
    from tfrec.index import IndexConfig
    from trainer.release.refresh import refresh_cascade, refresh_job

    base, towers, ranker = work / "refreshed", jobs["two_tower"], jobs["deepfm"]
    index = IndexConfig(kind="auto")
    kinds: dict[str, Callable[[str], Path]] = {
        "two_tower": lambda at: refresh_job(towers, str(later), at, checks="none"),
        "two_tower, index auto": lambda at: refresh_job(towers, str(later), at, checks="none", index=index),
        "deepfm": lambda at: refresh_job(ranker, str(later), at, checks="none"),
        "cascade": lambda at: refresh_cascade([towers], ranker, str(later), at, checks="none"),
    }
    for name, write in kinds.items():
        start, used = time.perf_counter(), time.process_time()
        version = write(str(base / name))
        seconds, cpu = time.perf_counter() - start, time.process_time() - used
        chosen = json.loads((version / CARD).read_text(encoding="utf-8"))["index"]
        found = f"{chosen['kind']}, recall {chosen['recall']:.3f}" if chosen else "–"
        print(f"| {name} | {items:,} | {seconds:.1f} | {cpu:.1f} | {found} |", flush=True)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
