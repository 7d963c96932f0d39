"""A retrieval model that predicts ratings: errors beside its lists, what chooses the epoch, `rank` in the export."""

import math

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.stats
import tensorflow as tf

from tests.trainer.plain_models import REGISTERED, ItemMeans
from tests.trainer.planted_world import quiet_console
from tests.trainer.raw_rows import call
from tfrec.certainty import bootstrap_mean
from tfrec.models import registry
from tfrec.models.base import rates
from trainer.evaluation.validation import Validation, monitor_of, monitors
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.report.comparison import compare_jobs
from trainer.report.comparison_tables import contender_rows, shown_metrics
from trainer.report.ratings import rating_rows
from trainer.report.results import JobResults
from trainer.report.write import write_report
from trainer.run import run_job


@pytest.fixture(scope="module", autouse=True)
def registered():
    with pytest.MonkeyPatch.context() as patch:
        for name, place in REGISTERED.items():
            patch.setitem(registry._MODELS, name, place)
        yield


@pytest.fixture(scope="module")
def job(world, registered, tmp_path_factory):
    world.dataset("ratings", "label={column: rating}")
    job = JobDirectory(tmp_path_factory.mktemp("ratings") / "job")
    run_job(world.config("item_means", dataset="ratings"), job, quiet_console())
    return job


@pytest.fixture(scope="module")
def predicted(job):
    """Split → (labels, predictions), by a loop over the events."""
    _, data, _ = load_model(job)
    train = data.train
    overall = train["label"].mean(dtype=np.float64)
    means = [train["label"][train["item_index"] == i].mean(dtype=np.float64) if i in train["item_index"] else overall
             for i in range(data.catalogue.size)]  # fmt: skip
    return {
        split: (
            data.split(split)["label"].astype(np.float64),
            np.array([means[i] for i in data.split(split)["item_index"]]) + 0.001 * data.split(split)["user_id"],
        )
        for split in ("validation", "test")
    }


@pytest.mark.parametrize("split", ["validation", "test"])
def test_errors_of_the_events_stand_beside_the_metrics_of_the_lists(job, predicted, split):
    metrics, (labels, values) = job.read_metrics(), predicted[split]
    assert metrics[f"{split}/rmse"] == pytest.approx(math.sqrt(np.mean((values - labels) ** 2)), rel=1e-5)
    assert metrics[f"{split}/mae"] == pytest.approx(np.mean(np.abs(values - labels)), rel=1e-5)
    assert metrics[f"{split}/spearman"] == pytest.approx(scipy.stats.spearmanr(labels, values)[0], abs=1e-4)
    assert metrics[f"{split}/kendall"] == pytest.approx(scipy.stats.kendalltau(labels, values)[0], abs=1e-4)
    assert metrics[f"{split}/rmse/low"] < metrics[f"{split}/rmse"] < metrics[f"{split}/rmse/high"]
    assert metrics[f"{split}/rows"] == len(labels) == 300
    assert metrics[f"{split}/item_mean/rmse"] > 0
    assert metrics[f"{split}/ndcg_at_10"] > 0
    assert metrics[f"{split}/users"] > 0
    assert "predicted rating of each event" in metrics["protocol"]["ratings"]


def test_the_interval_draws_whole_users(job, predicted):
    _, data, _ = load_model(job)
    labels, values = predicted["test"]
    users = data.test["user_index"]
    owners = np.unique(users)
    errors = np.array([np.mean((values - labels)[users == owner] ** 2) for owner in owners])
    counts = np.array([np.sum(users == owner) for owner in owners], np.float64)
    interval = bootstrap_mean(errors[:, None], weights=counts, users=owners)
    metrics = job.read_metrics()
    assert metrics["test/rmse/low"] == pytest.approx(math.sqrt(interval.low[0]), rel=1e-4)
    assert metrics["test/rmse/high"] == pytest.approx(math.sqrt(interval.high[0]), rel=1e-4)


def test_predictions_are_kept_event_by_event_beside_the_lists(job, predicted):
    table = pq.read_table(job.predictions / "test.ratings.parquet")
    labels, values = predicted["test"]
    np.testing.assert_allclose(table["prediction"].to_numpy(), values, rtol=1e-5)
    np.testing.assert_array_equal(table["label"].to_numpy(), labels)
    assert (job.predictions / "test.parquet").exists()


