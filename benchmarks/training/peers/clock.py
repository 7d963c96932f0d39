"""What a peer reports: examples per wall second in `fit` after its first epoch, and how well it learnt."""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

WARM_UP_STEPS = 10  # before --max-steps are timed
Batch = TypeVar("Batch")


@dataclass
class EpochClock:
    """Wall and CPU seconds from the end of the first epoch (or of the warm-up) to the end of `fit`."""

    begun: float | None = None
    begun_cpu: float = 0.0

    def start(self) -> None:
        self.begun, self.begun_cpu = time.perf_counter(), time.process_time()

    def result(self, examples: int) -> dict[str, float]:
        """Rates of `examples` that were trained on since `start`."""
        assert self.begun is not None, "the clock was never started: at least two epochs are needed"
        wall, cpu = time.perf_counter() - self.begun, time.process_time() - self.begun_cpu
        return {"examples_per_second": examples / wall, "examples_per_cpu_second": examples / cpu, "seconds": wall}


def timed_part(batches: Iterable[Batch], clock: EpochClock, steps: int) -> Iterator[Batch]:
    """The batches of the warm-up, behind which the clock starts, and as many more as are timed."""
    for number, batch in enumerate(batches):
        if number == WARM_UP_STEPS + steps:
            return
        if number == WARM_UP_STEPS:
            clock.start()
        yield batch


def peer_flags(description: str | None, models: tuple[str, ...]) -> argparse.ArgumentParser:
    """The flags that all peers have."""
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--data", type=Path, required=True, help="a directory of benchmarks.training.exchange")
    flags.add_argument("--model", choices=models, required=True)
    flags.add_argument("--measure", choices=("speed", "quality"), default="speed")
    flags.add_argument("--epochs", type=int, default=5)
    flags.add_argument("--max-steps", type=int, help="speed: time this many steps of one epoch, after ten of warm-up")
    flags.add_argument("--batch-size", type=int, default=2048)
    flags.add_argument("--learning-rate", type=float, default=0.001)
    flags.add_argument("--embedding-dim", type=int, default=16)
    flags.add_argument("--seed", type=int, default=1)
    return flags


def print_result(**result: object) -> None:
    print(json.dumps(result), flush=True)


def best_epoch(validation: list[float], test: list[float]) -> dict[str, float]:
    """The test metric of the epoch that was best on validation."""
    best = max(range(len(validation)), key=validation.__getitem__)
    return {"validation_auc": validation[best], "auc": test[best], "best_epoch": best + 1}


def threads() -> int:
    """As many as the benchmark allows every side."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))
