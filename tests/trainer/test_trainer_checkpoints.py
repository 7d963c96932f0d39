"""What a job keeps on disk: a damaged part is named or mended, and another job's is not taken over."""

import os
import shutil

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ArtifactError, ConfigError
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.request.environment import Places
from trainer.run import make_deterministic, run_job
from trainer.training.diverged import save_batch

# So slow that the second epoch is better than the first, and both are kept.
SETTINGS = ("train.epochs=2", "train.learning_rate=0.0003", "model.embedding_dim=4", "model.hidden_units=[8]")


@pytest.fixture(scope="module")
def trained(world, tmp_path_factory):
    job = JobDirectory(tmp_path_factory.mktemp("trained") / "job")
    run_job(world.config("deepfm", *SETTINGS), job, quiet_console(), must_evaluate=False)
    return job


@pytest.fixture
def job(trained, tmp_path):
    copy = JobDirectory(tmp_path / "job")
    shutil.copytree(trained.path, copy.path)
    for directory in (copy.latest_checkpoints, copy.best_checkpoint):  # TensorFlow's list holds relative names
        assert str(trained.path) not in (directory / "checkpoint").read_text()
    return copy


def weights(job):
    return [variable.numpy() for variable in load_model(job)[0].state]


def test_checkpoints_of_another_job_in_a_shared_directory_are_refused(world, tmp_path):
    places = Places(checkpoints=tmp_path / "shared")
    first, second = (JobDirectory(tmp_path / name, places) for name in ("first", "second"))
    run_job(world.config("deepfm", *SETTINGS), first, quiet_console(), must_evaluate=False)
    before = {path: path.read_bytes() for path in (tmp_path / "shared").rglob("*") if path.is_file()}
    with pytest.raises(ConfigError, match=r"second: .*shared holds checkpoints of another job; name a directory"):
        run_job(world.config("deepfm", *SETTINGS, seed=2), second, quiet_console(), must_evaluate=False)
    assert {path: path.read_bytes() for path in (tmp_path / "shared").rglob("*") if path.is_file()} == before


def test_a_list_of_checkpoints_that_a_power_cut_left_empty_is_written_anew(job, trained):
    (job.best_checkpoint / "checkpoint").write_bytes(b"")
    assert all(np.array_equal(a, b) for a, b in zip(weights(job), weights(trained), strict=True))


def test_a_torn_best_checkpoint_leaves_the_best_one_before_it(job, trained, capsys):
    indices = sorted(job.best_checkpoint.glob("ckpt-*.index"))
    assert len(indices) == 2, "both epochs were better than what was there before"
    newest = indices[-1].with_suffix(".data-00000-of-00001")
    newest.write_bytes(newest.read_bytes()[:100])
    found = weights(job)
    assert "is torn" in (said := capsys.readouterr().err)
    assert said.endswith("; the best weights before it are taken\n")
    assert not all(np.array_equal(a, b) for a, b in zip(found, weights(trained), strict=True))
    for path in job.best_checkpoint.glob("*.data-*"):
        path.write_bytes(b"")
    with pytest.raises(ArtifactError, match=r"is torn .*; train again in a new --job-dir"):
        load_model(job)


def test_of_several_machines_each_keeps_its_rows_of_the_batch_that_diverged(tmp_path):
    job = JobDirectory(tmp_path)
    for number in range(2):
        save_batch(job, {"label": tf.fill([3], number)}, 4, 5, (number, 2))
    for number in range(2):
        with np.load(tmp_path / "diverged" / f"batch-{number}.npz") as found:
            assert found["label"].tolist() == [number] * 3


def test_scatters_need_no_copies_of_tables_to_be_deterministic(monkeypatch):
    # Where TensorFlow is to be deterministic, a scatter on a GPU copies its table, unless it is told that rows differ.
    monkeypatch.delenv("TF_DISABLE_SCATTER_OP_DETERMINISM", raising=False)
    make_deterministic(1)
    assert os.environ["TF_DISABLE_SCATTER_OP_DETERMINISM"] == "1"
