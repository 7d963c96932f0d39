"""One small generated log with gaps in it, its datasets, and jobs trained on them; built once per test session."""

import csv
import fcntl
import hashlib
import io
import os
import shutil
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console

from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.run import run_job

DATASET_YAML = """
name: planted
events: {files: events.csv}
users: {files: users.csv}
items: {files: items.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  age: {role: user, kind: numeric, buckets: 6}
  age_in_years: {role: user, kind: numeric, column: age, log: true}
  country: {role: user, kind: categorical}
  country_hash: {role: user, kind: categorical, column: country, hash_buckets: 50, default: nowhere}
  history: {role: user, kind: sequence, length: 20}
  item_id: {role: item, kind: categorical, id: true}
  title: {role: item, kind: text}
  genres: {role: item, kind: categorical, separator: "|", max_values: 4}
label: {column: rating, threshold: 4}
timestamp: {column: timestamp, unit: s}
split: {strategy: leave_one_out}
"""
USERS, ITEMS, MEAN_EVENTS, SEED = 300, 120, 30, 5


@contextmanager
def built_once(directory):
    """Yield True for the process that has to build `directory`; the others wait until it is there."""
    directory.parent.mkdir(parents=True, exist_ok=True)
    with open(f"{directory}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield not directory.exists()


def shared_root(tmp_path_factory):
    """A directory that all xdist workers of one test run share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def read_csv(path):
    with open(path, encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def write_csv(path, rows):
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    Path(path).write_text(text.getvalue(), encoding="utf-8")


TWO_TOWER_WITH_FEATURES = (
    "model.user_features=[country, age, age_in_years, country_hash]",
    "model.item_features=[genres]",
    "model.use_user_id=false",
)
DEEPFM = ("train.learning_rate=0.01",)
DEEPFM_WITH_HISTORY = (*DEEPFM, "model.features=[user_id, item_id, history, age_in_years, genres]")


class World:
    """Logs, datasets and jobs below one directory; what is asked for is built when first asked for."""

    def __init__(self, root):
        self.root = root / "planted_world"

    @property
    def logs(self):
        directory = self.root / "logs"
        with built_once(directory) as must_build:
            if must_build:
                self._write_logs(directory)
        return directory

    def _write_logs(self, directory):
        from transforms.generate import World as GeneratedWorld
        from transforms.generate import generate_log

        scratch = self.root / "logs.tmp"
        generate_log(scratch, SEED, GeneratedWorld(users=USERS, items=ITEMS, mean_events=MEAN_EVENTS))
        users, items = read_csv(scratch / "users.csv"), read_csv(scratch / "items.csv")
        for row in users[::17]:
            row["age"] = ""
        for row in users[::19]:
            row["country"] = ""
        for row in items[::23]:
            row["genres"] = ""
        users.append({"user_id": "only_in_table", "age": "33", "country": "DE"})
        items.append({"item_id": "new_item", "title": "Not yet seen", "genres": "Comedy|Drama"})
        write_csv(scratch / "users.csv", users)
        write_csv(scratch / "items.csv", items)
        scratch.rename(directory)

    def dataset(self, name="planted", *overrides, logs=None):
        """The directory of a dataset; `overrides` change its dataset.yaml."""
        directory = self.root / "datasets" / name
        logs = logs or self.logs
        with built_once(directory) as must_build:
            if must_build:
                from transforms.dataset import write_dataset
                from transforms.dataset_config import DatasetConfig

                config = parse_config(DATASET_YAML, DatasetConfig, overrides)
                write_dataset(config, str(logs), str(directory))
        return directory

    def config(self, model, *overrides, seed=1, dataset="planted"):
        """The config of a job; popularity is the one baseline: most tests look at other things."""
        if not any(override.startswith("evaluation.baselines") for override in overrides):
            overrides = ("evaluation.baselines=[popularity]", "evaluation.baseline_trials=1", *overrides)
        directory = self.dataset(dataset)
        return resolve_config(
            model,
            None,
            overrides,
            dataset=str(directory),
            dataset_fingerprint=DatasetDirectory(directory).fingerprint,
            seed=seed,
        )

    def data(self, dataset="planted"):
        return JobData(DatasetDirectory(self.dataset(dataset)))

    def job(self, model, *overrides, seed=1):
        """A trained and exported job, one for all who ask for the same. Read it, do not change it."""
        digest = hashlib.sha256(repr((overrides, seed)).encode()).hexdigest()[:8]
        path = self.root / "jobs" / f"{model}-{digest}"
        config = self.config(model, *overrides, seed=seed)
        with built_once(path) as must_build:
            if must_build:
                unfinished = JobDirectory(f"{path}.unfinished")
                shutil.rmtree(unfinished.path, ignore_errors=True)
                run_job(config, unfinished, quiet_console())
                export_job(unfinished, checks="none")  # the tests that use it check it themselves
                unfinished.path.rename(path)
        return JobDirectory(path)


def quiet_console():
    return Console(file=io.StringIO())
