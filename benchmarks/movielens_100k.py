"""`make bench`: the quality figures on MovieLens-100K, three seeds each, as README and RESULTS.md quote them.

Everything is chosen on validation; test is only reported. Prints a Markdown table to stdout.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Experiment:
    """One row group of the table."""

    title: str
    split: str  # strategy of the dataset
    model: str
    settings: tuple[str, ...]
    metrics: tuple[str, ...]


TEST = (
    "test_training_history/ndcg_at_10",
    "test_training_history/recall_at_10",
    "test/ndcg_at_10",
    "test/recall_at_10",
)
EXPERIMENTS = (
    Experiment("popularity", "leave_one_out", "popularity", (), ("test/ndcg_at_10", "test/recall_at_10")),
    Experiment("two_tower, history (default)", "leave_one_out", "two_tower", (), TEST),
    Experiment(
        "two_tower, id only",
        "leave_one_out",
        "two_tower",
        ("model.use_history=false", "model.embedding_dim=128", "train.learning_rate=0.002", "train.batch_size=2048"),
        ("test/ndcg_at_10", "test/recall_at_10"),
    ),
    Experiment("deepfm", "random", "deepfm", (), ("test/auc", "test/log_loss")),
)


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--data-dir", required=True, help="where u.data, u.user and u.item are")
    flags.add_argument("--seeds", type=int, default=3, help="runs of each model, seeds from 1")
    flags.add_argument("--epochs", type=int, help="fewer epochs, to see that everything runs; not for figures")
    chosen = flags.parse_args()
    if not (Path(chosen.data_dir) / "u.data").exists():
        sys.exit(f"benchmarks: no u.data in {chosen.data_dir}; name MovieLens-100K with --data-dir")
    shorter = () if chosen.epochs is None else (f"train.epochs={chosen.epochs}",)
    print("| model | split | metric | mean | per seed | seconds of training |\n|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        for split in ("leave_one_out", "random"):
            dataset = Path(scratch) / split
            run("transforms.run", "--config", "ml-100k", "--input-dir", chosen.data_dir, "--output", str(dataset),
                "--set", f"split.strategy={split}")  # fmt: skip
            for experiment in EXPERIMENTS:
                if experiment.split == split:
                    report(experiment, dataset, Path(scratch), chosen.seeds, shorter)


def report(experiment: Experiment, dataset: Path, scratch: Path, seeds: int, shorter: tuple[str, ...]) -> None:
    if experiment.model == "popularity":  # has no seed and no epochs
        seeds, shorter = 1, ()
    found = [train(experiment, dataset, scratch, seed + 1, shorter) for seed in range(seeds)]
    seconds = statistics.mean(metrics.get("train/training_seconds", 0.0) for metrics in found)
    for name in experiment.metrics:
        values = [metrics[name] for metrics in found]
        each = " ".join(f"{value:.4f}" for value in values)
        row = (experiment.title, experiment.split, name, f"{statistics.mean(values):.4f}", each, f"{seconds:.0f}")
        print(f"| {' | '.join(row)} |", flush=True)


def train(
    experiment: Experiment, dataset: Path, scratch: Path, seed: int, shorter: tuple[str, ...]
) -> dict[str, float]:
    job = scratch / f"{experiment.title}-{seed}-{time.monotonic_ns()}".replace(" ", "_")
    wanted = ("evaluation.baselines=[popularity]", *experiment.settings, *shorter)  # the table has rows of its own
    settings = [part for setting in wanted for part in ("--set", setting)]
    output = run("trainer.task", "--dataset", str(dataset), "--model", experiment.model, "--job-dir", str(job),
                 "--seed", str(seed), "--no-export", "--json", *settings)  # fmt: skip
    metrics: dict[str, float] = json.loads(output)
    return metrics


def run(module: str, *arguments: str) -> str:
    done = subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"benchmarks: {module} failed:\n{done.stderr}")
    return done.stdout


if __name__ == "__main__":
    main()
