"""A whole evaluation: independent of batches and shards, lists that metrics can be computed from, tuned baselines."""

import json
import math
import re
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
import sklearn.metrics

from tests.trainer.planted_world import quiet_console
from tfrec.certainty import bootstrap_mean
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.models.popularity import Popularity, PopularityConfig
from trainer import evaluate
from trainer.checks.memory import Device
from trainer.data import JobData
from trainer.evaluation import baselines, lists
from trainer.evaluation.choices import Choice, open_choices
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.metrics import evaluate_job
from trainer.evaluation.predictions import read_lists
from trainer.evaluation.protocol import require_protocol
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

QUICK = ("train.epochs=2", "train.batch_size=2048", "model.embedding_dim=4")
FEW = "evaluation.baseline_trials=2"


@pytest.fixture(scope="module")
def job(world):
    return world.job("two_tower", *QUICK, FEW, "evaluation.baselines=[popularity, item_knn, ease]")


@pytest.fixture(scope="module")
def ranker(world):
    return world.job("deepfm", "train.epochs=1")


def fitted_popularity(data):
    model = Popularity(PopularityConfig(), data.model_inputs)
    model.fit(data.model_inputs)
    return model


def metrics_of(content):
    return {key: value for key, value in content.items() if "/" in key and not key.startswith(("cost/", "train/"))}


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


# --- Baselines ------------------------------------------------------------------------------------------------------


class Untested(JobData):
    """A dataset whose test split cannot be looked at."""

    @property
    def test(self):
        raise AssertionError("the test split was read")


def test_baselines_are_tuned_on_validation_alone_and_beat_their_default_settings_there(world):
    data = Untested(DatasetDirectory(world.dataset()))
    config = EvaluationConfig(baseline_trials=6)
    for name in ("item_knn", "ease"):
        choice = baselines.tune(name, data, config)
        default = baselines.tune(name, data, EvaluationConfig(baseline_trials=1))
        assert (choice.trials, default.trials, default.overrides) == (6, 1, ())
        assert choice.validation > default.validation
        assert baselines.tune(name, data, config) == choice


@pytest.mark.parametrize(("num_items", "expected"), [(3000, 20), (6694, 10), (10_000, 3), (100_000, 3)])
def test_a_baseline_whose_fit_takes_long_is_tried_with_fewer_settings(world, monkeypatch, num_items, expected):
    """3e12 operations in all, num_items³ a fit, three settings at least."""
    data = world.data()
    monkeypatch.setattr(type(data.catalogue), "size", num_items)
    assert baselines.settings_to_try("ease", data, EvaluationConfig()) == expected
    assert baselines.settings_to_try("ease", data, EvaluationConfig(baseline_trials=2)) == 2
    assert baselines.settings_to_try("item_knn", data, EvaluationConfig()) == 20


def test_settings_that_were_chosen_before_are_used_again_for_the_same_dataset_and_protocol(
    world, job, tmp_path, monkeypatch
):
    written = json.loads(job.baselines.read_text())
    assert set(written["chosen"]) == {"popularity", "item_knn", "ease"}
    model, data, config = load_model(job)
    tuned = []
    monkeypatch.setattr(baselines, "tune", lambda name, *_: tuned.append(name) or Choice((), None, 0))
    found = evaluate_job(model, data, config.evaluation, choices=job.baselines)
    assert tuned == []
    assert metrics_of(found) == pytest.approx(metrics_of(job.read_metrics()), rel=1e-6)
    evaluate_job(model, data, config.evaluation.model_copy(update={"baseline_trials": 3}), choices=job.baselines)
    assert tuned == ["popularity", "item_knn", "ease"]
    tuned.clear()
    torn = tmp_path / "baselines.json"
    torn.write_text("{")
    evaluate_job(model, data, config.evaluation, choices=torn)
    assert tuned == ["popularity", "item_knn", "ease"]


