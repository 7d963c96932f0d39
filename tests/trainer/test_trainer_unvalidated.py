"""Training on all rows for a number of epochs that was chosen before."""

import pytest

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ConfigError
from trainer.checks.dry_run import dry_run
from trainer.job import JobDirectory
from trainer.report.write import write_report
from trainer.run import run_job
from trainer.search.plan import SearchPlan

SHORT = ("train.monitor=steps", "train.epochs=3", "train.patience=1", "train.batch_size=1024", "model.embedding_dim=4",
         "evaluation.baselines=[]")  # fmt: skip


def test_without_a_validation_split_the_last_epoch_is_kept(world, tmp_path):
    world.dataset("no_validation", "split={strategy: temporal, validation: 0, test: 0.2}")
    config, job = world.config("gmf", *SHORT, dataset="no_validation"), JobDirectory(tmp_path)
    found = run_job(config, job, quiet_console())
    assert (found["train/epochs"], found["train/best_epoch"]) == (3, 3)
    assert found["train/best_steps"] == found["train/steps"] > 3
    assert [key for key in found if key.startswith("validation/")] == ["validation/users"]
    assert found["validation/users"] == 0
    page = write_report(job).read_text()
    assert "Training loss" in page
    assert "validation steps" not in page


def test_a_dry_run_needs_no_validation_split_either(world, tmp_path):
    world.dataset("no_validation", "split={strategy: temporal, validation: 0, test: 0.2}")
    found = dry_run(world.config("gmf", *SHORT, dataset="no_validation"), JobDirectory(tmp_path), quiet_console())
    assert len(found["steps"]) == 2


def test_trials_cannot_be_compared_by_their_steps(world, tmp_path):
    plan = SearchPlan(str(world.dataset()), "gmf", tmp_path, overrides=("train.monitor=steps",))
    with pytest.raises(ConfigError, match=r"^train\.monitor: no metric 'steps'"):
        plan.check()
