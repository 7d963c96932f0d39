"""User vectors from a job to a ranking model: values against the model's own, and a dataset that joins them."""

import contextlib
import io

import numpy as np
import pyarrow.csv
import pyarrow.parquet
import pytest
import tensorflow as tf
import yaml

from tests.trainer.planted_world import DATASET_YAML, quiet_console
from tfrec.config_file import parse_config
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from trainer.config import resolve_config
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job
from trainer.user_vectors import main

DIM = 8


@pytest.fixture(scope="module")
def job(world):
    overrides = (f"model.embedding_dim={DIM}", "train.epochs=2", "evaluation.baselines=[]")
    return world.job("two_tower", *overrides)


@pytest.fixture(scope="module")
def written(job, tmp_path_factory):
    """The file, and what people are told of it."""
    path, heard = tmp_path_factory.mktemp("vectors") / "users.parquet", io.StringIO()
    with contextlib.redirect_stderr(heard):
        main(["--job-dir", str(job.path), "--output", str(path)])
    return path, heard.getvalue()


def by_user(path, column="user_vector"):
    table = pyarrow.parquet.read_table(path)
    return dict(zip(table["user_id"].to_pylist(), table[column].to_pylist(), strict=True))


def test_a_vector_reads_what_came_before_the_first_held_out_event(job, written):
    model, data, _ = load_model(job)
    expected = model.embed_users({name: tf.constant(data.validation[name]) for name in model.required_features}).numpy()
    found = by_user(written[0])
    assert len(found) == len(data.user_ids)
    for row, user in enumerate(data.validation["user_index"]):
        np.testing.assert_allclose(found[data.user_ids[user].decode()], expected[row], rtol=1e-5, atol=1e-7)


def test_the_latest_vectors_read_all_events(job, written, tmp_path):
    with contextlib.redirect_stderr(io.StringIO()):
        main(["--job-dir", str(job.path), "--output", str(tmp_path / "latest.parquet"), "--history", "latest"])
    model, data, _ = load_model(job)
    users = read_part(data.dataset, "users")
    expected = model.embed_users({name: tf.constant(users[name]) for name in model.required_features}).numpy()
    found, before = by_user(tmp_path / "latest.parquet"), by_user(written[0])
    ids = [user.decode() for user in users[RAW_PREFIX + "user_id"]]
    np.testing.assert_allclose([found[user] for user in ids], expected, rtol=1e-5, atol=1e-7)
    assert np.abs(np.array([found[user] for user in ids]) - [before[user] for user in ids]).max() > 0.01


def test_a_ranking_model_learns_from_the_joined_vectors(world, job, written, tmp_path):
    from transforms.dataset import write_dataset
    from transforms.dataset_config import DatasetConfig

    logs = tmp_path / "logs"
    logs.mkdir()
    for name in ("events.csv", "items.csv"):
        (logs / name).write_bytes((world.logs / name).read_bytes())
    with contextlib.redirect_stderr(io.StringIO()) as heard:
        main(["--job-dir", str(job.path), "--join", str(world.logs / "users.csv"), "--output", str(logs / "users.csv")])
    said = yaml.safe_load(heard.getvalue().partition("\n")[2])  # what it says to put into dataset.yaml
    content = yaml.safe_load(DATASET_YAML)
    content["users"] = said["users"]
    content["features"] |= said["features"]
    write_dataset(parse_config(yaml.safe_dump(content), DatasetConfig, ()), str(logs), str(tmp_path / "dataset"))
    dataset = DatasetDirectory(tmp_path / "dataset")
    users, vectors = read_part(dataset, "users"), by_user(written[0])
    for user, vector in zip(users[RAW_PREFIX + "user_id"], users["user_vector"], strict=True):
        np.testing.assert_allclose(vector, vectors[user.decode()], rtol=1e-6)
    assert users["age"].any()  # the table's other columns are still there
    overrides = ("train.epochs=1", "model.features=[item_id, user_vector]", "model.hidden_units=[8]")
    identity = {"dataset": str(dataset.path), "dataset_fingerprint": dataset.fingerprint, "seed": 1}
    metrics = run_job(
        resolve_config("deepfm", None, overrides, **identity), JobDirectory(tmp_path / "ranker"), quiet_console()
    )
    assert np.isfinite(metrics["test/log_loss"])
    assert "user_vector" in load_model(JobDirectory(tmp_path / "ranker"))[0].required_features


def test_what_cannot_be_written_is_said(world, job, tmp_path):
    popularity = world.job("popularity")
    with pytest.raises(ConfigError, match="popularity has no vectors of users"):
        main(["--job-dir", str(popularity.path), "--output", str(tmp_path / "users.csv")])
    with pytest.raises(ConfigError, match=r"--output users.txt: unknown kind of file; allowed: .csv, .parquet"):
        main(["--job-dir", str(job.path), "--output", "users.txt"])
    with pytest.raises(ConfigError, match="has no column 'user_id' of user ids"):
        main(["--job-dir", str(job.path), "--join", str(world.logs / "items.csv"), "--output", str(tmp_path / "a.csv")])
    with pytest.raises(ConfigError, match="--column age: the users table has such a column"):
        main(["--job-dir", str(job.path), "--join", str(world.logs / "users.csv"), "--column", "age",
              "--output", str(tmp_path / "a.csv")])  # fmt: skip
