"""A cell: one model with one setting and one seed on one data set. Finished ones are kept and not run again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.quality.arena import HERE, Arena, DataSet, source_files
from benchmarks.quality.clicks import Clicks
from benchmarks.quality.entrants import Entrant, Settings
from benchmarks.quality.judge import PerUser
from benchmarks.quality.run import run_ours, run_peer
from benchmarks.training.processes import ROOT
from tfrec.errors import TfrecError

RESULT = "cell.json"  # written last


class FailedError(Exception):
    """A cell that came to no result; the reason in one line."""


@dataclass(frozen=True)
class Cell:
    """What is run.

    Attributes:
        entrant: whose model.
        data: on which log.
        settings: that differ from the library's own.
        seed: of everything random.

    """

    entrant: Entrant
    data: DataSet
    settings: Settings
    seed: int

    def place(self, arena: Arena) -> Path:
        """Changes with everything that the result follows from."""
        content = [arena.fingerprint(self.data), self.settings, self.seed, _code(self.entrant)]
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
        return arena.work / "cells" / self.data.name / self.entrant.name / f"seed-{self.seed}-{digest}"


@dataclass(frozen=True)
class Finished:
    """What is kept of a cell.

    Attributes:
        cell: what was run.
        about: metrics by set, seconds, memory, and what the library says of itself.
        place: of the files.

    """

    cell: Cell
    about: dict[str, Any]
    place: Path

    @property
    def validation(self) -> float:
        """By which settings are chosen; higher is better."""
        return float(self.about["metrics"]["validation"]["ndcg_at_10" if self.is_retrieval else "auc"])

    @property
    def cpu_seconds(self) -> float:
        """Of the whole process."""
        return float(self.about["cpu_seconds"])

    @property
    def is_retrieval(self) -> bool:
        return self.cell.entrant.task == "retrieval"

    def metric(self, of: str, name: str) -> float:
        return float(self.about["metrics"][of][name])

    def per_user(self, of: str) -> PerUser:
        """Of a retrieval cell, with the users' indices as `users`."""
        with np.load(self.place / f"{of}.npz") as found:
            return dict(found)

    @cached_property
    def clicks(self) -> Clicks:
        """Test predictions of a ranking cell."""
        return Clicks.read(self.place / "test.npz")


def finished(cell: Cell, arena: Arena) -> Finished:
    """The result of a cell, from an earlier run where there is one.

    Raises:
        FailedError: its process failed, or its lists are not lists.

    """
    place = cell.place(arena)
    if not (place / RESULT).exists():
        arena.say(f"{cell.data.name} · {cell.entrant.title} · seed {cell.seed} · {json.dumps(cell.settings)}")
        unfinished = place.with_name(place.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.mkdir(parents=True)
        try:
            about = (run_ours if cell.entrant.is_ours else run_peer)(cell, arena, unfinished)
        except (SystemExit, TfrecError) as failure:  # processes.run exits
            raise FailedError(str(failure).strip().splitlines()[-1]) from failure
        (unfinished / RESULT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        unfinished.rename(place)
    return Finished(cell, json.loads((place / RESULT).read_text(encoding="utf-8")), place)


def _code(entrant: Entrant) -> str:
    """Of ours the library and the trainer, of a peer its module and its pinned packages."""
    paths = source_files() if entrant.is_ours else [HERE / "peers" / f"{entrant.module}.py"]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()