def test_the_error_decides_where_the_model_prefers_it_and_the_dataset_has_ratings(world, job, predicted):
    model, data, config = load_model(job)
    validation = Validation(model, data)
    assert monitor_of(validation, None) == "rmse"
    assert monitor_of(validation, "ndcg_at_10") == "ndcg_at_10"
    found = validation()
    labels, values = predicted["validation"]
    assert found["rmse"] == pytest.approx(math.sqrt(np.mean((values - labels) ** 2)), rel=1e-5)
    assert found["ndcg_at_10"] == pytest.approx(job.read_metrics()["validation/ndcg_at_10"])
    implicit = ItemMeans.Config(is_explicit=False)
    binary = world.data().schema
    assert monitors(ItemMeans, config.model, data.schema)[0] == "rmse"
    for one, schema in ((implicit, data.schema), (config.model, binary)):
        names = monitors(ItemMeans, one, schema)
        assert names[0] == "ndcg_at_10"
        assert "rmse" not in names
        assert not rates(ItemMeans, one, schema)


def test_the_export_ranks_candidates_by_predicted_rating(job):
    model, data, _ = load_model(job)
    exported = tf.saved_model.load(str(export_job(job)))
    assert set(exported.signatures) == {"serving_default", "recommend", "items", "explain", "rank"}
    ids = [item_id.decode() for item_id in data.catalogue.ids[[3, 50, 7]]]
    candidates = tf.constant([["nothing", *ids, ""]] * 2)
    users = tf.constant(["u00003", "nobody"])
    found = call(exported.signatures["rank"], {"user_id": users, "history": tf.constant([[""]])},
                 candidate_ids=candidates)  # fmt: skip
    means = dict(zip(ids, model._means.numpy()[[3, 50, 7]], strict=True))
    order = sorted(ids, key=lambda item_id: -means[item_id])
    for row in found["ids"]:
        assert [item_id.decode() for item_id in row[:3]] == order
        assert set(row[3:]) == {b"nothing", b""}
    assert (found["scores"][:, 3:] == -np.inf).all()
    recommended = call(exported.signatures["recommend"], {"user_id": users, "history": tf.constant([[""]])},
                       k=tf.constant([121]), exclude_seen=tf.constant([False]), exclude_ids=tf.constant([[""]]),
                       allow_ids=tf.constant([[""]]))  # fmt: skip
    by_id = dict(zip(recommended["ids"][0].tolist(), recommended["scores"][0].tolist(), strict=True))
    for item_id, rating in zip(found["ids"][0][:3], found["scores"][0][:3], strict=True):
        assert rating == pytest.approx(by_id[item_id], rel=1e-6)


def test_the_report_has_the_errors_beside_those_of_the_items_mean_and_no_lists_of_it(job):
    metrics, results = job.read_metrics(), JobResults(job)
    rows = rating_rows(results)
    assert [(row.set, row.metric) for row in rows[:4]] == [
        ("test", "RMSE ↓"),
        ("test", "MAE ↓"),
        ("test", "spearman"),
        ("test", "kendall"),
    ]
    assert (rows[0].value, rows[0].low, rows[0].item_mean) == (
        metrics["test/rmse"],
        metrics["test/rmse/low"],
        metrics["test/item_mean/rmse"],
    )
    assert len(rows) == 8
    assert results.baselines == ["popularity"]
    page = write_report(job, path=job.path / "page.html").read_text()
    assert "Predicted ratings of events" in page
    assert f"{metrics['test/rmse']:.4f}" in page


def test_a_comparison_shows_the_errors_that_all_jobs_have(world, job, tmp_path):
    other = JobDirectory(tmp_path / "other")
    run_job(world.config("item_means", dataset="ratings", seed=2), other, quiet_console())
    plain = JobDirectory(tmp_path / "plain")
    run_job(world.config("popularity", dataset="ratings"), plain, quiet_console())
    both = compare_jobs([job.path, other.path])
    metrics = shown_metrics(both)
    assert {"ndcg_at_10", "rmse", "mae", "spearman", "kendall"} <= set(metrics)
    (row, *_) = contender_rows(both)
    assert row.cells[metrics.index("rmse")].mean == pytest.approx(job.read_metrics()["test/rmse"])
    assert "rmse" not in shown_metrics(compare_jobs([job.path, plain.path]))
