"""A whole evaluation: independent of batches and shards, lists that metrics can be computed from, the command."""

import json
import math
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics

from tests.trainer.planted_world import quiet_console
from tests.trainer.quick_evaluations import fitted_popularity, metrics_of, quick_job
from tfrec.certainty import bootstrap_mean
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from trainer import evaluate
from trainer.data import JobData
from trainer.evaluation import lists
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.metrics import evaluate_job
from trainer.evaluation.predictions import read_lists
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job


@pytest.fixture(scope="module")
def job(world):
    return quick_job(world)


@pytest.fixture(scope="module")
def ranker(world):
    return world.job("deepfm", "train.epochs=1")


class Shuffled(JobData):
    """The same records in another order, as other shards or workers would give them."""

    def _read(self, name, columns):
        records = super()._read(name, columns)
        order = np.random.default_rng(len(name)).permutation(self.dataset.rows(name))
        return {column: values[order] for column, values in records.items()}


WIDE = EvaluationConfig(windows=2, negatives={"count": 7}, baselines=("item_knn",), baseline_trials=1)


@pytest.fixture(scope="module")
def whole(job):
    """All metrics of the trained two-tower and of a baseline, on every kind of set."""
    model, data, _ = load_model(job)
    found = metrics_of(evaluate_job(model, data, WIDE))
    assert {key.split("/")[0] for key in found} == {
        *("validation", "test", "test_training_history"),
        *("test_window_1", "test_window_2", "test_sampled"),
    }
    return found


@pytest.mark.parametrize("batch_size", [23, 256])
def test_metrics_do_not_depend_on_the_batch_size(job, whole, batch_size):
    model, data, _ = load_model(job)
    config = WIDE.model_copy(update={"batch_size": batch_size})
    assert metrics_of(evaluate_job(model, data, config)) == pytest.approx(whole, rel=1e-9)


def test_metrics_do_not_depend_on_the_order_of_the_records(job, whole):
    model, data, _ = load_model(job)
    assert metrics_of(evaluate_job(model, Shuffled(data.dataset), WIDE)) == pytest.approx(whole, rel=1e-9)


def test_metrics_do_not_depend_on_the_number_of_shards(world, job, whole):
    one, many = world.dataset(), world.dataset("many_shards", "shard_bytes=20000")
    assert len(DatasetDirectory(one).files("test")) == 1
    assert len(DatasetDirectory(many).files("train")) > 3
    model, data, _ = load_model(job, str(many))
    assert metrics_of(evaluate_job(model, data, WIDE)) == pytest.approx(whole, rel=1e-9)


def test_metrics_do_not_depend_on_how_many_users_stand_in_memory_together(monkeypatch, job, whole, tmp_path):
    model, data, _ = load_model(job)
    monkeypatch.setattr(lists, "CHUNK", 37)
    output = JobDirectory(tmp_path)
    found = metrics_of(evaluate_job(model, data, WIDE, output))
    ends = {key for key in whole if key.endswith(("/low", "/high"))}
    assert {k: v for k, v in found.items() if k not in ends} == pytest.approx(
        {k: v for k, v in whole.items() if k not in ends}, rel=1e-9
    )
    # Resampled means of a discrete metric tie with its mean, and rounding decides on which side they count.
    assert {k: found[k] for k in ends} == pytest.approx({k: whole[k] for k in ends}, abs=1e-3)
    assert pq.ParquetFile(output.predictions / "test.parquet").num_row_groups == math.ceil(300 / 37)
    assert read_lists(output.predictions / "test.parquet").users.tolist() == list(range(300))


# --- What is written ------------------------------------------------------------------------------------------------


def plain_means(found, ks):
    """Means over users, by loops over the kept lists."""
    sums = {}
    for row in range(len(found)):
        relevant = set(found.relevant_items[slice(*found.relevant_splits[row : row + 2])].tolist())
        items = [item for item in found.items[row].tolist() if item >= 0]
        assert len(set(items)) == len(items)
        assert (np.diff(found.scores[row][: len(items)]) <= 0).all()
        for k in ks:
            gains = [item in relevant for item in items[:k]]
            ideal = sum(1 / math.log2(rank + 2) for rank in range(min(k, len(relevant))))
            dcg = sum(hit / math.log2(rank + 2) for rank, hit in enumerate(gains))
            for name, value in (
                (f"hit_rate_at_{k}", float(any(gains))),
                (f"recall_at_{k}", sum(gains) / len(relevant)),
                (f"precision_at_{k}", sum(gains) / k),
                (f"ndcg_at_{k}", dcg / ideal),
            ):
                sums[name] = sums.get(name, 0.0) + value
    return {name: total / len(found) for name, total in sums.items()}


