"""A model that is put together from jobs of others: NeuMF from a job of GMF and one of the perceptron."""

import io

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console

from tests.trainer.grown_world import SHORT, earlier_job, grown_data, ids_by_token, rows_of, tables_of
from tfrec.errors import ConfigError
from trainer import task
from trainer.config import load_job_config
from trainer.evaluation.validation import Validation
from trainer.job import JobDirectory
from trainer.model import build_model, load_model
from trainer.warm_start.report import print_warm_start
from trainer.warm_start.start import warm_starts

LAYERS = "model.layers=2"
TRAINED = ("train.learning_rate=0.05", "train.average_decay=null", "evaluation.baselines=[]")
NEUMF = ("train.epochs=2", "train.batch_size=512", "model.gmf_dim=4", "model.mlp_dim=4", LAYERS)


@pytest.fixture(scope="module")
def parts(world):
    return earlier_job(world, "gmf", *TRAINED), earlier_job(world, "ncf_mlp", *TRAINED, LAYERS)


def started(world, data, jobs, *overrides, seed=9):
    """(NeuMF after the warm start, what was taken over)."""
    config = world.config("neumf", *NEUMF, *overrides, seed=seed)
    config = config.model_copy(update={"warm_start_from": tuple(str(job.path) for job in jobs)})
    model = build_model(config, data)
    return model, warm_starts(model, config, data)


@pytest.mark.parametrize("alpha", [0.5, 0.25])
@pytest.mark.parametrize("is_turned", [False, True])
def test_it_starts_with_the_weighted_scores_of_both(world, parts, alpha, is_turned):
    (gmf, data, _), (mlp, _, _) = (load_model(job) for job in parts)
    model, starts = started(world, data, parts[::-1] if is_turned else parts, f"model.alpha={alpha}")
    model.refresh()
    counts = data.model_inputs.train.item_counts()
    users = {"user_id": tf.range(2, 302, dtype=tf.int64)}
    of_gmf, of_mlp, found = (one.scores(users).numpy()[:, counts > 0] for one in (gmf, mlp, model))
    assert np.std(of_gmf) > 0.1
    assert np.std(of_mlp) > 0.1
    np.testing.assert_allclose(found, alpha * of_gmf + (1 - alpha) * of_mlp, rtol=1e-5, atol=1e-5)
    assert not any(start.fresh for start in starts)


def test_rows_follow_their_tokens_from_both_jobs(world, parts):
    grown = grown_data(world)
    model, starts = started(world, grown, parts)
    now = ids_by_token(grown, "item_id")
    moved = 0
    for job, place in zip(parts, ("_gmf", "_mlp"), strict=True):
        earlier, data, _ = load_model(job)
        key = (f"{place}/items/variable", "item_id", False)
        rows, before, was = (
            rows_of(tables_of(model)[key]),
            rows_of(tables_of(earlier)[key]),
            ids_by_token(data, "item_id"),
        )
        for token in was.keys() & now.keys():
            np.testing.assert_array_equal(rows[now[token]], before[was[token]])
            moved += was[token] != now[token]
    assert moved > 50
    console = Console(file=io.StringIO(), width=80)
    for start in starts:
        print_warm_start(console, start)
    said = console.file.getvalue()
    assert f"warm start from {parts[0].path}" in said
    assert "copied whole: _gmf/output, _gmf/output_bias" in said
    assert "[_mlp/items/variable]" in said


def test_training_goes_on_from_there_and_a_resumed_job_does_not_start_again(world, parts, tmp_path):
    job, flags = JobDirectory(tmp_path / "job"), []
    for part in parts:
        flags += ["--warm-start-from", str(part.path)]
    for override in (*NEUMF, "train.optimizer=sgd", "evaluation.baselines=[]"):
        flags += ["--set", override]
    command = ["--dataset", str(world.dataset()), "--model", "neumf", "--job-dir", str(job.path), "--no-export", *flags]
    task.main(command)
    assert load_job_config(job.config).warm_start_from == tuple(str(part.path) for part in parts)
    fresh = build_model(world.config("neumf", *NEUMF), world.data())
    assert job.read_metrics()["train/best_ndcg_at_10"] > 2 * Validation(fresh, world.data())()["ndcg_at_10"]
    weights = load_model(job)[0].trainable_variables
    task.main(command)
    assert all(np.array_equal(*pair) for pair in zip(weights, load_model(job)[0].trainable_variables, strict=True))


def test_a_part_alone_or_twice_or_of_another_model_is_refused_in_one_line(world, parts):
    gmf, mlp = parts
    deepfm = earlier_job(world, "deepfm", "model.features=[user_id, item_id, genres]")
    needed = "this one of neumf; name a job of the same model, or one job each of gmf and ncf_mlp"
    for jobs, said in (
        ((gmf,), "is a job of the model gmf"),
        ((gmf, gmf), "are jobs of the models gmf, gmf"),
        ((gmf, mlp, mlp), "are jobs of the models gmf, ncf_mlp, ncf_mlp"),
        ((gmf, deepfm), "are jobs of the models gmf, deepfm"),
    ):
        with pytest.raises(ConfigError) as caught:
            started(world, world.data(), jobs)
        given = " ".join(f"--warm-start-from {job.path}" for job in jobs)
        assert str(caught.value) == f"{given}: {said}, {needed}"
    config = world.config("gmf", *SHORT).model_copy(update={"warm_start_from": (str(gmf.path), str(mlp.path))})
    with pytest.raises(ConfigError, match=r"are jobs of the models gmf, ncf_mlp, this one of gmf; name a job of the"):
        warm_starts(build_model(config, world.data()), config, world.data())


def test_parts_of_other_shapes_are_refused_with_the_key_that_mends_it(world, parts):
    with pytest.raises(ConfigError, match=r"_gmf/users/variable has rows of 4 numbers, here 6; set model.gmf_dim=4$"):
        started(world, world.data(), parts, "model.gmf_dim=6")
    with pytest.raises(ConfigError, match=r"_mlp/users/variable has rows of 4 numbers, here 6; set model.mlp_dim=4$"):
        started(world, world.data(), parts, "model.mlp_dim=6")
    with pytest.raises(
        ConfigError, match=r"_mlp/tower/output has the shape \(2, 1\), here \(1, 1\); give both jobs layers"
    ):
        started(world, world.data(), parts, "model.layers=3")


def test_an_older_job_that_named_one_or_none_is_still_read(world, parts):
    text = parts[0].config.read_text()
    assert "warm_start_from: []" in text
    for written, expected in (("null", ()), ("jobs/monday", ("jobs/monday",))):
        copy = parts[0].path.parent / f"as_{len(expected)}.yaml"
        copy.write_text(text.replace("warm_start_from: []", f"warm_start_from: {written}"))
        assert load_job_config(copy).warm_start_from == expected
