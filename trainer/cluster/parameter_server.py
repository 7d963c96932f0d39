"""Asynchronous training on parameter servers: what workers and servers run, and what the chief does with them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from tfrec.errors import TaskLostError
from trainer.cluster.placement import INTER_OP_THREADS, Placement
from trainer.cluster.rendezvous import TIMEOUT_SECONDS, listening, print_for_people, wait_for, why_unreachable
from trainer.cluster.tf_config import Cluster

ROUND_SECONDS = 2.0  # of steps between two looks at signals and the clock, about

_WATCH_SECONDS = 1.0
_CHIEF_GRACE_SECONDS = 30.0  # a chief that a scheduler starts again finds its workers and servers
_REPORT_SECONDS = 20.0
_MOST_PER_CALL = 50
_START_AGAIN = "start all tasks again, the job goes on from its last checkpoint"


def take_part(placement: Placement, is_finished: Callable[[], bool]) -> None:
    """Do what a process of the cluster does that does not train: serve the chief, or nothing."""
    assert placement.cluster is not None
    if placement.purpose == "evaluate":
        placement.say("the chief evaluates by itself; this evaluator has nothing to do and ends")
        return
    serve(placement.cluster, timeout_seconds=placement.timeout_seconds, is_finished=is_finished, say=placement.say)


def serve(
    cluster: Cluster,
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    grace_seconds: float = _CHIEF_GRACE_SECONDS,
    is_finished: Callable[[], bool] = lambda: False,
    say: Callable[[str], None] = print_for_people,
) -> None:
    """Be a worker or a server of the job: do what the chief asks, return when it is gone.

    TensorFlow's own server never ends. This one looks whether the chief's port answers.

    Args:
        cluster: in which this process is a worker or a server.
        timeout_seconds: how long to wait for the chief's first sign.
        grace_seconds: how long the chief may be away, to be started again, before its end is taken for granted.
        is_finished: whether the job's results are there; then nothing is waited for.
        say: gets the lines for people.

    Raises:
        ConfigError: the port is taken, or the chief does not come.

    """
    with listening(cluster):
        pass
    threads = tf.compat.v1.ConfigProto(inter_op_parallelism_threads=INTER_OP_THREADS)
    server = tf.distribute.Server(
        tf.train.ClusterSpec(cluster.spec),
        job_name=cluster.role,
        task_index=cluster.index,
        protocol="grpc",
        config=threads,
    )
    chief = cluster.of("chief")[0]
    wait_for({"chief 0": chief}, timeout_seconds, say)
    last_seen = time.monotonic()
    while time.monotonic() - last_seen < grace_seconds:
        time.sleep(_WATCH_SECONDS)
        if why_unreachable(chief) is None:
            last_seen = time.monotonic()
        elif is_finished():
            break
    del server  # kept until here: it serves as long as it exists
    say(f"the chief at {chief} is gone; {cluster.role} {cluster.index} ends")


class CoordinatorLoop:
    """The chief's loop: steps go to whichever worker is free; those of a lost worker go to the others.

    Updates of the workers interleave as they come, so two runs differ, and none can be resumed bit by bit. A worker
    that was lost and comes back begins its part of the input anew.
    """

    def __init__(
        self,
        placement: Placement,
        step: Callable[[Tensors], tf.Tensor],
    ) -> None:
        """Connect to the workers.

        Args:
            placement: of a parameter-server job; model and optimiser were made under its strategy's scope.
            step: one gradient step on a batch; returns the loss, a scalar.

        """
        assert placement.cluster is not None
        self._workers = {f"worker {i} ({found})": found for i, found in enumerate(placement.cluster.of("worker"))}
        self._timeout_seconds = placement.timeout_seconds
        self._say = placement.say
        self._coordinator = tf.distribute.coordinator.ClusterCoordinator(placement.strategy)
        self._seconds_per_step = ROUND_SECONDS
        self._is_traced = False

        step = tf.autograph.experimental.do_not_convert(step)

        def several(batches: Any, steps: tf.Tensor) -> tf.Tensor:
            total = tf.constant(0.0)
            for _ in tf.range(steps):
                total += tf.cast(placement.strategy.run(step, args=(next(batches),)), tf.float32)
            return total

        self._several = tf.function(several)

    def iterator(self, dataset_of: Callable[[int, int], tf.data.Dataset]) -> Any:
        """An iterator per worker, each over its own part of the input.

        TensorFlow runs one dataset function on all workers and does not tell it where. So every part is made on every
        worker, which costs nothing until it is read, and each worker reads its own.

        Args:
            dataset_of: (index, count) → the endless batches of that worker. It is traced here and runs there: it may
                name files that all see; rows that it holds would be sent to each. Batches without rows are left out.

        """
        count = len(self._workers)
        parts = []
        for index in range(count):
            dataset = self._coordinator.create_per_worker_dataset(
                lambda index=index: dataset_of(index, count).filter(_has_rows)
            )
            parts.append(iter(dataset))
        return type(parts[0])(tuple(part._values[index] for index, part in enumerate(parts)))

    def run(self, batches: Any, steps: int) -> tuple[int, float]:
        """Run up to `steps` steps, some seconds of them, shared among the workers, and wait for their end.

        Args:
            batches: of `iterator`.
            steps: of all workers together.

        Returns:
            Steps done, and the sum of their losses.

        Raises:
            TaskLostError: a parameter server is gone, and what it held, or workers are and do not come back.

        """
        wanted = min(steps, max(int(ROUND_SECONDS / self._seconds_per_step), len(self._workers)))
        started = time.perf_counter()
        try:
            results = [
                self._coordinator.schedule(self._several, args=(batches, tf.constant(count)))
                for count in _calls(wanted, len(self._workers))
            ]
            self._join()
            losses = self._coordinator.fetch(results)
        except (tf.errors.UnavailableError, tf.errors.AbortedError) as error:
            reason = error.message.splitlines()[0]
            raise TaskLostError(f"a parameter server was lost, with its rows: {reason}; {_START_AGAIN}") from None
        if self._is_traced:
            self._seconds_per_step = (time.perf_counter() - started) / wanted
        self._is_traced = True
        return wanted, sum(float(loss) for loss in losses)

    def _join(self) -> None:
        """Wait as the coordinator does, but not for ever: it is silent about workers that do not come back.

        One that comes back is taken in when all are there: until then those that never left do its steps.
        """
        started = reported = time.monotonic()
        pause = 0.001
        while not self._coordinator.done():
            time.sleep(pause)
            pause = min(pause * 2, 0.05)
            now = time.monotonic()
            if now - reported < _REPORT_SECONDS:
                continue
            reported = now
            reasons = {name: reason for name, at in self._workers.items() if (reason := why_unreachable(at))}
            lost = ", ".join(f"{name}: {reason}" for name, reason in reasons.items())
            if lost:
                self._say(f"waiting for {lost}")
            if lost and now - started > self._timeout_seconds:
                raise TaskLostError(f"no step has ended for {self._timeout_seconds:g} s; {lost}; {_START_AGAIN}")
        self._coordinator.join()


def _calls(steps: int, workers: int) -> list[int]:
    """Steps of each call: calls cost time between machines, but all workers must have some to the end of the round."""
    each = max(1, min(_MOST_PER_CALL, steps // (2 * workers)))
    calls = [each] * (steps // each)
    return calls + ([steps % each] if steps % each else [])


def _has_rows(batch: Tensors) -> tf.Tensor:
    return tf.shape(next(iter(batch.values())))[0] > 0