def test_any_metric_can_be_computed_again_from_the_kept_lists(job):
    metrics = job.read_metrics()
    names = ["", ".popularity", ".item_knn", ".ease"]
    sets = ["validation", "test", "test_training_history"]
    assert {path.name for path in job.predictions.iterdir()} == {f"{s}{n}.parquet" for s in sets for n in names}
    for name in names:
        found = read_lists(job.predictions / f"test{name}.parquet")
        assert found.items.shape == (300, 100)
        prefix = "/".join(["test", *([name[1:]] if name else [])])
        for metric, value in plain_means(found, (5, 10, 100)).items():
            assert metrics[f"{prefix}/{metric}"] == pytest.approx(value), (prefix, metric)


def test_intervals_are_those_of_a_bootstrap_over_the_kept_users(job):
    metrics, found = job.read_metrics(), read_lists(job.predictions / "test.parquet")
    hits = found.hits[:, :10].any(axis=1).astype(float)
    expected = bootstrap_mean(hits, users=found.users)
    assert metrics["test/hit_rate_at_10/low"] == pytest.approx(expected.low)
    assert metrics["test/hit_rate_at_10/high"] == pytest.approx(expected.high)
    spread = 1.96 * hits.std() / math.sqrt(len(hits))  # the normal approximation
    assert expected.low == pytest.approx(hits.mean() - spread, abs=0.01)
    for name in ("ndcg", "recall", "mrr", "map", "precision", "hit_rate"):
        low, value, high = (metrics[f"test/{name}_at_10{end}"] for end in ("/low", "", "/high"))
        assert low < value < high


def test_costs_are_measured(job):
    metrics, (model, _, _) = job.read_metrics(), load_model(job)
    costs = {key[5:]: value for key, value in metrics.items() if key.startswith("cost/")}
    assert set(costs) == {
        *("train_seconds", "peak_memory_bytes", "model_bytes", "latency_p50_ms", "latency_p99_ms"),
    }
    assert costs["model_bytes"] == sum(variable.numpy().nbytes for variable in model.state)
    assert costs["train_seconds"] == metrics["train/training_seconds"]
    assert 0 < costs["latency_p50_ms"] <= costs["latency_p99_ms"]
    assert 50e6 < costs["peak_memory_bytes"] < 64e9


def test_beyond_accuracy_and_between_groups(job):
    metrics = job.read_metrics()
    found = read_lists(job.predictions / "test.parquet")
    shown = {int(item) for item in found.items[:, :5].ravel()}
    assert metrics["test/coverage_at_5"] == pytest.approx(len(shown) / 121)
    for name in ("novelty", "popularity", "popularity_lift", "diversity", "serendipity", "gini"):
        assert f"test/{name}_at_10" in metrics
    assert sum(metrics[f"test/{group}_exposure_at_10"] for group in ("head", "mid", "tail")) == pytest.approx(1)
    assert 0 < metrics["test/ndcg_gap_by_activity_at_10"] < 1
    assert 0 < metrics["test/auc"] <= 1


def test_a_k_above_the_catalogue_is_said_and_counts_the_missing_places_as_misses(world):
    data = world.data()
    config = EvaluationConfig(ks=(10, 500), baselines=())
    found = evaluate_job(fitted_popularity(data), data, config)
    assert found["protocol"]["ks"] == "above the catalogue of 121 items, where lists end: 500"
    assert found["test/recall_at_500"] == 1
    assert found["test/precision_at_500"] == pytest.approx(1 / 500)


def test_a_set_without_queries_has_no_metrics_instead_of_zeros(world):
    world.dataset("no_validation", "split={strategy: temporal, validation: 0, test: 0.2}")
    data = world.data("no_validation")
    found = evaluate_job(fitted_popularity(data), data, EvaluationConfig(baseline_trials=2))
    assert found["validation/users"] == 0
    assert not [key for key in found if key.startswith("validation/") and key != "validation/users"]
    assert found["protocol"]["validation"].endswith("no user has a query in it")
    assert found["protocol"]["baseline ease"] == "default settings, not tuned"
    assert 0 < found["test/ease/ndcg_at_10"] < 1


# --- Ranking models -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["test", "test.item_mean", "validation"])
def test_predictions_of_a_ranking_model_are_kept_event_by_event(world, ranker, name):
    table = pq.read_table(ranker.predictions / f"{name}.parquet").to_pydict()
    data = world.data()
    split, _, baseline = name.partition(".")
    for column in ("user_index", "item_index", "label", "event_time_ms"):
        assert table[column] == data.split(split)[column].tolist()
    assert set(table) == {"user_index", "item_index", "label", "event_time_ms", "prediction"}
    labels, logits = np.array(table["label"]), np.array(table["prediction"])
    probabilities = 1 / (1 + np.exp(-logits))
    metrics = ranker.read_metrics()
    prefix = "/".join(filter(None, [split, baseline]))
    assert metrics[f"{prefix}/auc"] == pytest.approx(sklearn.metrics.roc_auc_score(labels, logits), abs=1e-6)
    assert metrics[f"{prefix}/log_loss"] == pytest.approx(sklearn.metrics.log_loss(labels, probabilities), rel=1e-5)
    assert metrics[f"{prefix}/pr_auc"] == pytest.approx(
        sklearn.metrics.average_precision_score(labels, logits), abs=1e-4
    )
    assert metrics[f"{prefix}/calibration_ratio"] == pytest.approx(probabilities.sum() / labels.sum(), rel=1e-4)


