"""Steps of training on parameter servers, as the trainer's loop takes them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrec.dataset.records import Tensors
from trainer.cluster.parameter_server import CoordinatorLoop
from trainer.cluster.placement import Placement
from trainer.training.source import WorkerBatches
from trainer.training.steps import Done


class ServerSteps:
    """Whichever worker is free takes the next step, on rows of its own part of the records."""

    def __init__(self, step: Callable[[Tensors], tf.Tensor], source: WorkerBatches, placement: Placement) -> None:
        self._loop = CoordinatorLoop(placement, step)
        self._source = source
        self._is_traced = False

    def batches(self, from_step: int) -> Any:
        return self._loop.iterator(lambda index, count: self._source.of_worker(index, count, from_step))

    def run(self, batches: Any, steps: int, *, is_stop_wanted: bool = False) -> Done:
        """Take up to `steps` steps, some seconds of them, and wait for their end."""
        started = time.perf_counter()
        done, loss_sum = self._loop.run(batches, steps)
        was_traced, self._is_traced = not self._is_traced, True
        return Done(done, loss_sum, int(is_stop_wanted), time.perf_counter() - started, was_traced)
