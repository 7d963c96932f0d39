"""What is compared: every side by name, and how each is asked for one measurement."""

from __future__ import annotations

import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.training.processes import Run, run
from tfrec.dataset.directory import DatasetDirectory

PEERS = "benchmarks.training.peers"


@dataclass
class Side:
    """One row of a table.

    Attributes:
        name: as it is printed.
        measure: number of the repeat → one measurement.
        runs: the measurements so far.

    """

    name: str
    measure: Callable[[int], Run]
    runs: list[Run] = field(default_factory=list)

    def values(self, key: str) -> list[float]:
        return [float(run.said[key]) for run in self.runs if run.said.get(key) is not None]

    def median(self, key: str) -> float | None:
        values = self.values(key)
        return statistics.median(values) if values else None


def interleave(sides: Sequence[Side], repeat: int, say: Callable[[str], None]) -> None:
    """Measure all sides `repeat` times, in turn, so that what disturbs the machine disturbs all."""
    for number in range(repeat):
        for side in sides:
            say(f"{side.name}: run {number + 1} of {repeat}")
            side.runs.append(side.measure(number))


def ours(
    name: str,
    dataset: Path,
    model: str,
    work: Path,
    settings: Sequence[str],
    *,
    epochs: int | None = None,
    examples: int | None = None,
) -> Side:
    """`trainer.task` on a dataset, every time in a fresh job directory.

    With `epochs` the job runs that many, and one of a single epoch comes before it. `examples_per_second` is what the
    trainer says of its steps, without those that trace. What lies between the two jobs is all that an epoch costs a
    user, validation and checkpoints too: `whole_per_second`, and by CPU time `examples_per_cpu_second`. An epoch has as
    many examples as the split has rows, unless `examples` says otherwise.
    """

    def job(number: int) -> Run:
        limit = () if epochs is None else (f"train.epochs={number}", f"train.patience={number}")
        return run_job(dataset, model, work, (*settings, *limit))

    def measure(_: int) -> Run:
        if epochs is None:
            return job(0)
        short, long = job(1), job(epochs)
        in_epoch = DatasetDirectory(dataset).rows("train") if examples is None else examples
        rows = (epochs - 1) * in_epoch
        said = long.said | {
            "examples_per_epoch": in_epoch,
            "examples_per_second": long.said["train/examples_per_second"],
            "whole_per_second": rows / max(long.wall_seconds - short.wall_seconds, 1e-9),
            "examples_per_cpu_second": rows / max(long.cpu_seconds - short.cpu_seconds, 1e-9),
        }
        return Run(said, long.wall_seconds, long.cpu_seconds)

    return Side(name, measure)


def run_job(dataset: Path, model: str, work: Path, settings: Sequence[str], seed: int = 1) -> Run:
    """One job; what it says are its metrics."""
    job = work / "job"
    shutil.rmtree(job, ignore_errors=True)
    overrides = [part for setting in settings for part in ("--set", setting)]
    command = ["-m", "trainer.task", "--dataset", str(dataset), "--model", model, "--job-dir", str(job),
               "--seed", str(seed), "--no-export", "--json", *overrides]  # fmt: skip
    found = run(command, work / "ours.log")
    shutil.rmtree(job)
    return found


def peer(name: str, module: str, python: Path, data: Path, work: Path, arguments: Sequence[str]) -> Side:
    """A module of `peers/` in its own environment."""

    def measure(number: int) -> Run:
        command = ["-m", f"{PEERS}.{module}", "--data", str(data), "--seed", str(number + 1), *arguments]
        return run(command, work / f"{module}.log", python)

    return Side(name, measure)
