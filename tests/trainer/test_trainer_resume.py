"""A run that was stopped and goes on ends where an uninterrupted one ends: weights, best epoch, patience, metrics."""

import json
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import yaml

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ArtifactError, ConfigError, DataError, Stopped
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.run import run_job
from trainer.training import steps
from trainer.training.interrupt import Interrupt

# Dropout on, an average of the weights, batches that do not divide the rows, and a schedule: all that could forget.
SETTINGS = {
    "deepfm": (
        "train.epochs=3",
        "train.batch_size=700",
        "train.average_decay=0.9",
        "train.schedule={kind: cosine, warmup_steps: 5}",
        "train.patience=9",
        "model.embedding_dim=4",
        "model.hidden_units=[8]",
    ),
    "two_tower": ("train.epochs=3", "train.batch_size=700", "train.patience=9", "model.embedding_dim=4"),
    "wide_deep": ("train.epochs=2", "train.batch_size=700", "model.embedding_dim=4", "model.hidden_units=[8]"),
}


def state_of(job):
    """Every number of the latest checkpoint but the clocks."""
    reader = tf.train.load_checkpoint(str(job.latest_checkpoints))
    names = sorted(reader.get_variable_to_shape_map())
    kept = [n for n in names if "seconds" not in n and "timed_rows" not in n and "OBJECT_GRAPH" not in n]
    return {name: reader.get_tensor(name) for name in kept if "save_counter" not in name}


def require_same(one, other):
    assert one.keys() == other.keys()
    for name, values in one.items():
        np.testing.assert_allclose(other[name], values, rtol=0, atol=1e-6, err_msg=name)


CLOCKS = ("train/training_seconds", "train/examples_per_second")


def metrics_of(job):
    found = {key: value for key, value in job.read_metrics().items() if key not in (*CLOCKS, "protocol")}
    return {key: value for key, value in found.items() if not key.startswith("cost/")}


@pytest.fixture(scope="module")
def whole(world, tmp_path_factory):
    """The uninterrupted run of each model."""
    jobs = {}

    def run(model):
        if model not in jobs:
            jobs[model] = JobDirectory(tmp_path_factory.mktemp("whole") / model)
            run_job(world.config(model, *SETTINGS[model]), jobs[model], quiet_console())
        return jobs[model]

    return run


class AskedAfter(Interrupt):
    """As if SIGTERM came while the n-th call runs."""

    def __init__(self, calls):
        super().__init__()
        self._left = calls

    def check(self):
        self._left -= 1
        if self._left == 0:
            self.ask(signal.SIGTERM)
        super().check()


@pytest.mark.parametrize("model", SETTINGS)
def test_a_run_stopped_at_any_step_ends_with_the_same_weights(model, world, whole, tmp_path, monkeypatch):
    """After steps 1, 4, 5 and 13: the first, again at once, and within the second epoch of 11 steps."""
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)  # one step a call
    config, job = world.config(model, *SETTINGS[model]), JobDirectory(tmp_path / "job")
    for calls in (1, 3, 1, 8):
        with pytest.raises(
            Stopped, match=r"stopped at step \d+ \(epoch \d\) and saved; the same command goes on"
        ) as caught:
            run_job(config, job, quiet_console(), interrupt=AskedAfter(calls))
        assert caught.value.exit_code == 143
    assert not job.metrics.exists()
    run_job(config, job, quiet_console())
    require_same(state_of(whole(model)), state_of(job))
    assert metrics_of(job) == pytest.approx(metrics_of(whole(model)), nan_ok=True)


