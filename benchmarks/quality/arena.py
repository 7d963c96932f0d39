"""Where a run happens: its data sets in every form that a side needs, and the environments, each made once."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from benchmarks.quality.entrants import Task
from benchmarks.training.processes import ROOT, make, run
from benchmarks.training.venvs import PINNED, environment
from tfrec.dataset.directory import DatasetDirectory

HERE = Path(__file__).parent
PLAIN_RATING = "label={column: rating}"  # so that the split files can hold it; retrieval does not learn from it


@dataclass(frozen=True)
class DataSet:
    """A log, how it is split and what is asked.

    Attributes:
        name: as the command names it.
        title: for tables.
        task: what is asked.
        config: of transforms.run.
        folder: below --data-dir; None for a log that is generated.
        files: that must be there.
        overrides: of the config.
        drawn: what an interval draws again: users with all their events, or single rows, where the column that is taken
            for the user names no one.

    """

    name: str
    title: str
    task: Task
    config: str
    folder: str | None
    files: tuple[str, ...] = ()
    overrides: tuple[str, ...] = ()
    drawn: Literal["users", "rows"] = "users"


DATASETS = {
    data.name: data
    for data in (
        DataSet("ml-100k", "MovieLens-100K", "retrieval", "ml-100k", "ml-100k", ("u.data", "u.user", "u.item"),
                ("split.strategy=leave_one_out", PLAIN_RATING)),
        DataSet("ml-100k-clicks", "MovieLens-100K clicks", "ranking", "ml-100k", "ml-100k",
                ("u.data", "u.user", "u.item"), ("split.strategy=random",)),
        DataSet("ml-1m", "MovieLens-1M, the sequences file", "retrieval", str(HERE / "ml-1m-sequences.yaml"),
                "ml-1m-sequences", ("ml-1m.txt",)),
        DataSet("ml-1m-clicks", "MovieLens-1M clicks", "ranking", str(HERE / "ml-1m-clicks.yaml"), "ml-1m",
                ("ratings-no-timestamp.dat", "users.dat", "movies.dat")),
        DataSet("census", "Census income", "ranking", "census-income", "census-income", ("adult.data", "adult.test"),
                drawn="rows"),
        DataSet("movietweetings", "MovieTweetings-100K", "retrieval", "movietweetings", "movietweetings-100k",
                ("ratings.dat", "movies.dat"), ("split.strategy=leave_one_out", PLAIN_RATING)),
        DataSet("generated", "a generated log", "retrieval", "generated", None,
                overrides=("split.strategy=leave_one_out", PLAIN_RATING)),
        DataSet("generated-clicks", "clicks of a generated log", "ranking", "generated", None,
                overrides=("split.strategy=random",)),
    )
}  # fmt: skip
GENERATED = ("--users", "300", "--items", "150", "--mean-events", "20", "--seed", "1")


@dataclass
class Arena:
    """Makes what is asked for below `work`, or finds it there."""

    data_dir: Path | None
    work: Path
    absent: dict[str, str] = field(default_factory=dict)  # environment → why it cannot be had

    def say(self, text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    def missing_files(self, data: DataSet) -> list[Path]:
        if data.folder is None:
            return []
        wanted = [(self.data_dir or Path("--data-dir")) / data.folder / name for name in data.files]
        return [path for path in wanted if not path.exists()]

    def dataset(self, data: DataSet) -> Path:
        logs = self._generated() if data.folder is None else (self.data_dir or Path()) / data.folder
        sets = [part for override in data.overrides for part in ("--set", override)]
        command = ["-m", "transforms.run", "--config", data.config, "--input-dir", str(logs), *sets]
        return self._written("datasets", data.name, command)

    def exchange(self, data: DataSet) -> Path:
        """The same rows for the other libraries: split files, or encoded columns."""
        dataset = str(self.dataset(data))
        if data.task == "retrieval":
            return self._written("splits", data.name, ["-m", "benchmarks.quality.export_splits", "--dataset", dataset])
        command = ["-m", "benchmarks.training.encoded_sets", "--form", "set", "--dataset", dataset]
        return self._written("sets", data.name, command)

    def python(self, name: str) -> Path | None:
        """Of an environment; None where it cannot be made, and `absent` says why."""
        if name in self.absent:
            return None
        pinned = HERE / "peers" if (HERE / "peers" / f"{name}.txt").exists() else PINNED
        try:
            return environment(name, self.work, pinned)
        except SystemExit as failure:
            self.absent[name] = str(failure).strip().splitlines()[-1]
            self.say(f"{name}: cannot be installed ({self.absent[name]}); the libraries in it are left out")
            return None

    def fingerprint(self, data: DataSet) -> str:
        return DatasetDirectory(self.dataset(data)).fingerprint

    def _generated(self) -> Path:
        return self._written("logs", "generated", ["-m", "transforms.generate", *GENERATED])

    def _written(self, kind: str, name: str, command: list[str]) -> Path:
        """What a module writes to its --output."""

        def write(target: Path) -> None:
            run([*command, "--output", str(target)], self.work / f"{kind}-{name}.log")

        (self.work / kind).mkdir(parents=True, exist_ok=True)
        return make(self.work / kind / name, write)


def source_files() -> list[Path]:
    """The code that decides what our models answer."""
    return sorted(path for room in ("tfrec", "trainer") for path in (ROOT / room).rglob("*.py"))
