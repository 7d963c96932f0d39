"""Steps of synchronous training, several in one call, on whatever devices the strategy has."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import tensorflow as tf

from tfrec.dataset.records import Tensors
from trainer.cluster.placement import Placement
from trainer.training.source import BatchSource

CALL_SECONDS = 0.5  # of a call, about: Python costs nothing then, and a signal is noticed soon


class Done(NamedTuple):
    """What a call did.

    Attributes:
        steps: fewer than asked for if the loss became NaN or infinite; then the last of them is the one.
        loss_sum: of the losses of these steps.
        stop: how many processes were asked to stop.
        seconds: wall clock of the call.
        was_traced: whether TensorFlow built the step in this call, which takes longer than the steps.

    """

    steps: int
    loss_sum: float
    stop: int
    seconds: float
    was_traced: bool


class StepRunner(Protocol):
    """Runs steps; one per way of training."""

    def batches(self, from_step: int) -> Any:
        """What `run` takes its rows from, beginning at a step counted over all epochs."""

    def run(self, batches: Any, steps: int, *, is_stop_wanted: bool = False) -> Done:
        """Take up to `steps` steps."""


class SynchronousSteps:
    """Every replica takes its rows of each batch, and all see the same weights."""

    def __init__(self, step: Callable[[Tensors], tf.Tensor], source: BatchSource, placement: Placement) -> None:
        # Only the loop below is Python that TensorFlow has to translate; translating the models takes seconds.
        self._step = tf.autograph.experimental.do_not_convert(step)
        self._source = source
        self._placement = placement
        self._strategy = placement.strategy
        self._seconds_per_step = 1.0
        self._is_traced = False

    def batches(self, from_step: int) -> Iterator[object]:
        return iter(self._placement.distribute_own(self._source.forever(from_step)))

    def run(self, batches: Iterator[object], steps: int, *, is_stop_wanted: bool = False) -> Done:
        """Take up to `steps` steps, about half a second of them."""
        in_time = max(int(CALL_SECONDS / self._seconds_per_step), 1)
        wanted = min(steps, in_time, self._placement.most_per_call or steps)
        started = time.perf_counter()
        found = self._run(batches, tf.constant(wanted), tf.constant(int(is_stop_wanted)))
        done, loss_sum, stop = int(found[0]), float(found[1]), int(found[2])
        seconds = time.perf_counter() - started
        was_traced, self._is_traced = not self._is_traced, True
        if not was_traced:
            self._seconds_per_step = max(seconds / done, 1e-6)
        return Done(done, loss_sum, stop, seconds, was_traced)

    @tf.function(reduce_retracing=True)
    def _run(self, batches: Iterator[object], steps: tf.Tensor, stop: tf.Tensor) -> tuple[tf.Tensor, ...]:
        done, loss_sum = tf.constant(0), tf.constant(0.0)
        while tf.logical_and(done < steps, tf.math.is_finite(loss_sum)):
            losses = self._strategy.run(self._step, args=(next(batches),))
            loss_sum += self._strategy.reduce(tf.distribute.ReduceOp.SUM, losses, axis=None)
            done += 1
        if self._strategy.num_replicas_in_sync > 1:
            replicas = self._strategy.run(tf.identity, args=(stop,))
            stop = self._strategy.reduce(tf.distribute.ReduceOp.SUM, replicas, axis=None)
        return done, loss_sum, stop
