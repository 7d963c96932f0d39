"""What all ranking peers have in common: flags, and predictions of validation and test."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

HELD_OUT = ("validation", "test")


def ranking_flags(description: str | None, models: tuple[str, ...]) -> argparse.ArgumentParser:
    flags = argparse.ArgumentParser(description=description)
    flags.add_argument("--data", type=Path, required=True, help="a set of benchmarks.training.encoded_sets")
    flags.add_argument("--output", type=Path, required=True, help="a directory for the predictions")
    flags.add_argument("--model", choices=models, required=True)
    flags.add_argument("--settings", type=json.loads, default={}, help="JSON, the library's own names")
    flags.add_argument("--seed", type=int, default=1)
    return flags


class BestEpoch:
    """Keeps the predictions of the epoch that was best on validation."""

    def __init__(self) -> None:
        self.score = -np.inf
        self.epoch = 0
        self._seen = 0
        self._probabilities: dict[str, np.ndarray] = {}

    def offer(self, score: float, probabilities: dict[str, np.ndarray]) -> None:
        """One epoch: its validation metric, higher is better, and probabilities of each held-out split's rows."""
        self._seen += 1
        if score > self.score:
            self.score, self.epoch, self._probabilities = score, self._seen, probabilities

    def write(self, output: Path) -> dict[str, Any]:
        output.mkdir(parents=True, exist_ok=True)
        for split, values in self._probabilities.items():
            np.save(output / f"{split}.npy", values.astype(np.float64))
        return {"best_epoch": self.epoch}
