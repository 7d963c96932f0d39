"""Who runs with which settings: settings are chosen on validation, by as many trials for each side."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import yaml

from benchmarks.quality.arena import Arena, DataSet
from benchmarks.quality.cells import Cell, FailedError, Finished, finished
from benchmarks.quality.clicks import resampled
from benchmarks.quality.entrants import Entrant, Settings

TUNED = Path(__file__).with_name("tuned.yaml")
FIRST_SEED = 1


@dataclass(frozen=True)
class Size:
    """How much is run.

    Attributes:
        datasets: their names.
        seeds: runs of the chosen settings, for models that have a seed.
        trials: settings of each model that are tried; 0 takes those of tuned.yaml, else the library's own.
        minutes: of CPU; a model whose trials took as many tries no further setting.

    """

    datasets: tuple[str, ...]
    seeds: int
    trials: int
    minutes: float = math.inf


SIZES = {
    "ten-minutes": Size(("ml-100k", "ml-100k-clicks"), 1, 0),
    "ranking": Size(("ml-100k-clicks", "ml-1m-clicks", "census"), 3, 0),
    "nightly": Size(("ml-100k", "ml-1m", "movietweetings", "ml-100k-clicks"), 3, 8, minutes=3),
}


@dataclass(frozen=True)
class Entry:
    """One row of the table: the runs of the chosen settings, one for each seed."""

    entrant: Entrant
    settings: Settings
    tried: int
    runs: list[Finished]

    @property
    def validation(self) -> float:
        return sum(run.validation for run in self.runs) / len(self.runs)

    @cached_property
    def drawn(self) -> dict[str, np.ndarray]:
        """Of a ranking entry: metric → its values in resamples, mean over the seeds. float [resamples]"""
        return resampled([run.clicks for run in self.runs])


@dataclass
class Outcome:
    """Of one data set.

    Attributes:
        data: which.
        entries: as they ran.
        absent: title of a model → why it has no row.

    """

    data: DataSet
    entries: list[Entry] = field(default_factory=list)
    absent: dict[str, str] = field(default_factory=dict)


def compete(data: DataSet, entrants: Collection[Entrant], arena: Arena, size: Size) -> Outcome:
    """Run all models of the data set's task; one that fails is named and the others go on."""
    outcome = Outcome(data)
    for entrant in entrants:
        if entrant.task != data.task:
            continue
        if entrant.environment is not None and arena.python(entrant.environment) is None:
            outcome.absent[entrant.title] = f"environment {entrant.environment}: {arena.absent[entrant.environment]}"
            continue
        try:
            outcome.entries.append(_enter(entrant, data, arena, size))
        except FailedError as failure:
            outcome.absent[entrant.title] = str(failure)
            arena.say(f"{entrant.title}: {failure}")
    return outcome


def _enter(entrant: Entrant, data: DataSet, arena: Arena, size: Size) -> Entry:
    trials = entrant.trials(size.trials) if size.trials else [tuned(data, entrant)]
    tried: list[Finished] = []
    failure = FailedError("no trial")
    for settings in trials:
        if sum(found.cpu_seconds for found in tried) >= 60 * size.minutes:
            break
        try:
            tried.append(finished(Cell(entrant, data, settings, FIRST_SEED), arena))
        except FailedError as error:  # a setting may be impossible; all of them are a failure of the model
            failure = error
            arena.say(f"{entrant.title}: {error}")
    if not tried:
        raise failure
    best = max(tried, key=lambda found: found.validation)
    more = range(FIRST_SEED + 1, FIRST_SEED + size.seeds) if entrant.has_seed else ()
    runs = [best, *(finished(Cell(entrant, data, best.cell.settings, seed), arena) for seed in more)]
    return Entry(entrant, best.cell.settings, len(tried), runs)


def tuned(data: DataSet, entrant: Entrant) -> Settings:
    """What an earlier search chose, or the defaults."""
    content = yaml.safe_load(TUNED.read_text(encoding="utf-8")) if TUNED.exists() else None
    chosen: Settings = ((content or {}).get(data.name) or {}).get(entrant.name, entrant.defaults)
    return chosen


def write_choices(path: Path, outcomes: Collection[Outcome]) -> None:
    """Write the chosen settings in the form of tuned.yaml."""
    chosen = {outcome.data.name: {one.entrant.name: one.settings for one in outcome.entries} for outcome in outcomes}
    path.write_text(yaml.safe_dump(chosen, sort_keys=True, width=120), encoding="utf-8")
