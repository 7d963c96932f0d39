"""Where a job's variables and steps live: this device, several devices, several machines, or parameter servers."""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import tensorflow as tf

from tfrec.errors import ConfigError, did_you_mean
from trainer.cluster.rendezvous import TIMEOUT_SECONDS, gather, print_for_people
from trainer.cluster.replicas import distribute_own_rows, distribute_rows, value_of_first
from trainer.cluster.strategies import SHARD_ROWS, STRATEGIES, StrategyName
from trainer.cluster.tf_config import Cluster, read_cluster

Purpose = Literal["train", "serve", "evaluate"]
# With one core the first lookup in a sharded table would wait for itself: it needs several operations at once.
INTER_OP_THREADS = 8


@dataclass(frozen=True)
class Placement:
    """Which strategy this process takes part in, and as what.

    Attributes:
        name: of the strategy.
        purpose: "train"; "serve" for the workers and servers of a parameter-server job, which the chief commands;
            "evaluate" for TF_CONFIG's evaluator, which has nothing to do since the chief validates.
        cluster: the processes; None for this one alone.
        devices: the replicas of "mirrored", such as ("GPU:0", "GPU:1").
        shard_rows: from how many rows on a table is split over the parameter servers.
        timeout_seconds: how long to wait for the other tasks.
        say: gets a line when that takes long.

    """

    name: StrategyName
    purpose: Purpose = "train"
    cluster: Cluster | None = None
    devices: tuple[str, ...] = ()
    shard_rows: int = SHARD_ROWS
    timeout_seconds: float = TIMEOUT_SECONDS
    say: Callable[[str], None] = print_for_people

    @property
    def summary(self) -> str:
        """Say what takes part, for people."""
        if self.cluster is None:
            return f"{self.name} on {', '.join(self.devices) or 'this device'}"
        counts = {"workers": self.num_workers, "parameter servers": len(self.cluster.of("ps"))}
        return f"{self.name} with " + ", ".join(f"{count} {what}" for what, count in counts.items() if count)

    @property
    def is_chief(self) -> bool:
        """Whether this process writes checkpoints, logs and exports and prints for people."""
        return self.cluster is None or self.cluster.is_chief

    @property
    def shard(self) -> tuple[int, int]:
        """(index, count) of this process's part of the input; the chief of a parameter-server job reads none of it."""
        if self.name == "multi-worker" and self.cluster is not None:
            return self.cluster.trainer_index, self.cluster.num_trainers
        return 0, 1

    @property
    def table_shards(self) -> int:
        """Parts that a large table is split into."""
        return len(self.cluster.of("ps")) if self.name == "parameter-server" and self.cluster else 1

    @property
    def num_workers(self) -> int:
        """Processes that run steps."""
        if self.cluster is None:
            return 1
        return len(self.cluster.of("worker")) if self.name == "parameter-server" else self.cluster.num_trainers

    @property
    def most_per_call(self) -> int | None:
        """Steps in one call of a compiled loop, at most.

        A collective operation between machines keeps the shape it had first in a call, so that a smaller last batch,
        or gradients with another number of rows, would end the job: there a call has one step.
        """
        return 1 if self.name == "multi-worker" else None

    def checkpoint_directory(self, path: Path) -> Path:
        """Where this process saves: all must take part in saving, but the chief's files alone are kept."""
        if self.is_chief:
            return path
        other = Path(tempfile.mkdtemp(prefix="not-the-chief-"))
        atexit.register(shutil.rmtree, other, ignore_errors=True)
        return other

    @cached_property
    def strategy(self) -> tf.distribute.Strategy:
        """The strategy, made when first asked for: once per process, and before any other TensorFlow operation.

        Raises:
            ConfigError: tasks of the cluster do not answer, or the port of this one is taken.

        """
        if self.name == "one":
            return tf.distribute.get_strategy()
        if self.name == "mirrored":
            is_gpu = any("GPU" in device for device in self.devices)
            # Not the default, which is made of collectives: see most_per_call.
            copy = tf.distribute.NcclAllReduce() if is_gpu else tf.distribute.HierarchicalCopyAllReduce()
            return tf.distribute.MirroredStrategy(list(self.devices), cross_device_ops=copy)
        assert self.cluster is not None
        gather(self.cluster, self.timeout_seconds, self.say)
        resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
            tf.train.ClusterSpec(self.cluster.spec),
            task_type=self.cluster.role,
            task_id=self.cluster.index,
            rpc_layer="grpc",
        )
        if self.name == "multi-worker":
            return tf.distribute.MultiWorkerMirroredStrategy(cluster_resolver=resolver)
        tf.config.threading.set_inter_op_parallelism_threads(INTER_OP_THREADS)
        return tf.distribute.ParameterServerStrategy(
            resolver, variable_partitioner=RowShards(len(self.cluster.of("ps")), self.shard_rows)
        )

    def distribute(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Serve every replica its rows of the job's batches, which every process makes alike (`distribute_rows`)."""
        return distribute_rows(self.strategy, batches)

    def distribute_own(self, batches: tf.data.Dataset) -> tf.data.Dataset:
        """Serve the replicas of this process the batches of its `shard` of the input."""
        return distribute_own_rows(self.strategy, batches)

    def chief_value(self, value: float) -> float:
        """The chief's value, in every process: decisions that each took for itself could end in a deadlock."""
        return value if self.name != "multi-worker" else value_of_first(self.strategy, value)


class RowShards(tf.distribute.experimental.partitioners.Partitioner):  # type: ignore[misc]
    """Splits what has many rows, tables and what belongs to their rows, evenly; all else stays whole."""

    def __init__(self, shards: int, min_rows: int) -> None:
        self._shards = shards
        self._min_rows = min_rows

    def __call__(self, shape: tf.TensorShape, dtype: tf.DType, axis: int = 0) -> list[int]:
        rows = int(shape[0])
        return [self._shards if rows >= max(self._min_rows, self._shards) else 1] + [1] * (len(shape) - 1)


def place(
    strategy: str | None,
    *,
    logical_devices: int = 1,
    shard_rows: int = SHARD_ROWS,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> Placement:
    """Choose for this process, from TF_CONFIG and the devices of this machine.

    Args:
        strategy: of STRATEGIES, or None for the default.
        logical_devices: parts to split the CPU into.
        shard_rows: from how many rows on a table is split over the parameter servers.
        timeout_seconds: how long to wait for the other tasks of the cluster.

    Raises:
        ConfigError: TF_CONFIG is wrong, or the strategy does not go with it.

    """
    cluster = read_cluster()
    if logical_devices > 1:
        split_cpu(logical_devices)
    return choose(
        strategy,
        cluster,
        num_gpus=len(tf.config.list_physical_devices("GPU")),
        num_logical_cpus=logical_devices,
        shard_rows=shard_rows,
        timeout_seconds=timeout_seconds,
    )


def choose(
    name: str | None,
    cluster: Cluster | None,
    *,
    num_gpus: int = 0,
    num_logical_cpus: int = 1,
    shard_rows: int = SHARD_ROWS,
    timeout_seconds: float = TIMEOUT_SECONDS,
    say: Callable[[str], None] = print_for_people,
) -> Placement:
    """Choose the strategy: the asked one, or what TF_CONFIG and the devices of this machine suggest.

    Args:
        name: of STRATEGIES, or None for the default.
        cluster: of TF_CONFIG, if it names several tasks.
        num_gpus: of this machine.
        num_logical_cpus: parts of the CPU (`split_cpu`) that stand for devices.
        shard_rows: from how many rows on a table is split over the parameter servers.
        timeout_seconds: how long to wait for the other tasks of the cluster.
        say: gets a line when that takes long.

    Raises:
        ConfigError: the asked strategy does not go with the cluster.

    """
    if name is not None and name not in STRATEGIES:
        raise ConfigError(
            f"--strategy: unknown strategy {name!r}{did_you_mean(name, STRATEGIES)}; allowed: {', '.join(STRATEGIES)}"
        )
    devices = _replicas(num_gpus, num_logical_cpus)
    chosen: Any = name or _default(cluster, devices)
    _require_agreement(chosen, name, cluster)
    if cluster is None:
        return Placement(chosen, devices=devices if chosen == "mirrored" else ())
    return Placement(
        chosen,
        _purpose(chosen, cluster),
        cluster,
        shard_rows=shard_rows,
        timeout_seconds=timeout_seconds,
        say=say,
    )


def split_cpu(parts: int) -> None:
    """Make logical devices of the CPU, to try "mirrored" without GPUs; before TensorFlow runs anything."""
    (cpu, *_) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * parts)


def _replicas(num_gpus: int, num_logical_cpus: int) -> tuple[str, ...]:
    kind, count = ("GPU", num_gpus) if num_gpus else ("CPU", num_logical_cpus)
    return tuple(f"{kind}:{index}" for index in range(count))


def _default(cluster: Cluster | None, devices: tuple[str, ...]) -> StrategyName:
    if cluster is None:
        return "mirrored" if len(devices) > 1 else "one"
    return "parameter-server" if cluster.has_servers else "multi-worker"


def _require_agreement(chosen: str, name: str | None, cluster: Cluster | None) -> None:
    if cluster is None:
        if chosen == "parameter-server":
            raise ConfigError(
                "--strategy parameter-server: needs TF_CONFIG with a chief, workers and servers (ps); "
                "see docs/train-on-a-cluster.md"
            )
        if chosen == "multi-worker":
            raise ConfigError(
                "--strategy multi-worker: needs TF_CONFIG with several workers; on one machine use one or mirrored"
            )
        return
    if chosen in ("one", "mirrored"):
        count = len(cluster.others()) + 1
        raise ConfigError(
            f"--strategy {chosen}: uses this machine alone, but TF_CONFIG names {count} tasks; "
            "unset TF_CONFIG or leave --strategy out"
        )
    if chosen == "parameter-server" and not cluster.has_servers:
        raise ConfigError("--strategy parameter-server: TF_CONFIG has no servers; add 'ps' to its cluster")
    if chosen == "multi-worker" and cluster.has_servers:
        raise ConfigError(
            "--strategy multi-worker: TF_CONFIG has parameter servers (ps), which would have nothing to do; "
            "remove them or use --strategy parameter-server"
        )


def _purpose(chosen: str, cluster: Cluster) -> Purpose:
    if cluster.role == "evaluator":
        return "evaluate"
    return "serve" if chosen == "parameter-server" and cluster.role != "chief" else "train"
