"""The planted world some time later: other users and items, in another order; and jobs that were trained before."""

import hashlib
import shutil

import tensorflow as tf

from tests.trainer.planted_world import built_once, quiet_console, read_csv, write_csv
from tfrec.dataset.directory import DatasetDirectory
from tfrec.layers.tables import main_row
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.run import run_job
from trainer.warm_start.start import warm_start
from trainer.warm_start.stored_weights import variable_paths
from trainer.warm_start.vocabularies import keep_vocabulary

SHORT = ("train.epochs=2", "train.batch_size=512", "train.learning_rate=0.01", "model.embedding_dim=4")
NEW_ITEMS = {"brand_new": "Comedy|Drama", "brand_new_2": "Comedy", "unlike_any": "Telenovela"}


def grown_data(world):
    """The log without its first 40 users and 7 items, with a new user, three new items and a new genre."""
    directory = world.root / "grown_logs"
    with built_once(directory) as must_build:
        if must_build:
            _write_logs(world.logs, directory)
    return JobData(DatasetDirectory(world.dataset("grown", logs=directory)))


def _write_logs(logs, directory):
    scratch = directory.with_suffix(".tmp")
    shutil.copytree(logs, scratch)
    users, items, events = (read_csv(scratch / f"{name}.csv") for name in ("users", "items", "events"))
    gone = {row["user_id"] for row in users[:40]} | {row["item_id"] for row in items[:7]}
    kept = [row for row in events if not {row["user_id"], row["item_id"]} & gone]
    # Other frequencies, so that ids change places.
    kept = [row for row in kept if _number(row["user_id"]) % 3 or _number(row["item_id"]) % 2]
    times = sorted(row["timestamp"] for row in kept)
    some_users = sorted({row["user_id"] for row in kept})
    for place, (item_id, genres) in enumerate(NEW_ITEMS.items()):
        items.append({"item_id": item_id, "title": item_id, "genres": genres})
        for user_id in ("new_user", *some_users[: 5 + place]):
            kept.append({**kept[0], "user_id": user_id, "item_id": item_id, "timestamp": times[place]})
    users.append({"user_id": "new_user", "age": "99", "country": "XX"})
    for name, rows in (("users", users), ("items", items), ("events", kept)):
        write_csv(scratch / f"{name}.csv", rows)
    scratch.rename(directory)


def _number(text):
    return sum((place + 1) * ord(letter) for place, letter in enumerate(text))


def earlier_job(world, model, *overrides):
    """A job on the planted world, one for all who ask for the same. Read it, do not change it."""
    digest = hashlib.sha256(repr(overrides).encode()).hexdigest()[:8]
    path = world.root / "earlier_jobs" / f"{model}-{digest}"
    with built_once(path) as must_build:
        if must_build:
            unfinished = JobDirectory(f"{path}.unfinished")
            config, data = world.config(model, *SHORT, *overrides), world.data()
            keep_vocabulary(unfinished, data.dataset, build_model(config, data))
            run_job(config, unfinished, quiet_console())
            unfinished.path.rename(path)
    return JobDirectory(path)


def started(world, data, job, model, *overrides, seed=9):
    """(new model after the warm start, the same before it, what was taken over)."""
    config = world.config(model, *SHORT, *overrides, seed=seed)
    new, fresh = build_model(config, data), build_model(config, data)
    return new, fresh, warm_start(new, config, data, job.path)


def tokens_of(data, feature):
    return (data.dataset.path / "vocabulary" / f"{feature}.txt").read_bytes().split(b"\n")[:-1]


def ids_by_token(data, feature):
    return {token: 2 + place for place, token in enumerate(tokens_of(data, feature))}


def tables_of(model):
    paths = {id(variable): path for path, variable in variable_paths(model).items()}
    return {(paths[id(t.variable)], t.feature, t.is_quotient): t for t in model.id_tables()}


def rows_of(table):
    """All rows of a feature."""
    return table.variable.numpy()[table.first_row : table.first_row + table.rows]


def vector(table, number):
    """The row of one id."""
    return rows_of(table)[int(main_row(tf.constant(number, tf.int64), table.plan))]


def lines_of(start):
    return {(line.variable, line.feature): line for line in start.tables}
