"""Baselines beside a model: tuned on validation alone, their settings kept, taken over, and refused."""

import json
import re
import shutil

import pytest

from tests.trainer.planted_world import quiet_console
from tests.trainer.quick_evaluations import FEW, QUICK, fitted_popularity, metrics_of, quick_job
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from trainer.checks.memory import Device
from trainer.data import JobData
from trainer.evaluation import baselines
from trainer.evaluation.choices import Choice, open_choices
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.metrics import evaluate_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job


@pytest.fixture(scope="module")
def job(world):
    return quick_job(world)


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
