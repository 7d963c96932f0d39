"""`python -m trainer.task` on a cluster of processes: parameter servers, and several workers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.test_trainer_cluster import free_ports
from trainer.job import JobDirectory

SECONDS = 300  # after which a process that should have ended is a failure
ROOT = Path(__file__).parents[2]
SETTINGS = ("model.dropout=0", "model.input_dropout=0", "model.embedding_dim=8", "train.learning_rate=0.01",
            "train.patience=9")  # fmt: skip


class Cluster:
    """The tasks of one job, each a process with TF_CONFIG; all are ended with the test."""

    def __init__(self, tmp_path, **counts):
        ports = iter(free_ports(sum(counts.values())))
        self.spec = {role: [f"localhost:{next(ports)}" for _ in range(count)] for role, count in counts.items()}
        self.logs = tmp_path
        self.tasks = {}

    def start(self, *arguments, role, index=0):
        task = {"cluster": self.spec, "task": {"type": role, "index": index}}
        environment = {**os.environ, "TF_CONFIG": json.dumps(task), "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}
        log = (self.logs / f"{role}-{index}.log").open("a")
        self.tasks[role, index] = subprocess.Popen(
            [sys.executable, "-m", "trainer.task", *arguments], env=environment, stdout=log, stderr=log, cwd=ROOT
        )

    def start_all(self, *arguments):
        for role, addresses in self.spec.items():
            for index in range(len(addresses)):
                self.start(*arguments, role=role, index=index)

    def log(self, role, index=0):
        return (self.logs / f"{role}-{index}.log").read_text()

    def codes(self):
        return {task: process.wait(SECONDS) for task, process in self.tasks.items()}

    def end(self):
        for process in self.tasks.values():
            process.kill()
            process.wait()


@pytest.fixture
def cluster(tmp_path):
    made = []

    def make(**counts):
        made.append(Cluster(tmp_path, **counts))
        return made[-1]

    yield make
    for found in made:
        found.end()


def arguments_of(world, job, *settings, model="deepfm"):
    pairs = [part for setting in (*SETTINGS, *settings) for part in ("--set", setting)]
    return (
        "--dataset",
        str(world.dataset()),
        "--model",
        model,
        "--job-dir",
        str(job.path),
        "--shard-rows",
        "100",
        *pairs,
    )


def saved(directory):
    reader = tf.train.load_checkpoint(str(directory))
    shapes = reader.get_variable_to_shape_map()
    return {
        name: reader.get_tensor(name) for name in shapes if name.endswith("VARIABLE_VALUE") and "seconds" not in name
    }


def wait_for(condition, process):
    started = time.monotonic()
    while not condition():
        assert process.poll() is None
        assert time.monotonic() - started < SECONDS
        time.sleep(0.05)


@pytest.mark.slow
def test_parameter_servers_train_a_model_that_one_device_evaluates_and_serves(cluster, world, tmp_path):
    """Chief, two workers, two servers; SIGTERM to the chief in the middle, and the same command again."""
    job = JobDirectory(tmp_path / "job")
    arguments = arguments_of(world, job, "train.epochs=6", "train.batch_size=50")
    tasks = cluster(chief=1, worker=2, ps=2)
    tasks.start_all(*arguments)
    wait_for(lambda: "epoch   1 " in tasks.log("chief"), tasks.tasks["chief", 0])
    tasks.tasks["chief", 0].send_signal(signal.SIGTERM)
    assert tasks.tasks["chief", 0].wait(SECONDS) == 143, tasks.log("chief")
    assert "saved; the same command goes on from there" in tasks.log("chief")
    tasks.start(*arguments, role="chief")
    codes = tasks.codes()
    assert set(codes.values()) == {0}, [tasks.log(*task) for task in codes]
    metrics = job.read_metrics()
    assert metrics["train/epochs"] == 6
    assert metrics["validation/log_loss"] < metrics["validation/item_mean/log_loss"]
    log = tasks.log("chief")
    assert [log.count(f"epoch {number:>3} ") for number in range(1, 7)] == [1] * 6
    # The tables were split over the servers, and the checkpoint holds them whole.
    tables = [values for name, values in saved(job.best_checkpoint).items() if "_tables/embedding" in name]
    assert [len(table) > 100 for table in tables] == [True]
    assert "parameter-server with 2 workers, 2 parameter servers, 2 variables split by rows" in log
    command = [sys.executable, "-m", "trainer.evaluate", "--job-dir", str(job.path), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    assert json.loads(done.stdout)["test/auc"] == pytest.approx(metrics["test/auc"], abs=1e-5)
    exported = tf.saved_model.load(str(job.export("deepfm") / "1"))
    assert {"rank", "serving_default"} <= set(exported.signatures)


@pytest.mark.slow
def test_two_workers_that_are_stopped_and_go_on_learn_what_one_process_learns(cluster, world, tmp_path):
    """SIGTERM to one of them: both stop at the same step."""
    settings = ("train.epochs=3", "train.batch_size=500", "train.average_decay=0.9")
    alone, together = JobDirectory(tmp_path / "alone"), JobDirectory(tmp_path / "together")
    command = [sys.executable, "-m", "trainer.task", *arguments_of(world, alone, *settings)]
    subprocess.run(command, capture_output=True, check=True, cwd=ROOT)
    tasks = cluster(worker=2)
    tasks.start_all(*arguments_of(world, together, *settings))
    wait_for(lambda: "epoch   1 " in tasks.log("worker", 0), tasks.tasks["worker", 0])
    tasks.tasks["worker", 1].send_signal(signal.SIGTERM)
    codes = tasks.codes()
    assert set(codes.values()) == {143}, [tasks.log(*task) for task in codes]
    tasks.start_all(*arguments_of(world, together, *settings))
    codes = tasks.codes()
    assert set(codes.values()) == {0}, [tasks.log(*task) for task in codes]
    expected, found = saved(alone.latest_checkpoints), saved(together.latest_checkpoints)
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        if "timed" not in name and "save_counter" not in name:
            np.testing.assert_allclose(found[name], values, rtol=1e-4, atol=1e-5, err_msg=name)
    assert together.read_metrics()["test/auc"] == pytest.approx(alone.read_metrics()["test/auc"], abs=1e-4)
    assert [path.name for path in together.export("deepfm").iterdir()] == ["1"]
    assert "epoch   1 " in tasks.log("worker", 0)
    assert "epoch   1 " not in tasks.log("worker", 1)