def test_people_hear_what_is_tuned_before_and_how_long_it_took(world, job):
    data, said = world.data(), []
    config = EvaluationConfig(baseline_trials=2, baselines=("popularity", "ease"))
    evaluate_job(fitted_popularity(data), data, config, say=said.append)
    before, after = said
    assert before == (
        "tuning baselines on validation: popularity (2 settings), ease (2 settings); "
        "evaluation.baselines and evaluation.baseline_trials make it shorter"
    )
    assert re.fullmatch(r"baselines tuned and evaluated in \d+\.\d s", after)
    said.clear()
    again = EvaluationConfig(baseline_trials=2, baselines=("ease",), baselines_from=str(job.path))
    evaluate_job(fitted_popularity(data), data, again, say=said.append)
    assert said[0] == "baselines: ease, nothing left to tune"


def test_another_job_takes_over_the_settings_and_passes_them_on(world, job, tmp_path, monkeypatch):
    monkeypatch.setattr(baselines, "tune", lambda name, *_: pytest.fail(f"{name} was tuned"))
    first, second = JobDirectory(tmp_path / "first"), JobDirectory(tmp_path / "second")
    settings = (FEW, "evaluation.baselines=[item_knn, ease]")
    run_job(world.config("popularity", *settings, f"evaluation.baselines_from={job.path}"), first, quiet_console())
    run_job(world.config("popularity", *settings, f"evaluation.baselines_from={first.path}"), second, quiet_console())
    for name in ("item_knn", "ease"):
        key, line = f"test/{name}/ndcg_at_10", f"baseline {name}"
        assert second.read_metrics()[key] == pytest.approx(job.read_metrics()[key])
        assert second.read_metrics()["protocol"][line] == job.read_metrics()["protocol"][line]
    shutil.rmtree(first.path)  # its own file has all that is needed
    run_job(world.config("popularity", *settings, f"evaluation.baselines_from={first.path}"), second, quiet_console())


@pytest.mark.parametrize(
    ("settings", "change", "message"),
    [
        ({"baseline_trials": 7}, {}, "chose with evaluation.baseline_trials 2, this job has 7; leave it out to tune"),
        ({"exclude": "nothing"}, {}, "chose with evaluation.exclude seen, this job has nothing; "),
        ({}, {"for": {"dataset": "abc"}}, "chose with dataset abc, this job has "),
        ({}, {"chosen": {}}, "chose no settings of popularity, item_knn, ease (only of none); "),
        ({}, {"among": "abc"}, "chose ease among the settings of another version; evaluate that job again, or "),
        ({}, {"chosen": [1]}, "its baselines.json cannot be used; evaluate that job again, or leave it out"),
        ({}, None, "has no baselines.json; name an evaluated retrieval job, or leave it out"),
    ],
)
def test_settings_that_were_chosen_for_something_else_are_refused(world, job, tmp_path, settings, change, message):
    if change is not None:
        content = json.loads(job.baselines.read_text())
        content["for"] |= change.get("for", {})
        content["chosen"]["ease"]["among"] = change.get("among", content["chosen"]["ease"]["among"])
        content["chosen"] = change.get("chosen", content["chosen"])
        (tmp_path / "baselines.json").write_text(json.dumps(content))
    config = EvaluationConfig(**{"baseline_trials": 2, "baselines_from": str(tmp_path), **settings})
    with pytest.raises(ConfigError) as caught:
        open_choices(None, None, DatasetDirectory(world.dataset()), config)
    assert str(caught.value).startswith(f"evaluation.baselines_from {tmp_path}: {message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("model", ["popularity", "two_tower"])
def test_a_job_that_cannot_take_over_settings_is_refused_before_it_claims_its_directory(world, tmp_path, model):
    config = world.config(model, *QUICK[:2], f"evaluation.baselines_from={tmp_path}")
    with pytest.raises(ConfigError, match=r"has no baselines\.json; name an evaluated retrieval job"):
        run_job(config, JobDirectory(tmp_path / "job"), quiet_console())
    assert not (tmp_path / "job").exists()


def test_a_baseline_that_does_not_fit_the_memory_is_left_out_with_the_reason(world, monkeypatch):
    data = world.data()
    monkeypatch.setattr(baselines, "machine", lambda: Device("this machine", 120_000))
    found = evaluate_job(fitted_popularity(data), data, EvaluationConfig(baseline_trials=2))
    said = found["protocol"]["baseline ease"]
    assert said.startswith("left out: ease needs")
    assert "for 121 items, more than half of the 120.0 kB free" in said
    assert not [key for key in found if "/ease/" in key]
    assert found["test/popularity/ndcg_at_10"] > 0


def test_popularity_beside_itself_is_the_same(world):
    data = world.data()
    found = evaluate_job(fitted_popularity(data), data, EvaluationConfig(baselines=("popularity",), baseline_trials=1))
    for name in ("ndcg_at_10", "auc", "coverage_at_10"):
        assert found[f"test/{name}"] == found[f"test/popularity/{name}"]


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


# --- Protocols ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("task", "settings", "message"),
    [
        (
            "ranking",
            {"negatives": {"count": 3}},
            "evaluation.negatives: is for retrieval models, and this is a",
        ),
        ("ranking", {"windows": 2, "protocol": "mine"}, "evaluation.windows (of the preset 'mine'): is for retrieval"),
        ("retrieval", {"gauc_by": "request"}, "evaluation.gauc_by: is for ranking models, and this is a retrieval"),
        ("ranking", {"baselines_from": "job"}, "evaluation.baselines_from: is for retrieval models, and this is a"),
        ("ranking", {"gauc_by": "request"}, "evaluation.gauc_by=request: {dataset} has no request ids"),
        (
            "retrieval",
            {"split": "given"},
            "evaluation.split: the protocol is for a dataset split by 'given', ",
        ),
        ("retrieval", {"negatives": {"file": "/none"}}, "evaluation.negatives.file /none: no such file; say --set"),
        ("retrieval", {"baselines": ("two_tower",)}, "evaluation.baselines: two_tower is not a retrieval model that"),
        ("retrieval", {"baselines": ("eas",)}, "unknown model 'eas'; did you mean 'ease'?"),
    ],
)
def test_a_protocol_that_cannot_be_followed_is_refused_before_anything_is_trained(world, task, settings, message):
    dataset = DatasetDirectory(world.dataset())
    with pytest.raises(ConfigError) as caught:
        require_protocol(EvaluationConfig(**settings), task, dataset)
    assert str(caught.value).startswith(message.format(dataset=dataset.path))