def test_a_torn_checkpoint_costs_only_what_came_after_the_one_before(world, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)
    config, job = (
        world.config("deepfm", *SETTINGS["deepfm"], "train.checkpoint_minutes=1e-9"),
        JobDirectory(tmp_path / "job"),
    )
    with pytest.raises(Stopped):
        run_job(config, job, quiet_console(), interrupt=AskedAfter(5))
    newest = Path(tf.train.latest_checkpoint(str(job.latest_checkpoints)))
    (data,) = newest.parent.glob(newest.name + ".data-*")
    data.write_bytes(data.read_bytes()[: data.stat().st_size // 2])
    run_job(config, job, quiet_console())
    require_same(state_of(whole("deepfm")), state_of(job))


@pytest.fixture(scope="module")
def one_epoch(world, tmp_path_factory):
    """A job that has ended."""
    job = JobDirectory(tmp_path_factory.mktemp("one_epoch") / "job")
    run_job(world.config("deepfm", *SETTINGS["deepfm"], "train.epochs=1"), job, quiet_console())
    return job


@pytest.fixture
def ended(one_epoch, tmp_path):
    """A copy of it, to change."""
    return JobDirectory(shutil.copytree(one_epoch.path, tmp_path / "job"))


def test_when_no_checkpoint_can_be_read_nothing_is_trained_over_it(world, ended):
    config = world.config("deepfm", *SETTINGS["deepfm"], "train.epochs=1")
    for path in ended.latest_checkpoints.glob("*.data-*"):
        path.write_bytes(b"")
    with pytest.raises(
        ArtifactError, match=r"no checkpoint can be read: ckpt-.*; remove the directory to train from the"
    ):
        run_job(config, ended, quiet_console())


def test_a_checkpoint_of_another_model_is_refused(world, ended, tmp_path):
    other = JobDirectory(tmp_path / "other")
    settings = (*SETTINGS["deepfm"], "train.epochs=1")
    run_job(world.config("deepfm", *settings, "model.embedding_dim=6"), other, quiet_console())
    shutil.rmtree(ended.latest_checkpoints)
    shutil.copytree(other.latest_checkpoints, ended.latest_checkpoints)
    with pytest.raises(ArtifactError, match=r"is a checkpoint of another model .*; name a new --job-dir"):
        run_job(world.config("deepfm", *settings), ended, quiet_console())


def test_a_full_disk_keeps_the_checkpoint_before_and_the_job_goes_on_when_there_is_room(
    world, whole, tmp_path, monkeypatch
):
    monkeypatch.setattr(steps, "CALL_SECONDS", 0.0)
    config, job = world.config("deepfm", *SETTINGS["deepfm"]), JobDirectory(tmp_path / "job")
    with pytest.raises(Stopped):
        run_job(config, job, quiet_console(), interrupt=AskedAfter(4))
    before = {path.name: path.read_bytes() for path in job.latest_checkpoints.iterdir()}
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        with pytest.raises(
            ArtifactError,
            match=r"a checkpoint could not be written \(File too large.*\); .*; make room and give the same command",
        ):
            run_job(config, job, quiet_console())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert {path.name: path.read_bytes() for path in job.latest_checkpoints.iterdir()} == before
    run_job(config, job, quiet_console())
    require_same(state_of(whole("deepfm")), state_of(job))


def test_the_batch_at_which_training_diverged_is_kept_for_inspection(world, tmp_path, monkeypatch):
    data = world.data()
    config = world.config("deepfm", *SETTINGS["deepfm"], "train.clip_norm=1.0")
    job = JobDirectory(tmp_path / "job")
    read = JobData.columns

    def with_a_hole(self, split, names):
        columns = read(self, split, names)
        if split == "train" and "label" in columns:
            columns["label"][1234] = np.nan
        return columns

    monkeypatch.setattr(JobData, "columns", with_a_hole)
    with pytest.raises(DataError, match=r"the loss became nan in epoch 1, step (\d+), whose batch is in") as caught:
        run_job(config, job, quiet_console())
    saved = np.load(job.path / "diverged" / "batch.npz")
    place = json.loads((job.path / "diverged" / "place.json").read_text())
    assert place == {"epoch": 1, "step": int(re.search(r"step (\d+)", str(caught.value)).group(1))}
    (bad,) = np.flatnonzero(np.isnan(saved["label"]))
    assert {name: saved[name][bad].tolist() for name in saved if name != "label"} == {
        name: data.train[name][1234].tolist() for name in saved if name != "label"
    }


def test_another_dataset_or_another_config_is_not_taken_for_the_jobs_own(world, ended):
    config = world.config("deepfm", *SETTINGS["deepfm"], "train.epochs=1")
    with pytest.raises(ConfigError, match=r"has changed since the job was started .*; name a new directory"):
        run_job(config.model_copy(update={"dataset_fingerprint": "other"}), ended, quiet_console())
    with pytest.raises(ConfigError, match=r"holds another job \(train.epochs 1 there, 2 here\)"):
        run_job(world.config("deepfm", *SETTINGS["deepfm"], "train.epochs=2"), ended, quiet_console())


def command(world, job, *more):
    settings = [part for setting in (*SETTINGS["deepfm"], *more) for part in ("--set", setting)]
    return [sys.executable, "-m", "trainer.task", "--dataset", str(world.dataset()), "--model", "deepfm", "--job-dir",
            str(job.path), "--no-export", *settings]  # fmt: skip


def signalled(arguments, after, number, wait):
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if re.search(after, line):
                break
        time.sleep(wait)
        process.send_signal(number)
        lines += process.stderr.readlines()
        return process.wait(), "".join(lines)


LONG_EPOCHS = 8  # some seconds are left when the last signal comes
EXIT_CODES = {signal.SIGTERM: 143, signal.SIGKILL: -9, signal.SIGINT: 130}
LONG = (f"train.epochs={LONG_EPOCHS}", f"train.patience={LONG_EPOCHS}", "train.batch_size=16",
        "train.checkpoint_minutes=0.005")  # fmt: skip


@pytest.fixture(scope="module")
def unstopped(world, tmp_path_factory):
    """The job that nothing stopped."""
    job = JobDirectory(tmp_path_factory.mktemp("resume") / "whole")
    done = subprocess.run(command(world, job, *LONG), capture_output=True, text=True, check=True)
    assert len(re.findall(r"^epoch ", done.stderr, re.M)) == LONG_EPOCHS
    return job


@pytest.mark.slow
def test_a_process_that_gets_signals_in_its_epochs_is_resumed_by_the_same_command(world, unstopped, tmp_path):
    """Each process of the job but the last is stopped after its first epoch line, by another signal."""
    job, said = JobDirectory(tmp_path / "job"), ""
    for number, expected in EXIT_CODES.items():
        code, lines = signalled(command(world, job, *LONG), r"^epoch ", number, 0.3)
        assert code == expected
        if number != signal.SIGKILL:
            assert re.search(r"stopped at step \d+ \(epoch \d+\) and saved; the same command goes on from there", lines)
        said += lines
    said += subprocess.run(command(world, job, *LONG), capture_output=True, text=True, check=True).stderr
    assert [int(number) for number in re.findall(r"^epoch +(\d+) ", said, re.M)] == list(range(1, LONG_EPOCHS + 1))
    require_same(state_of(unstopped), state_of(job))
    assert metrics_of(job) == pytest.approx(metrics_of(unstopped))
    assert yaml.safe_load(job.config.read_text()) == yaml.safe_load(unstopped.config.read_text())
