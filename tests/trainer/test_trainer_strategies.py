"""Strategies: which one is chosen, that the result does not depend on the number of replicas, and parameter servers."""

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

from tests.trainer.strategy_process import build, weights_of
from tests.trainer.test_trainer_cluster import CHIEF, FULL, WORKERS, cluster_of, free_ports
from tfrec.errors import ConfigError
from trainer.cluster.placement import RowShards, choose

MODELS = ("deepfm", "two_tower")
SECONDS = 240  # after which a process that should have ended is a failure


@pytest.mark.parametrize(
    ("name", "cluster", "devices", "expected"),
    [
        (None, None, {}, ("one", "train", ())),
        (None, None, {"num_gpus": 1}, ("one", "train", ())),
        (None, None, {"num_gpus": 2}, ("mirrored", "train", ("GPU:0", "GPU:1"))),
        (None, None, {"num_logical_cpus": 3}, ("mirrored", "train", ("CPU:0", "CPU:1", "CPU:2"))),
        ("one", None, {"num_gpus": 2}, ("one", "train", ())),
        ("mirrored", None, {"num_gpus": 1}, ("mirrored", "train", ("GPU:0",))),
        ("mirrored", None, {}, ("mirrored", "train", ("CPU:0",))),
        (None, ({"worker": WORKERS}, "worker"), {"num_gpus": 2}, ("multi-worker", "train", ())),
        (None, ({"chief": CHIEF, "worker": WORKERS}, "evaluator"), {}, ("multi-worker", "evaluate", ())),
        (None, (FULL, "chief"), {}, ("parameter-server", "train", ())),
        (None, (FULL, "worker"), {}, ("parameter-server", "serve", ())),
        ("parameter-server", (FULL, "ps"), {}, ("parameter-server", "serve", ())),
    ],
)
def test_machine_and_tf_config_choose_the_strategy(name, cluster, devices, expected):
    placement = choose(name, cluster and cluster_of(*cluster), **devices)
    assert (placement.name, placement.purpose, placement.devices) == expected


@pytest.mark.parametrize(
    ("name", "cluster", "message"),
    [
        ("miror", None, "unknown strategy 'miror'; did you mean 'mirrored'?"),
        ("parameter-server", None, "needs TF_CONFIG with a chief, workers and servers"),
        ("multi-worker", None, "needs TF_CONFIG with several workers"),
        ("one", {"worker": WORKERS}, "TF_CONFIG names 2 tasks"),
        ("mirrored", FULL, "TF_CONFIG names 5 tasks"),
        ("parameter-server", {"worker": WORKERS}, "TF_CONFIG has no servers"),
        ("multi-worker", FULL, "TF_CONFIG has parameter servers (ps), which would have nothing to do"),
    ],
)
def test_a_strategy_that_does_not_go_with_the_cluster_is_one_line(name, cluster, message):
    cluster = cluster and cluster_of(cluster, next(iter(cluster)))
    with pytest.raises(ConfigError) as caught:
        choose(name, cluster)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_the_chief_alone_keeps_its_checkpoints(tmp_path):
    alone = choose(None, None)
    chief, other = (choose(None, cluster_of({"worker": WORKERS}, "worker", index)) for index in (0, 1))
    assert alone.checkpoint_directory(tmp_path) == chief.checkpoint_directory(tmp_path) == tmp_path
    assert tmp_path not in (directory := other.checkpoint_directory(tmp_path), *directory.parents)
    assert [placement.shard for placement in (alone, chief, other)] == [(0, 1), (0, 2), (1, 2)]


def test_what_has_many_rows_is_split_and_nothing_else():
    split = RowShards(3, 100)
    assert split(tf.TensorShape([100, 8]), tf.float32) == [3, 1]
    assert split(tf.TensorShape([100]), tf.float32) == [3]
    assert split(tf.TensorShape([99, 800]), tf.float32) == [1, 1]


class Process:
    """A task of a job, its output in a file."""

    def __init__(self, directory, arguments, cluster=None, role=None, index=0):
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2", "CUDA_VISIBLE_DEVICES": ""}
        environment.pop("TF_CONFIG", None)
        if cluster:
            environment["TF_CONFIG"] = json.dumps({"cluster": cluster, "task": {"type": role, "index": index}})
        self._log = directory / f"{role}-{index}-{time.monotonic_ns()}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.trainer.strategy_process", "--output", str(directory), *arguments],
                env=environment,
                stdout=log,
                stderr=log,
                cwd=Path(__file__).parents[2],
            )

    def end(self):
        """Exit code and output."""
        code = self._process.wait(SECONDS)
        return code, self._log.read_text()

    def is_alive(self):
        return self._process.poll() is None

    def kill(self):
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()


@pytest.fixture
def start(world, tmp_path):
    """Start a process of a job in the directory tmp_path / `name`; none outlives the test."""
    started = []

    def start(name, *arguments, cluster=None, role=None, index=0):
        directory = tmp_path / name
        directory.mkdir(exist_ok=True)
        arguments = ["--dataset", str(world.dataset()), *arguments]
        started.append(Process(directory, arguments, cluster, role, index))
        return started[-1]

    yield start
    for process in started:
        if process.is_alive():
            process.kill()


def succeed(*processes):
    for process in processes:
        code, log = process.end()
        assert code == 0, log