def test_the_interval_of_the_log_loss_draws_whole_users(ranker):
    metrics = ranker.read_metrics()
    assert metrics["test/log_loss/low"] < metrics["test/log_loss"] < metrics["test/log_loss/high"]
    assert "test/gauc" not in metrics  # one event a user: nothing to compare, so not defined


# --- The command ----------------------------------------------------------------------------------------------------


def test_the_command_evaluates_by_another_protocol_into_another_directory(job, tmp_path, capsys):
    output = tmp_path / "sampled"
    settings = ["--set", "evaluation.baselines=[popularity]", "--set", "evaluation.negatives.count=20"]
    arguments = ["--job-dir", str(job.path), "--protocol", "sasrec", *settings]
    evaluate.main([*arguments, "--output", str(output), "--json"])
    captured = capsys.readouterr()
    printed, found = json.loads(captured.out), JobDirectory(output)
    written = found.read_metrics()
    assert printed == written
    assert "test_sampled" in captured.err
    assert written["test_sampled/ndcg_at_10"] > written["test/ndcg_at_10"]
    assert written["protocol"]["preset"] == "sasrec"
    assert "20 uniform negatives of the user, drawn with seed 1" in written["protocol"]["test_sampled"]
    assert "test/recall_at_20" not in written
    assert written["train/epochs"] == 2
    assert (found.predictions / "test_sampled.popularity.parquet").exists()
    assert "test_sampled/ndcg_at_10" not in job.read_metrics()


def test_lists_of_an_earlier_evaluation_do_not_stay(job, tmp_path):
    arguments = ["--job-dir", str(job.path), "--output", str(tmp_path), "--set", "evaluation.baselines=[popularity]"]
    evaluate.main([*arguments, "--set", "evaluation.windows=2"])
    assert (tmp_path / "predictions" / "test_window_2.parquet").exists()
    evaluate.main(arguments)
    names = {path.name for path in (tmp_path / "predictions").iterdir()}
    assert names == {
        f"{s}{b}.parquet" for s in ("validation", "test", "test_training_history") for b in ("", ".popularity")
    }


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--protocol", "nfc"], "evaluation.protocol: no preset 'nfc'; did you mean 'ncf'?"),
        (["--set", "train.epochs=3"], "--set: unknown key 'train'; allowed: evaluation"),
        (["--set", "evaluation.k=3"], "--set: unknown key 'k' in 'evaluation'; did you mean 'ks'?"),
        (["--output", "{dataset}"], "--output {dataset}: is a dataset; name a new directory"),
        (["--output", "{other}"], "--output {other}: is another job; name a new directory"),
    ],
)
def test_mistakes_of_the_command_are_one_line_with_the_way_out(world, job, ranker, more, message):
    places = {"dataset": world.dataset(), "other": ranker.path}
    with pytest.raises(ConfigError) as caught:
        evaluate.main(["--job-dir", str(job.path), *(part.format(**places) for part in more)])
    assert str(caught.value).startswith(message.format(**places))


def test_another_models_results_are_not_written_over(world, job, tmp_path):
    solved = JobDirectory(tmp_path / "solved")  # has no checkpoints to be known by
    run_job(world.config("item_knn"), solved, quiet_console())
    before = {path.name: path.read_bytes() for path in solved.path.iterdir() if path.is_file()}
    with pytest.raises(ConfigError, match=r"--output .*solved: holds another model's results; name a new directory"):
        evaluate.main(["--job-dir", str(job.path), "--output", str(solved.path)])
    assert {path.name: path.read_bytes() for path in solved.path.iterdir() if path.is_file()} == before


def test_a_solved_model_answers_about_another_dataset_with_what_it_was_solved_from(world, tmp_path):
    job, other = JobDirectory(tmp_path / "solved"), tmp_path / "other"
    shutil.copytree(world.dataset(), other)
    manifest = json.loads((other / "manifest.json").read_text())
    (other / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "other"}))
    for part in (other / "train").iterdir():  # same ids, other training events: here none that could be read
        part.unlink()
    run_job(world.config("item_knn"), job, quiet_console())
    found, data, _ = load_model(job, str(other))
    assert data.dataset.path == other
    for one, same in zip(found.state, load_model(job)[0].state, strict=True):
        np.testing.assert_array_equal(one.numpy(), same.numpy())
