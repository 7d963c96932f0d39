"""A sequence model in production: behind the server, as the first stage of a cascade, as what a ranking model reads."""

import contextlib
import io

import numpy as np
import pytest
import tensorflow as tf
import yaml

from serving import load_users
from serving.client import Client
from serving.server.model_server import ModelServer
from serving.server.options import ModelOptions, ServerOptions
from serving.users import Event, UserLookup, open_store
from tests.trainer.planted_world import DATASET_YAML, World, quiet_console, shared_root
from tfrec.config_file import parse_config
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.feature_transform import FeatureTransform
from tfrec.metrics import auc
from trainer import user_vectors
from trainer.config import resolve_config
from trainer.export import main as export_main
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job
from transforms.dataset import write_dataset
from transforms.dataset_config import DatasetConfig

SMALL = ("model.embedding_dim=16", "model.encoder={layers: 1}", "train.epochs=6", "train.batch_size=600",
         "train.learning_rate=0.01", "train.schedule.warmup_steps=20")  # fmt: skip
CANDIDATES = 15

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(shared_root(tmp_path_factory))


@pytest.fixture(scope="module")
def job(world):
    return world.job("transformer", *SMALL)


@pytest.fixture(scope="module")
def ranker(world):
    reads = "model.features=[user_id, item_id, history, genres]"
    return world.job("deepfm", "train.epochs=1", "model.hidden_units=[8]", "model.embedding_dim=4", reads)


@pytest.fixture(scope="module")
def target(job, ranker, tmp_path_factory):
    """A server with the sequence model, the ranking model, and the cascade of the two."""
    cascade = tmp_path_factory.mktemp("served") / "cascade"
    flags = ["--job-dir", str(job.path), "--ranker", str(ranker.path), "--output", str(cascade)]
    with contextlib.redirect_stdout(io.StringIO()):
        export_main([*flags, "--set", f"candidates={CANDIDATES}", "--checks", "quick"])
    places = {"transformer": job.export("transformer"), "deepfm": ranker.export("deepfm"), "cascade": cascade}
    models = tuple(ModelOptions(name, path) for name, path in places.items())
    with ModelServer(ServerOptions(models=models, port=0)) as server:
        yield server.target


@pytest.fixture(scope="module")
def client(target):
    with Client(target, timeout_seconds=120) as found:
        yield found


@pytest.fixture(scope="module")
def trained(job):
    """(model, data, transform)."""
    model, data, _ = load_model(job)
    return model, data, FeatureTransform(data.schema, data.dataset.transform)


def best_by_the_model(trained, history, k):
    """What the model itself puts first after a history, without what stands in it: (item, score) from the best on."""
    model, data, transform = trained
    raw = {"user_id": tf.constant(["nobody"]), "history": tf.constant([history])}
    scores = model.scores(transform(raw)).numpy()[0]
    ids = [item.decode() for item in data.catalogue.ids]
    unseen = [(item, float(score)) for item, score in zip(ids, scores, strict=True) if item not in history]
    return sorted(unseen, key=lambda pair: -pair[1])[:k]


def test_a_server_answers_each_longer_history_as_the_model_does(client, trained):
    _, data, _ = trained
    history, answers = [], []
    for item in [item.decode() for item in data.catalogue.ids[[3, 40, 71, 12]]]:
        history.append(item)
        found = client.recommend("transformer", "", k=10, history=history)
        expected = best_by_the_model(trained, history, 10)
        assert list(found.ids) == [item for item, _ in expected]
        np.testing.assert_allclose(found.scores, [score for _, score in expected], rtol=1e-4, atol=1e-4)
        answers.append(tuple(found.ids))
    assert len(set(answers)) == len(answers)