def result_of(directory):
    return json.loads((directory / "result").read_text())


def saved(directory, model):
    reader = tf.train.load_checkpoint(str(directory / model))
    names = reader.get_variable_to_shape_map()
    return {name: reader.get_tensor(name) for name in names if name.endswith("VARIABLE_VALUE")}


@pytest.mark.slow
def test_one_two_and_distributed_replicas_learn_the_same(start, tmp_path):
    """10 steps of 1,000 rows of 7,608: the epoch's smaller last batch is among them."""
    succeed(start("one"))
    succeed(start("mirrored", "--strategy", "mirrored", "--logical-cpus", "2"))
    cluster = {"worker": [f"localhost:{port}" for port in free_ports(2)]}
    succeed(*[start("workers", cluster=cluster, role="worker", index=index) for index in (0, 1)])
    one, *others = (result_of(tmp_path / name) for name in ("one", "mirrored", "workers"))
    assert [found["replicas"] for found in (one, *others)] == [1, 2, 2]
    for model in MODELS:
        expected = saved(tmp_path / "one", model)
        assert one[model]["losses"][-1] < one[model]["losses"][0]
        for name, found in zip(("mirrored", "workers"), others, strict=True):
            np.testing.assert_allclose(found[model]["losses"], one[model]["losses"], rtol=1e-5)
            values = saved(tmp_path / name, model)
            assert values.keys() == expected.keys()
            for key, value in values.items():
                np.testing.assert_allclose(value, expected[key], rtol=1e-4, atol=1e-5, err_msg=f"{model} {name} {key}")


def start_servers(start, *arguments):
    """Chief, two workers and two servers; role and index → process."""
    ports = [f"localhost:{port}" for port in free_ports(5)]
    cluster = {"chief": ports[:1], "worker": ports[1:3], "ps": ports[3:]}

    def task(role, index):
        return start("servers", *arguments, cluster=cluster, role=role, index=index)

    tasks = {(role, index): task(role, index) for role in cluster for index in range(len(cluster[role]))}
    return tasks, task


def wait_until(condition, process):
    started = time.monotonic()
    while not condition():
        assert process.is_alive(), process.end()[1]
        assert time.monotonic() - started < SECONDS
        time.sleep(0.05)


@pytest.mark.slow
def test_parameter_servers_go_on_from_one_device_and_one_device_from_them(start, tmp_path, world):
    """Tables are split over the servers, learn there, and are the same tables on one device."""
    succeed(start("one", "--steps", "3"))
    (tmp_path / "servers").mkdir()
    (tmp_path / "servers" / "go-1").touch()
    arguments = ("--steps", "60", "--rounds", "2", "--batch-size", "500")
    tasks, _ = start_servers(start, "--restore", str(tmp_path / "one"), *arguments)
    succeed(*tasks.values())
    result = result_of(tmp_path / "servers")
    flags = type("Flags", (), {"dataset": str(world.dataset()), "batch_size": 500})
    for name in MODELS:
        assert max(result[name]["shards"].values()) == 2
        assert result[name]["iterations"] == 123
        assert result[name]["losses"][1] < result[name]["losses"][0]
        model, _ = build(name, flags)
        checkpoint = tf.train.Checkpoint(model=model, optimizer=model.optimizer)
        checkpoint.read(str(tmp_path / "one" / name)).assert_consumed()
        assert_same(result[name]["first"], weights_of(model))
        checkpoint.read(str(tmp_path / "servers" / name)).assert_consumed()
        assert int(model.optimizer.iterations) == 123
        assert any(not np.array_equal(result[name]["first"][key], value) for key, value in weights_of(model).items())


def assert_same(found, expected):
    assert found.keys() == expected.keys()
    for name, value in found.items():
        np.testing.assert_array_equal(np.float32(value), np.float32(expected[name]), err_msg=name)


@pytest.mark.slow
def test_killed_workers_that_are_started_again_do_the_rest(start, tmp_path):
    """Both are killed before the second round, so that whoever does its steps is one that came back."""
    arguments = ("--models", "deepfm", "--steps", "150", "--rounds", "2", "--batch-size", "500")
    tasks, task = start_servers(start, *arguments)
    directory = tmp_path / "servers"
    wait_until((directory / "done-0").exists, tasks["chief", 0])
    for index in (0, 1):
        tasks["worker", index].kill()
    (directory / "go-1").touch()
    for index in (0, 1):
        tasks["worker", index] = task("worker", index)
    succeed(*tasks.values())
    result = result_of(directory)["deepfm"]
    assert result["iterations"] >= 300  # a step of a lost worker may have been done, and is done again
    assert result["losses"][1] < result["losses"][0]


@pytest.mark.slow
def test_a_wrong_address_ends_the_chief_with_one_line(start):
    own, server, closed = (f"localhost:{port}" for port in free_ports(3))
    cluster = {"chief": [own], "worker": [closed], "ps": [server]}
    code, log = start("wrong", "--timeout", "1", cluster=cluster, role="chief").end()
    assert code == 2
    errors = [line for line in log.splitlines() if "Error" in line]
    assert len(errors) == 1
    assert errors[0].startswith("ConfigError: TF_CONFIG: not there after 1 s: worker 0 (")
    assert "Traceback" not in log
