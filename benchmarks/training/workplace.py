"""What a run of the benchmark was asked for, and what it writes to its work directory and finds there again."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.training.processes import make, run


@dataclass(frozen=True)
class Bench:
    """What was asked for, and the datasets that it needs."""

    data_dir: Path | None  # MovieLens-100K
    work: Path
    peers: frozenset[str]
    repeat: int
    epochs: int  # of the speed runs on small sets; the first does not count
    quality_epochs: int
    criteo_rows: int
    input_rows: int
    settings: tuple[str, ...] = ()  # for our side, in every comparison that trains

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def written(self, name: str, module: str, *arguments: str) -> Path:
        """What a module of the benchmarks writes to its --output."""

        def write(target: Path) -> None:
            run(["-m", module, *arguments, "--output", str(target)], self.work / f"{name}.log")

        return make(self.work / name, write)

    def dataset(self, name: str, config: str, logs: Path, *overrides: str) -> Path:
        """A dataset directory written by `transforms.run`."""
        sets = [part for override in overrides for part in ("--set", override)]

        def write(target: Path) -> None:
            command = ["-m", "transforms.run", "--config", config, "--input-dir", str(logs), "--output", str(target)]
            took = run([*command, *sets], self.work / "transforms.log")
            self.say(f"{name}: transforms took {took.wall_seconds:.0f} s")

        return make(self.work / name, write)

    def movielens(self, strategy: str, *overrides: str) -> Path:
        """MovieLens-100K by a split; with overrides of its dataset.yaml a dataset of its own."""
        if self.data_dir is None or not (self.data_dir / "u.data").exists():
            sys.exit(f"benchmarks: no u.data in {self.data_dir}; name MovieLens-100K with --data-dir")
        name = "-".join(["ml-100k", strategy, *(override.replace("=", "-") for override in overrides)])
        return self.dataset(name, "ml-100k", self.data_dir, f"split.strategy={strategy}", *overrides)

    def encoded(self, dataset: Path, form: str) -> Path:
        """The same rows for the other sides."""
        arguments = ("--dataset", str(dataset), "--form", form)
        return self.written(f"{dataset.name}-{form}", "benchmarks.training.encoded_sets", *arguments)

    def criteo_like(self, name: str, rows: int, *flags: str) -> Path:
        log = self.written(f"{name}-log", "benchmarks.training.criteo", "--rows", str(rows), *flags)
        return self.dataset(name, str(log / "dataset.yaml"), log)
