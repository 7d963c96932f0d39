"""Warm starts that are refused: one line each, before a weight is changed."""

import shutil

import numpy as np
import pytest

from tests.trainer.grown_world import SHORT, earlier_job, grown_data, started
from tfrec.errors import ArtifactError, ConfigError
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.warm_start.start import warm_start

FEATURES = "model.features=[user_id, item_id, genres]"


@pytest.fixture(scope="module")
def grown(world):
    return grown_data(world)


def refused(world, grown, job, model, *overrides, error=ConfigError):
    with pytest.raises(error) as caught:
        started(world, grown, job, model, *overrides)
    return str(caught.value)


def test_a_job_of_another_model_or_width_is_refused_in_one_line(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    message = refused(world, grown, job, "wide_deep", FEATURES)
    assert message == (
        f"--warm-start-from {job.path}: is a job of the model deepfm, this one of wide_deep; "
        "name a job of the same model"
    )
    message = refused(world, grown, job, "deepfm", FEATURES, "model.embedding_dim=6")
    assert message == (
        f"--warm-start-from {job.path}: its table embedding/_tables/embedding has rows of 4 numbers, here 6; "
        "set model.embedding_dim=4"
    )


def test_a_width_is_refused_before_any_weight_is_changed(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    config = world.config("deepfm", *SHORT, FEATURES, "model.embedding_dim=6", seed=9)
    model, fresh = build_model(config, grown), build_model(config, grown)
    with pytest.raises(ConfigError):
        warm_start(model, config, grown, job.path)
    assert all(np.array_equal(a, b) for a, b in zip(model.trainable_variables, fresh.trainable_variables, strict=True))


def test_what_is_no_job_or_has_no_weights_or_vocabulary_is_refused(world, grown, tmp_path):
    assert "not a job" in refused(world, grown, JobDirectory(tmp_path), "deepfm", error=ArtifactError)
    job = earlier_job(world, "deepfm", FEATURES)
    for part, message in (
        ("checkpoints", "no finished epoch"),
        ("vocabulary", "what the ids of this job mean cannot be read"),
        ("vocabulary/user_id.parquet", "user_id.parquet: cannot be read"),
        ("vocabulary/start.npz", "what the ids of this job mean cannot be read"),
    ):
        copy = JobDirectory(tmp_path / part.replace("/", "_"))
        shutil.copytree(job.path, copy.path)
        found = copy.path / part
        shutil.rmtree(found) if found.is_dir() else found.unlink()
        text = refused(world, grown, copy, "deepfm", FEATURES, error=ArtifactError)
        assert message in text
        assert "\n" not in text


def test_a_torn_checkpoint_is_refused(world, grown, tmp_path):
    copy = JobDirectory(tmp_path / "torn")
    shutil.copytree(earlier_job(world, "deepfm", FEATURES).path, copy.path)
    data_file = next(copy.best_checkpoint.glob("*.data-*"))
    data_file.write_bytes(data_file.read_bytes()[:100])
    assert "torn" in refused(world, grown, copy, "deepfm", FEATURES, error=ArtifactError)


def test_a_model_that_is_counted_needs_no_warm_start(world, grown):
    job = world.job("popularity")
    config = world.config("popularity")
    with pytest.raises(ConfigError, match="popularity is not trained step by step, so it needs no warm start"):
        warm_start(build_model(config, grown), config, grown, job.path)
