"""The logs, and how they are divided: files of train, validation and test, and datasets made of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.training.datasets import kept_dataset
from benchmarks.training.processes import make

FOLDS_SEED = 1
VALIDATION_SHARE = 0.05  # of the training ratings, where epochs or settings are chosen
PARTS = ("train", "validation", "test")


@dataclass(frozen=True)
class RatingLog:
    """A published file of ratings, and the protocol that papers follow on it.

    Attributes:
        name: of its folder too.
        file: one rating a line.
        delimiter: of its columns.
        columns: the first three are user, item and rating.
        splits: how many there are, numbered from 1.
        test_share: held out, drawn anew for each split; None: `splits` folds, each held out once.

    """

    name: str
    file: str
    delimiter: str
    columns: tuple[str, ...]
    splits: int
    test_share: float | None = None

    @property
    def meaning(self) -> str:
        if self.test_share is None:
            return f"{self.splits}-fold random cross-validation"
        return f"random {1 - self.test_share:.0%} / {self.test_share:.0%}, {self.splits} draws"


LOGS = {
    log.name: log
    for log in (
        RatingLog("ml-100k", "u.data", "\t", ("user", "item", "rating", "time"), 5),
        RatingLog("ml-1m", "ratings-no-timestamp.dat", "::", ("user", "item", "rating"), 3, 0.1),
    )
}


@dataclass(frozen=True)
class Ratings:
    """Some ratings; ids as in the log. int64, int64 and float64 [ratings]"""

    users: np.ndarray
    items: np.ndarray
    values: np.ndarray

    @classmethod
    def read(cls, path: Path, delimiter: str) -> Ratings:
        text = path.read_text(encoding="ascii").replace(delimiter, "\t")
        columns = np.loadtxt(text.splitlines(), delimiter="\t", usecols=(0, 1, 2), ndmin=2)
        return cls(columns[:, 0].astype(np.int64), columns[:, 1].astype(np.int64), columns[:, 2])

    def and_those(self, other: Ratings) -> Ratings:
        return Ratings(
            np.concatenate([self.users, other.users]),
            np.concatenate([self.items, other.items]),
            np.concatenate([self.values, other.values]),
        )


def divided(count: int, log: RatingLog, number: int) -> dict[str, np.ndarray]:
    """Rows of each part of split `number`, ascending; each row of the log is in one of them."""
    if log.test_share is None:
        test = np.random.default_rng(FOLDS_SEED).permutation(count)[number - 1 :: log.splits]
    else:
        test = np.random.default_rng(number).permutation(count)[: round(log.test_share * count)]
    rest = np.setdiff1d(np.arange(count), test)
    drawn = np.random.default_rng([number, FOLDS_SEED]).permutation(len(rest))
    cut = round(VALIDATION_SHARE * len(rest))
    return {"train": rest[np.sort(drawn[cut:])], "validation": rest[np.sort(drawn[:cut])], "test": np.sort(test)}


def write_parts(log: RatingLog, data_dir: Path, number: int, work: Path) -> Path:
    """The files `train.txt`, `validation.txt` and `test.txt`, lines of the log as they are; their directory."""

    def write(target: Path) -> None:
        target.mkdir(parents=True)
        lines = (data_dir / log.name / log.file).read_bytes().splitlines(keepends=True)
        for part, rows in divided(len(lines), log, number).items():
            (target / f"{part}.txt").write_bytes(b"".join(lines[row] for row in rows))

    (work / "splits").mkdir(parents=True, exist_ok=True)
    return make(work / "splits" / f"{log.name}-{number}", write)


def write_dataset(log: RatingLog, parts: Path, work: Path, *, has_validation: bool) -> Path:
    """A dataset of a split; without validation its ratings are for training too."""
    name = f"{parts.name}-{'cut' if has_validation else 'whole'}"
    return kept_dataset(name, dataset_config(log, has_validation=has_validation), parts, work)


def dataset_config(log: RatingLog, *, has_validation: bool) -> dict[str, Any]:
    """The content of dataset.yaml."""

    def parts() -> Iterator[dict[str, Any]]:
        for part in PARTS:
            split = "train" if part == "validation" and not has_validation else part
            table = {"delimiter": log.delimiter, "header": False, "quote": None, "columns": list(log.columns)}
            yield {"files": f"{part}.txt", "split": split, **table}

    ids = {name: {"role": name, "kind": "categorical", "id": True} for name in ("user", "item")}
    label = {"column": "rating"}
    return {"name": log.name, "events": [*parts()], "features": ids, "label": label, "split": {"strategy": "given"}}
