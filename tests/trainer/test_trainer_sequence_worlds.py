"""A log whose next item follows from the hour and the type of the event: who does not read them cannot know it."""

import csv

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.planted_world import quiet_console
from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.schema import EVENT_TIME_MS
from trainer.ablation.retrain import to_take_away
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

DATASET_YAML = """
name: shop
events: {files: events.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  event_type: {role: context, kind: categorical}
  history: {role: user, kind: sequence, length: 12}
  times: {role: user, kind: sequence, length: 12, of: event_time_ms}
  types: {role: user, kind: sequence, length: 12, of: event_type}
timestamp: {column: time, unit: s}
split: {strategy: leave_one_out}
"""
TYPES, PARTS_OF_DAY, OF_EACH = ("view", "cart", "buy"), 4, 8  # items of each type in each part of the day
ITEMS = len(TYPES) * PARTS_OF_DAY * OF_EACH
HOUR = 3600
SETTINGS = ("model.embedding_dim=32", "model.encoder={layers: 1, heads: 2, dropout: 0}", "train.batch_size=256",
            "train.epochs=15", "train.patience=15", "train.learning_rate=0.01", "train.schedule={kind: constant}",
            "evaluation.baselines=[]", "evaluation.exclude=nothing")  # fmt: skip


def group(kind, part):
    """The items that are taken by this type of event in this part of the day."""
    first = (kind * PARTS_OF_DAY + part) * OF_EACH
    return range(first, first + OF_EACH)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    root, random = tmp_path_factory.mktemp("shop"), np.random.default_rng(6)
    (root / "logs").mkdir()
    with (root / "logs" / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "event_type", "time"])
        for user in range(160):
            for time in np.sort(1_700_000_000 + random.integers(0, 90 * 24 * HOUR, 25)).tolist():
                kind = int(random.integers(len(TYPES)))
                item = random.choice(group(kind, time // HOUR % 24 * PARTS_OF_DAY // 24))
                writer.writerow([f"u{user}", f"i{item}", TYPES[kind], time])
    write_dataset(parse_config(DATASET_YAML, DatasetConfig, ()), str(root / "logs"), str(root / "dataset"))
    return DatasetDirectory(root / "dataset")


def trained(dataset, directory, *overrides):
    """(model, data, config) of a transformer."""
    identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
    job = JobDirectory(directory)
    run_job(resolve_config("transformer", None, (*SETTINGS, *overrides), **identity), job, quiet_console())
    return load_model(job)


@pytest.fixture(scope="module")
def seeing(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("seeing")
    return trained(dataset, root / "job", "model.time=[gap, hour]", "model.context_features=[event_type]")


@pytest.fixture(scope="module")
def timeless(dataset, tmp_path_factory):
    return trained(dataset, tmp_path_factory.mktemp("timeless") / "job", "model.context_features=[event_type]")


@pytest.fixture(scope="module")
def blind(dataset, tmp_path_factory):
    return trained(dataset, tmp_path_factory.mktemp("blind") / "job")


def share_in_group(model, data, kind, part):
    """Of the first items for every test user who came with this type in the middle of this part of the day."""
    records = {name: data.test[name].copy() for name in {*model.required_features, EVENT_TIME_MS, "event_type"}}
    days = records[EVENT_TIME_MS] // (24 * HOUR * 1000)
    records[EVENT_TIME_MS] = ((days + 1) * 24 + part * 24 // PARTS_OF_DAY + 3) * HOUR * 1000
    tokens = (data.dataset.path / "vocabulary" / "event_type.txt").read_text().split()
    records["event_type"][:] = 2 + tokens.index(TYPES[kind])
    scores = model.scores({name: tf.constant(records[name]) for name in model.required_features}).numpy()
    top = np.argsort(-scores, axis=1)[:, :OF_EACH]
    wanted = {f"i{item}".encode() for item in group(kind, part)}
    return np.mean([data.catalogue.ids[item] in wanted for item in top.ravel()])


def shares(model, data):
    return np.array(
        [[share_in_group(model, data, kind, part) for part in range(PARTS_OF_DAY)] for kind in range(len(TYPES))]
    )


def test_a_model_with_time_and_type_knows_what_comes_and_one_without_cannot(seeing, timeless, blind):
    """Known answers: who has no clock gives one list to all parts of the day, which is right for one part in four."""
    found, no_clock, cannot = (shares(*model[:2]) for model in (seeing, timeless, blind))
    print(found.round(2), no_clock.round(2), cannot.round(2))
    assert found.min() > 0.8
    assert 0.2 < no_clock.mean() <= 1 / PARTS_OF_DAY + 1e-9  # it knows the type
    assert cannot.mean() <= 1 / PARTS_OF_DAY / len(TYPES) + 1e-9


def test_all_of_it_can_be_taken_away_and_of_the_blind_one_only_the_order(dataset, seeing, blind):
    columns = {found.what: set(found.columns) for found in to_take_away(seeing[2], JobData(dataset), (), None)}
    assert columns == {
        "context": {"event_type", "types"},
        "time": {EVENT_TIME_MS, "times"},
        "order": {"history", "types"},
    }
    assert [found.what for found in to_take_away(blind[2], JobData(dataset), (), None)] == ["order"]
