"""The embedding projector's files, as TensorBoard's own plugin reads and serves them."""

import json

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing import data_provider, plugin_event_multiplexer
from tensorboard.plugins import base_plugin
from tensorboard.plugins.projector import projector_plugin
from werkzeug.test import Client

from tests.trainer.planted_world import DEEPFM, read_csv
from trainer.model import build_model, load_model
from trainer.watch.projector import write_projector


class Served:
    """What the browser gets from a log directory."""

    def __init__(self, logdir):
        multiplexer = plugin_event_multiplexer.EventMultiplexer()
        multiplexer.AddRunsFromDirectory(str(logdir))
        multiplexer.Reload()
        provider = data_provider.MultiplexerDataProvider(multiplexer, str(logdir))
        context = base_plugin.TBContext(logdir=str(logdir), data_provider=provider, multiplexer=multiplexer)
        self._apps = projector_plugin.ProjectorPlugin(context).get_plugin_apps()

    def get(self, route, **query):
        response = Client(self._apps[route]).get("/", query_string=query)
        assert response.status_code == 200, response.text
        return response

    def embedding(self):
        """(vectors, lines of the metadata) of the only run that has any."""
        (run,) = self.get("/runs").json
        (found,) = json.loads(self.get("/info", run=run).text)["embeddings"]
        shape, name = found["tensorShape"], found["tensorName"]
        tensor = self.get("/tensor", run=run, name=name, num_rows=shape[0]).data
        metadata = self.get("/metadata", run=run, name=name, num_rows=shape[0]).text
        rows = [line.split("\t") for line in metadata.splitlines()]
        return np.frombuffer(tensor, np.float32).reshape(shape), rows


@pytest.fixture(scope="module")
def counts(world):
    """Item id → training events, by a loop."""
    data = world.data()
    found = dict.fromkeys((item.decode() for item in data.catalogue.ids), 0)
    for index in data.train["item_index"]:
        found[data.catalogue.ids[index].decode()] += 1
    return found


@pytest.fixture
def logs(tmp_path):
    """A log directory with an event file, as training leaves it."""
    directory = tmp_path / "job" / "logs"
    with tf.summary.create_file_writer(str(directory)).as_default(step=1):
        tf.summary.scalar("train/loss", 1.0)
    return directory


@pytest.mark.parametrize("above", [0, 1, 2])
def test_tensorboard_shows_the_vectors_of_a_tower_with_titles(world, logs, counts, above):
    """Whether it is started on the logs, on the job or on a directory of jobs."""
    model, data, _ = load_model(world.job("two_tower"))
    assert write_projector(model, data, logs) == 121
    vectors, rows = Served([logs, *logs.parents][above]).embedding()
    titles = {row["item_id"]: row["title"] for row in read_csv(world.logs / "items.csv")}
    assert rows[0] == ["item_id", "title", "events"]
    assert {row[0] for row in rows[1:]} == set(titles)
    assert all(row[1:] == [titles[row[0]], str(counts[row[0]])] for row in rows[1:])
    column = {item.decode(): index for index, item in enumerate(data.catalogue.ids)}
    expected = model._item_vectors.numpy()[[column[row[0]] for row in rows[1:]]]
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-7)


def test_only_the_most_frequent_items_are_written(world, logs, counts):
    model, data, _ = load_model(world.job("two_tower"))
    assert write_projector(model, data, logs, most_items=10) == 10
    vectors, rows = Served(logs).embedding()
    assert len(vectors) == len(rows) - 1 == 10
    events = [int(row[-1]) for row in rows[1:]]
    assert events == sorted(counts.values(), reverse=True)[:10]


@pytest.mark.parametrize("table", [None, "{kind: hashed, rows: 50}", "{kind: quotient_remainder}"])
def test_a_ranker_shows_its_vectors_of_the_item_ids(world, logs, table):
    data = world.data()
    overrides = (*DEEPFM, "model.features=[item_id, age_in_years]", "model.embedding_dim=5")
    config = world.config("deepfm", *overrides, *([f"model.tables.item_id={table}"] if table else []))
    model = build_model(config, data)
    assert write_projector(model, data, logs) == 121
    vectors, rows = Served(logs).embedding()
    column = {item.decode(): index for index, item in enumerate(data.catalogue.ids)}
    order = [column[row[0]] for row in rows[1:]]
    features = {"item_id": data.catalogue.features["item_id"][order], "age_in_years": np.zeros(121, np.float32)}
    expected = model.embedding({name: tf.constant(values) for name, values in features.items()}).vectors[:, 0]
    np.testing.assert_allclose(vectors, expected, rtol=1e-5, atol=1e-7)


def test_tabs_and_line_breaks_of_a_title_do_not_break_its_row(world, logs):
    data = world.data()
    data.catalogue.display["title"][:3] = [b"a\tb\nc", b"", b"\xff\xe2\x80\xa8bad"]
    write_projector(build_model(world.config("two_tower"), data), data, logs)
    rows = Served(logs).embedding()[1]
    titles = {row[0]: row[1] for row in rows[1:]}
    assert {len(row) for row in rows} == {3}
    ids = [item.decode() for item in data.catalogue.ids[:3]]
    assert [titles[item] for item in ids] == ["a b c", "", "\ufffd bad"]


def test_a_model_without_item_vectors_writes_nothing(world, logs):
    before = sorted(logs.rglob("*"))
    data = world.data()
    assert write_projector(load_model(world.job("popularity"))[0], data, logs) == 0
    ranker = build_model(world.config("deepfm", *DEEPFM, "model.features=[user_id]"), data)
    assert write_projector(ranker, data, logs) == 0
    assert sorted(logs.rglob("*")) == before