def test_an_event_that_a_store_hears_of_changes_the_answer_to_the_user_id_alone(world, target, trained, tmp_path):
    address = f"sqlite:{tmp_path}/users.db"
    with contextlib.redirect_stderr(io.StringIO()):
        load_users.main(["--dataset", str(world.dataset()), "--store", address])
    store = open_store(address)
    lookup = UserLookup(store, timeout_seconds=60)
    with Client(target, 120, users=lookup) as client:
        client.recommend("transformer", "u00003", k=5)
        for item in [item.decode() for item in trained[1].catalogue.ids[[5, 60]]]:
            lookup.append("u00003", Event(item, label=5))
            history = list(store.get(["u00003"])[0].sequences["history"])
            assert history[-1] == item
            found = client.recommend("transformer", "u00003", k=5, exclude_seen=False, exclude=history)
            assert list(found.ids) == [item for item, _ in best_by_the_model(trained, history, 5)]
    store.close()


@pytest.mark.parametrize("user", ["u00003", "nobody"])
def test_a_cascade_ranks_what_the_sequence_model_finds_for_the_history_of_the_request(client, trained, user):
    ids = [item.decode() for item in trained[1].catalogue.ids]
    answers = []
    for history in (ids[10:13], ids[10:14], ids[50:53]):
        candidates = client.recommend("transformer", user, k=CANDIDATES, history=history)
        ranked = client.rank("deepfm", user, list(candidates.ids), history=history)
        found = client.recommend("cascade", user, k=5, history=history)
        assert list(found.ids) == list(ranked.ids[:5])
        np.testing.assert_allclose(found.scores, ranked.scores[:5], rtol=1e-4)
        answers.append(tuple(found.ids))
    assert len(set(answers)) == len(answers)


def test_a_ranking_model_learns_more_with_the_vectors_of_the_sequence_model(world, job, tmp_path):
    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("events.csv", "items.csv"):
        (logs / name).write_bytes((world.logs / name).read_bytes())
    with contextlib.redirect_stderr(io.StringIO()) as heard:
        flags = ["--job-dir", str(job.path), "--join", str(world.logs / "users.csv")]
        user_vectors.main([*flags, "--output", str(logs / "users.csv")])
    said = yaml.safe_load(heard.getvalue().partition("\n")[2])  # what it says to put into dataset.yaml
    content = yaml.safe_load(DATASET_YAML)
    content["users"] = said["users"]
    content["features"] |= said["features"]
    write_dataset(parse_config(yaml.safe_dump(content), DatasetConfig, ()), str(logs), str(tmp_path / "dataset"))
    dataset = DatasetDirectory(tmp_path / "dataset")
    model, data, _ = load_model(job)
    expected = model.embed_users({name: tf.constant(data.validation[name]) for name in model.required_features}).numpy()
    users = read_part(dataset, "users")
    written = dict(zip(users[RAW_PREFIX + "user_id"], users["user_vector"], strict=True))
    for row, user in enumerate(data.validation["user_index"]):
        np.testing.assert_allclose(written[data.user_ids[user]], expected[row], rtol=1e-5, atol=1e-6)

    def auc_with(features):
        identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
        settings = ("train.epochs=6", "model.hidden_units=[16]", "model.embedding_dim=8", "train.learning_rate=0.01")
        config = resolve_config("deepfm", None, (*settings, f"model.features=[{features}]"), **identity)
        found = JobDirectory(tmp_path / features.replace(", ", "-"))
        run_job(config, found, quiet_console(), must_evaluate=False)
        ranked, of_job, _ = load_model(found)
        records = {name: np.concatenate([of_job.split(s)[name] for s in ("validation", "test")]) for name in
                   {*ranked.required_features, "label"}}  # fmt: skip
        predicted = ranked.predictions({name: tf.constant(records[name]) for name in ranked.required_features}).numpy()
        return auc(records["label"], predicted)

    without, with_vectors = auc_with("item_id"), auc_with("item_id, user_vector")
    print(f"AUC {without:.3f} without, {with_vectors:.3f} with the vectors")
    assert with_vectors > without + 0.03