def test_windows_need_timestamps(world):
    world.dataset("timeless", "timestamp=null")
    with pytest.raises(ConfigError, match=r"evaluation.windows: .*timeless has no timestamps"):
        require_protocol(EvaluationConfig(windows=2), "retrieval", DatasetDirectory(world.dataset("timeless")))


def test_a_job_is_refused_before_it_claims_its_directory(world, tmp_path):
    config = world.config("two_tower", *QUICK, "evaluation.protocol=ncf", "evaluation.negatives.file=/none")
    with pytest.raises(ConfigError, match="split by 'given'"):
        run_job(config, JobDirectory(tmp_path / "job"), quiet_console())
    assert not (tmp_path / "job").exists()


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("evaluation.protocol=sasreq", "evaluation.protocol: no preset 'sasreq'; did you mean 'sasrec'?"),
        ("evaluation.ks=[0]", "--set: evaluation.ks: got [0]; at least one length is needed, each at least 1"),
        ("evaluation.negative=3", "--set: unknown key 'negative' in 'evaluation'; did you mean 'negatives'?"),
        ("evaluation.baselines=[ease, ease]", "--set: evaluation: baselines: ease, ease has one twice"),
    ],
)
def test_a_mistake_in_the_section_is_one_line(world, setting, message):
    with pytest.raises(ConfigError) as caught:
        world.config("two_tower", setting)
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


def test_a_preset_lies_under_what_is_given_beside_it(world):
    config = world.config("two_tower", "evaluation.protocol=sasrec", "evaluation.negatives.seed=9").evaluation
    assert config.negatives.model_dump() == {
        "count": 100,
        "kind": "uniform",
        "seed": 9,
        "file": None,
        "ties": "lower_index",
    }
    assert (config.protocol, config.split, config.ks, config.windows) == ("sasrec", "leave_one_out", (1, 5, 10), 0)


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
