"""Models that learn from whole users or items: what their batches hold, exact resume, and what is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trainer.plain_models import REGISTERED
from tests.trainer.planted_world import quiet_console
from tests.trainer.test_trainer_resume import AskedAfter, metrics_of, require_same, state_of
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError, Stopped
from tfrec.models import registry
from trainer.checks.dry_run import dry_run
from trainer.checks.memory import memory_need
from trainer.checks.preflight import preflight
from trainer.cluster.placement import Placement
from trainer.job import JobDirectory
from trainer.run import run_job
from trainer.training import steps
from trainer.training.source import open_source
from trainer.training.whole_rows import whole_rows


@pytest.fixture(autouse=True)
def registered(monkeypatch):
    for name, place in REGISTERED.items():
        monkeypatch.setitem(registry._MODELS, name, place)


@settings(max_examples=10, deadline=None)
@given(
    taken=st.lists(st.lists(st.integers(0, 6), max_size=3), min_size=1, max_size=30).filter(any),
    size=st.integers(2, 9),
    rows=st.sampled_from(["users", "items"]),
    workers=st.integers(1, 2),
)
def test_an_epoch_has_everyone_with_training_events_once_and_the_workers_share_each_batch(taken, size, rows, workers):
    train = Interactions(np.cumsum([0, *map(len, taken)]), np.array([i for row in taken for i in row], np.int64), 7)
    expected = [u for u, row in enumerate(taken) if row] if rows == "users" else sorted({i for r in taken for i in r})
    name = {"users": "user_index", "items": "item_index"}[rows]
    workers = min(workers, len(expected))  # a batch must have a row for each

    def epoch(number, shard):
        batches = list(whole_rows(train, rows, size, 3, shard).epoch(number).as_numpy_iterator())
        assert all(list(batch) == [name] and batch[name].dtype == np.int64 for batch in batches)
        return [batch[name].tolist() for batch in batches]

    whole = epoch(1, (0, 1))
    assert sorted(row for batch in whole for row in batch) == expected
    assert whole == epoch(1, (0, 1))
    parts = [epoch(1, (worker, workers)) for worker in range(workers)]
    assert [[row for share in shares for row in share] for shares in zip(*parts, strict=True)] == whole
    assert len(expected) < 6 or whole != epoch(2, (0, 1)) or whole != epoch(3, (0, 1))


def test_a_run_stopped_at_any_step_ends_with_the_same_weights(world, tmp_path, monkeypatch):
    overrides = ("model.rows=users", "train.epochs=2", "train.batch_size=50", "train.learning_rate=0.1")
    config = world.config("whole_rows", *overrides)
    whole, stopped = JobDirectory(tmp_path / "whole"), JobDirectory(tmp_path / "stopped")
    content = run_job(config, whole, quiet_console())
    assert content["train/steps"] == 2 * 300 // 50
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)  # one step a call
    for calls in (2, 4):
        with pytest.raises(Stopped):
            run_job(config, stopped, quiet_console(), interrupt=AskedAfter(calls))
    run_job(config, stopped, quiet_console())
    require_same(state_of(whole), state_of(stopped))
    assert metrics_of(stopped) == pytest.approx(metrics_of(whole), nan_ok=True)


TWO_REPLICAS = """
import json, sys
from pathlib import Path
from tfrec.models import registry
from tests.trainer.plain_models import REGISTERED
from tests.trainer.planted_world import World, quiet_console
from trainer.cluster.placement import Placement, split_cpu
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

split_cpu(2)
registry._MODELS.update(REGISTERED)
config = World(Path(sys.argv[1])).config(
    "whole_rows", "model.rows=items", "train.batch_size=119", "train.epochs=2", "train.learning_rate=0.1"
)
found = []
for placement in (Placement("mirrored", devices=("CPU:0", "CPU:1")), Placement("one")):
    job = JobDirectory(Path(sys.argv[2]) / placement.name)
    run_job(config, job, quiet_console(), placement=placement, must_evaluate=False)
    found.append(load_model(job)[0].state[0].numpy().tolist())
print(json.dumps(found))
"""


def test_two_replicas_learn_what_one_learns_even_where_one_of_them_gets_no_row(world, tmp_path):
    items = int((world.data().model_inputs.train.item_counts() > 0).sum())
    assert items % 119 == 1  # the last batch has one row
    command = [sys.executable, "-c", TWO_REPLICAS, str(world.root.parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    mirrored, one = json.loads(done.stdout.splitlines()[-1])
    assert np.ptp(one) > 0.01  # it has learnt
    np.testing.assert_allclose(mirrored, one, rtol=1e-4, atol=1e-5)


def test_train_steps_end_a_run_in_the_middle_of_an_epoch(world, tmp_path):
    config = world.config("whole_rows", "train.batch_size=50", "train.steps=8")
    assert run_job(config, JobDirectory(tmp_path / "job"), quiet_console())["train/steps"] == 8


def test_a_dry_run_takes_two_steps_of_users(world, tmp_path):
    found = dry_run(world.config("whole_rows"), JobDirectory(tmp_path / "job"), quiet_console())
    assert found["batch"] == {"user_index": "int64 [300]"}
    assert [np.isfinite(step["loss"]) for step in found["steps"]] == [True, True]


def test_the_memory_of_a_batch_is_counted_in_vectors_over_all_items_or_users(world):
    data = world.data()
    for rows, batch, width in (("users", 300, 121), ("items", 121, 301)):
        config = world.config("whole_rows", f"model.rows={rows}", "train.batch_size=300")
        # Forward, gradients and one more, of what goes in and what comes out; 4 bytes each.
        assert memory_need(config, data.dataset).activation_bytes == 4 * 3 * batch * 2 * width


@pytest.mark.parametrize(
    ("overrides", "strategy", "message"),
    [
        (("train.input=stream",), "one", r"train\.input=stream: whole_rows learns from whole users, which it keeps in"),
        (
            ("model.rows=items",),
            "parameter-server",
            r"--strategy parameter-server: its workers read files of events, and whole_rows learns from whole items",
        ),
    ],
)
def test_what_only_rows_of_events_can_do_is_refused_with_one_line(world, overrides, strategy, message):
    config = world.config("whole_rows", *overrides)
    placement = Placement(strategy)
    with pytest.raises(ConfigError, match=message):
        preflight(config, world.data().dataset, placement)
    with pytest.raises(ConfigError, match=message):
        open_source(world.data(), [], config, placement)
