"""The type of the next event from the log to the served answer, in a world whose best log loss is known."""

import csv
import io
import math

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from sklearn.metrics import accuracy_score, log_loss

from tests.trainer.planted_world import quiet_console
from tfrec.config_file import parse_config
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from trainer.config import resolve_config
from trainer.evaluation.table import print_metrics
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.report.results import JobResults
from trainer.report.write import write_report
from trainer.run import run_job

DATASET_YAML = """
name: funnel
events: {files: events.csv}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  event_type: {role: context, kind: categorical}
  history: {role: user, kind: sequence, length: 10}
  types: {role: user, kind: sequence, length: 10, of: event_type}
timestamp: {column: time, unit: s}
split: {strategy: leave_one_out}
"""
NEXT = {"view": {"view": 0.5, "cart": 0.5}, "cart": {"buy": 1.0}, "buy": {"view": 1.0}}
SETTINGS = ("model.embedding_dim=16", "model.encoder={layers: 1, heads: 2, dropout: 0}", "train.batch_size=200",
            "train.epochs=12", "train.patience=12", "train.learning_rate=0.01", "train.schedule={kind: constant}",
            "evaluation.baselines=[]", "evaluation.exclude=nothing", "model.context_features=[event_type]",
            "model.predicted_features=[event_type]")  # fmt: skip


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    root, random = tmp_path_factory.mktemp("funnel"), np.random.default_rng(6)
    (root / "logs").mkdir()
    with (root / "logs" / "events.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["user_id", "item_id", "event_type", "time"])
        for user in range(200):
            kind = "view"
            for step in range(int(random.integers(9, 16))):
                kind = str(random.choice(list(NEXT[kind]), p=list(NEXT[kind].values())))
                item = "vcb".index(kind[0]) * 10 + random.integers(10)
                writer.writerow([f"u{user:03d}", f"i{item:02d}", kind, 1_700_000_000 + 3600 * step])
    write_dataset(parse_config(DATASET_YAML, DatasetConfig, ()), str(root / "logs"), str(root / "dataset"))
    return DatasetDirectory(root / "dataset")


@pytest.fixture(scope="module")
def job(dataset, tmp_path_factory):
    found = JobDirectory(tmp_path_factory.mktemp("job") / "job")
    identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
    run_job(resolve_config("transformer", None, SETTINGS, **identity), found, quiet_console())
    return found


@pytest.fixture(scope="module")
def trained(job):
    return load_model(job)


def tokens_of(data):
    return (data.dataset.path / "vocabulary" / "event_type.txt").read_text().split()


def test_the_type_of_the_next_event_is_said_nearly_as_well_as_the_world_allows(job, trained):
    _, data, _ = trained
    tokens, metrics = tokens_of(data), job.read_metrics()
    for split in ("validation", "test"):
        records = data.split(split)
        lengths = (records["history"] != 0).sum(axis=1)
        lasts = [tokens[types[length - 1] - 2] for types, length in zip(records["types"], lengths, strict=True)]
        truth = [tokens[one - 2] for one in records["event_type"]]
        best = np.mean([-math.log(NEXT[last][one]) for last, one in zip(lasts, truth, strict=True)])
        found, usual = (metrics[f"{split}/{prefix}event_type_log_loss"] for prefix in ("", "training_shares/"))
        print(f"{split}: log loss {found:.3f}, at best {best:.3f}, shares of the training {usual:.3f}")
        assert best - 0.05 < found < best + 0.1
        assert usual > best + 0.4


def test_the_metrics_are_those_of_another_library(job, trained):
    model, data, _ = trained
    records, metrics = data.test, job.read_metrics()
    features = {name: tf.constant(records[name]) for name in model.required_features}
    said = model.context_probabilities(features)["event_type"].numpy().astype(float)
    said /= said.sum(axis=1, keepdims=True)  # beyond the last bit of float32
    truth = records["event_type"] - 2
    assert metrics["test/event_type_log_loss"] == pytest.approx(log_loss(truth, said, labels=[0, 1, 2]), rel=1e-5)
    assert metrics["test/event_type_accuracy"] == pytest.approx(accuracy_score(truth, said.argmax(axis=1)))
    counts = np.bincount(data.train["event_type"] - 2) + 1
    usual = np.tile(counts / counts.sum(), (len(truth), 1))
    expected = log_loss(truth, usual, labels=[0, 1, 2])
    assert metrics["test/training_shares/event_type_log_loss"] == pytest.approx(expected, rel=1e-5)
    assert "training_shares" not in JobResults(job).baselines  # it makes no lists


def test_people_see_it_beside_the_shares_of_the_training(job, trained):
    model, data, _ = trained
    metrics, text = job.read_metrics(), io.StringIO()
    print_metrics(Console(file=text, width=200), "transformer", metrics)
    (row,) = [line for line in text.getvalue().splitlines() if " test " in line and "event_type_log_loss" in line]
    for prefix in ("", "training_shares/"):
        assert f"{metrics[f'test/{prefix}event_type_log_loss']:.4f}" in row
    page = write_report(job, model=model, data=data).read_text()
    table = page[page.index("What the next event is besides its item") :].partition("</table>")[0]
    assert f"{metrics['test/event_type_accuracy']:.4f}" in table
    assert f"{metrics['test/training_shares/event_type_log_loss']:.4f}" in table


def test_the_items_of_a_request_are_those_of_the_type_that_it_names(trained):
    """After a view comes a view or a cart: which of them is asked for the history cannot know."""
    model, data, _ = trained
    tokens, records = tokens_of(data), data.test
    lasts = np.take_along_axis(records["types"], (records["history"] != 0).sum(axis=1, keepdims=True) - 1, axis=1)
    after_view = lasts[:, 0] == 2 + tokens.index("view")
    for kind in NEXT["view"]:
        asked = {name: records[name][after_view] for name in model.required_features}
        asked["event_type"] = np.full(after_view.sum(), 2 + tokens.index(kind))
        best = model.scores({name: tf.constant(values) for name, values in asked.items()}).numpy().argmax(axis=1)
        assert np.mean([int(data.catalogue.ids[item][1:]) // 10 == "vcb".index(kind[0]) for item in best]) > 0.9


def test_the_served_model_names_the_types_the_most_probable_first(job, trained):
    model, data, _ = trained
    served = tf.saved_model.load(str(export_job(job, checks="quick"))).signatures["next_context"]
    users = read_part(data.dataset, "users")
    row = 7
    looked_up = {"user_id": users[RAW_PREFIX + "user_id"][[row]]}
    given = {"user_id": ["nobody"], "history": [["i03", "i11"]], "types": [["view", "cart"]]}
    for asked in (looked_up, given):
        inputs = {}
        for name, spec in served.structured_input_signature[1].items():
            inputs[name] = tf.constant(asked.get(name, [[""]] if spec.shape.rank == 2 else [""]), spec.dtype)
        found = {name: value.numpy()[0] for name, value in served(**inputs).items()}
        assert set(found) == {"event_type", "event_type_probabilities"}
        assert (np.diff(found["event_type_probabilities"]) <= 0).all()
        if asked is given:
            assert found["event_type"][0] == b"buy"
            assert found["event_type_probabilities"][0] > 0.8
            continue
        features = {name: tf.constant(users[name][[row]]) for name in model.required_features if name in users}
        features["event_type"] = tf.constant([0], tf.int64)
        said = model.context_probabilities(features)["event_type"].numpy()[0]
        expected = {token.encode(): share for token, share in zip(tokens_of(data), said, strict=True)}
        pairs = zip(found["event_type"], found["event_type_probabilities"], strict=True)
        assert dict(pairs) == {token: pytest.approx(share, rel=1e-4) for token, share in expected.items()}
