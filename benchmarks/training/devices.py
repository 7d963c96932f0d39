"""Devices for a benchmark: the GPUs of this machine, or logical parts of its CPU to rehearse on."""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable
from types import TracebackType

import numpy as np

import tfrec  # noqa: F401  chooses the Keras generation before TensorFlow is loaded

import tensorflow as tf  # isort: skip

from trainer.cluster.placement import choose, split_cpu

SAMPLE_SECONDS = 1.0


def make_strategy(logical_devices: int) -> tf.distribute.Strategy:
    """The trainer's strategy for one device or for all of this machine; once in a process, before anything runs.

    Args:
        logical_devices: parts of the CPU, or 0 for the GPUs.

    """
    if logical_devices:
        split_cpu(logical_devices)
    gpus = [] if logical_devices else tf.config.list_physical_devices("GPU")
    for gpu in gpus:
        tf.config.experimental.set_memory_growth(gpu, True)
    return choose(None, None, num_gpus=len(gpus), num_logical_cpus=logical_devices).strategy


class Utilisation:
    """How busy the devices are between enter and exit: `nvidia-smi` where it is, CPU time over wall time else."""

    def __init__(self, *, is_gpu: bool) -> None:
        self._is_gpu = is_gpu and shutil.which("nvidia-smi") is not None
        self._samples: list[list[float]] = []
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)

    def __enter__(self) -> Utilisation:
        self._begin, self._begin_cpu = time.perf_counter(), time.process_time()
        if self._is_gpu:
            self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._is_gpu:
            self._thread.join()
        wall, cpu = time.perf_counter() - self._begin, time.process_time() - self._begin_cpu
        self._cpu_share = cpu / wall / len(os.sched_getaffinity(0))

    def __str__(self) -> str:
        if not self._samples:
            return f"CPU {self._cpu_share:.0%} of {len(os.sched_getaffinity(0))} cores"
        mean = np.mean(self._samples, axis=0)
        return f"GPU {mean[0]:.0f} %, {mean[1] / 1024:.1f} GiB used; CPU {self._cpu_share:.0%} of the cores"

    def _sample(self) -> None:
        query = ["nvidia-smi", "--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits"]
        while not self._stopped.wait(SAMPLE_SECONDS):
            done = subprocess.run(query, capture_output=True, text=True)
            if done.returncode == 0:
                rows = [[float(cell) for cell in line.split(",")] for line in done.stdout.splitlines()]
                self._samples.append(np.mean(rows, axis=0).tolist())


def measured_rates(device: str, precision: str, seconds: float) -> tuple[float, float]:
    """Floating-point operations a second of a large product, and bytes a second of a large copy, on one device."""
    is_cpu = "cpu" in device
    size, floats = (1024, 1 << 24) if is_cpu else (8192, 1 << 28)
    with tf.device(device):
        matrix = tf.cast(tf.random.stateless_uniform([size, size], [1, 2]), precision)
        long = tf.zeros([floats])
    product = _rate(tf.function(lambda: tf.reduce_sum(tf.matmul(matrix, matrix))), device, seconds)
    copy = _rate(tf.function(lambda: (long + 1.0)[0]), device, seconds)
    return product * 2.0 * size**3, copy * 2.0 * 4.0 * floats


def _rate(run: Callable[[], tf.Tensor], device: str, seconds: float) -> float:
    """Calls a second."""
    with tf.device(device):
        run().numpy()
        begin, calls = time.perf_counter(), 0
        while time.perf_counter() - begin < seconds:
            run().numpy()
            calls += 1
        return calls / (time.perf_counter() - begin)
