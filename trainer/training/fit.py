"""The training loop: epochs of gradient steps, a validation metric after each, the best weights kept.

It can stop at any step and go on there: where it stands is in `State`, the rows of a step and its random numbers follow
from the seed and the step.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from tfrec.errors import DataError, Stopped
from tfrec.models.learning import GradientModel
from trainer.cluster.placement import Placement
from trainer.config import TrainConfig
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.job import JobDirectory
from trainer.training.checkpoints import Checkpoints
from trainer.training.diverged import save_batch
from trainer.training.interrupt import Interrupt
from trainer.training.optimizer import loss_scaled, make_optimizer
from trainer.training.replica_step import ReplicaStep
from trainer.training.server_steps import ServerSteps
from trainer.training.source import BatchSource, WorkerBatches
from trainer.training.state import State
from trainer.training.steps import Done, StepRunner, SynchronousSteps
from trainer.watch.board import Board
from trainer.watch.progress import EpochBar, EpochProgress

OnEpoch = Callable[[int, dict[str, float]], None]
STEPS_BETWEEN_QUESTIONS = 16  # after which several machines agree on the time: an answer costs as much as a small step


class Trainer:
    """Trains one model; a second `run` in the same job directory goes on where the first one stopped."""

    def __init__(
        self,
        model: GradientModel,
        source: BatchSource,
        config: TrainConfig,
        job: JobDirectory,
        validate: Callable[[], dict[str, float]],
        monitor: str,
        progress: EpochProgress,
        *,
        placement: Placement | None = None,
        interrupt: Interrupt | None = None,
        on_epoch: OnEpoch | None = None,
        profile: tuple[int, int] | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            model: built under the placement's strategy, not compiled.
            source: training rows.
            config: how to train.
            job: where checkpoints and logs go.
            validate: validation metrics of the model as it stands.
            monitor: the metric that decides which epoch is best.
            progress: what people see.
            placement: on which devices; this process' first one by default.
            interrupt: notes signals.
            on_epoch: called with the number of every finished epoch, from 1, and its metrics; may raise to end the run.
            profile: first and last step to be profiled.

        """
        self._model = model
        self._source = source
        self._config = config
        self._job = job
        self._validate = validate
        self._monitor = monitor
        self._progress = progress
        self._placement = placement or Placement("one")
        self._interrupt = interrupt or Interrupt()
        self._on_epoch = on_epoch
        self._lower_is_better = monitor in LOWER_IS_BETTER
        self._last_step = min(config.epochs * source.steps_per_epoch, config.steps or 1 << 62)
        self._state = State(lower_is_better=self._lower_is_better)
        with self._placement.strategy.scope():
            self._rows_optimizer = make_optimizer(config, model, self._last_step)
            optimizer = loss_scaled(self._rows_optimizer, config)
            model.compile(optimizer=optimizer)
        model.compute_type = tf.as_dtype(config.precision)
        self._steps = _runner(ReplicaStep(model, optimizer, xla=config.xla), source, self._placement)
        parts = {"optimizer": optimizer, "state": self._state}
        self._checkpoints = Checkpoints(job, model, parts, progress.say, self._placement)
        self._board = Board(job.logs if self._placement.is_chief else None, profile)

    def run(self) -> dict[str, Any]:
        """Train to the end; leave the best weights in the model.

        Returns:
            `epochs`, `steps`, `best_epoch`, `best_<monitor>`, `examples_per_second`, `training_seconds`.

        Raises:
            DataError: the loss became NaN or infinite, or the monitored metric NaN, or a file of records is torn.
            Stopped: a signal came; the state is saved.
            ArtifactError: a checkpoint cannot be written, or none can be read.

        """
        state = self._state
        if self._checkpoints.restore_latest() and not bool(state.is_done):
            self._progress.say(f"resuming after epoch {int(state.epoch)}, step {int(state.step)}")
        with self._interrupt.listening(), self._source.explained_errors(), self._board:
            try:
                self._train()
            except Stopped as stopped:
                self._checkpoints.save_latest(int(state.step))
                raise stopped.saying(
                    f"stopped at step {int(state.step)} (epoch {int(state.epoch) + 1}) and saved; "
                    "the same command goes on from there"
                ) from None
        if self._board.is_profile_open:
            self._progress.say(f"--profile: training ended at step {int(state.step)}, before those steps")
        self._placement.chief_value(0.0)  # all wait here: the chief may still be writing what the others read next
        self._checkpoints.restore_best()
        timed = float(state.timed_seconds)
        return {
            "epochs": int(state.epoch),
            "steps": int(state.step),
            "best_epoch": int(state.best_epoch),
            f"best_{self._monitor}": float(state.best),
            "training_seconds": round(float(state.seconds), 2),
            "examples_per_second": round(int(state.timed_rows) / timed) if timed else None,
        }

    def _train(self) -> None:
        batches = None
        self._saved_at = time.monotonic()
        while not bool(self._state.is_done):
            if self._steps_left():
                batches = batches or self._steps.batches(int(self._state.step))
                self._epoch(batches)
            self._finish_epoch(self._validated())

    def _steps_left(self) -> int:
        """Of the epoch that runs."""
        state = self._state
        in_epoch = self._source.steps_per_epoch - int(state.step_in_epoch)
        return min(in_epoch, self._last_step - int(state.step))

    def _epoch(self, batches: Any) -> None:
        state, steps = self._state, self._source.steps_per_epoch
        with self._progress.epoch(int(state.epoch), self._config.epochs, steps, int(state.step_in_epoch)) as bar:
            started = time.perf_counter()
            while left := self._steps_left():
                wanted = self._board.until_profile(int(state.step), left)
                done = self._steps.run(batches, wanted, is_stop_wanted=self._interrupt.is_wanted)
                started = self._note(done, started)
                if not math.isfinite(done.loss_sum):
                    self._give_up(done.loss_sum)
                self._show(bar, done.loss_sum / done.steps)
                if done.stop:
                    self._interrupt.follow()
                if done.stop or self._placement.name != "multi-worker":  # machines stop together, when all know of it
                    self._interrupt.check()
                if self._is_checkpoint_due():
                    self._save_latest()
                    started = time.perf_counter()

    def _note(self, done: Done, started: float) -> float:
        """Move the state on by a call; return the time, from which the next one counts: nothing between is left out."""
        now = time.perf_counter()
        state = self._state
        before = int(state.step_in_epoch)
        state.step.assign_add(done.steps)
        state.step_in_epoch.assign_add(done.steps)
        state.loss_sum.assign_add(done.loss_sum)
        state.seconds.assign_add(now - started)
        if not done.was_traced:
            size, rows = self._source.batch_size, self._source.rows
            state.timed_seconds.assign_add(now - started)
            state.timed_rows.assign_add(min((before + done.steps) * size, rows) - before * size)
        return now

    def _show(self, bar: EpochBar, loss: float) -> None:
        state = self._state
        step_in_epoch = int(state.step_in_epoch)
        rate = int(state.timed_rows) / max(float(state.timed_seconds), 1e-9)
        bar.update(step_in_epoch, loss, step_in_epoch * self._source.batch_size)
        self._board.training(int(state.step), loss, rate, self._rows_optimizer.rate_at(int(state.step)))

    def _give_up(self, value: float) -> None:
        state = self._state
        epoch, step = int(state.epoch), int(state.step_in_epoch)
        batch = next(iter(self._source.epoch(epoch, skip=step - 1)))
        saved = save_batch(self._job, batch, epoch + 1, step, self._placement.shard)
        raise DataError(
            f"the loss became {value} in epoch {epoch + 1}, step {step}, whose batch is in {saved}; lower "
            "train.learning_rate or set train.clip_norm; earlier checkpoints are untouched"
        )

    def _validated(self) -> dict[str, float]:
        """Validation metrics; with averaging, of the averaged weights. The best weights so far are saved."""
        average, variables = self._rows_optimizer.average, self._model.trainable_variables
        if average is not None:
            average.put_in_place(variables, tf.convert_to_tensor(self._rows_optimizer.iterations))
        try:
            with self._may_stop_at_once():
                metrics = self._validate()
            value = self._placement.chief_value(metrics[self._monitor])
            if math.isnan(value):
                raise DataError(
                    f"validation {self._monitor} is not defined on this split; choose another train.monitor"
                )
            best = float(self._state.best)
            if value < best if self._lower_is_better else value > best:
                epoch = int(self._state.epoch) + 1
                self._checkpoints.save_best(epoch)
                self._state.best.assign(value)
                self._state.best_epoch.assign(epoch)
        finally:
            if average is not None:
                average.restore(variables)
        return metrics

    def _may_stop_at_once(self) -> AbstractContextManager[None]:
        # A worker alone must not: the others would wait for it at the next step.
        return nullcontext() if self._placement.name == "multi-worker" else self._interrupt.at_once()

    def _finish_epoch(self, metrics: dict[str, float]) -> None:
        state = self._state
        epoch = int(state.epoch) + 1
        loss = float(state.loss_sum) / max(int(state.step_in_epoch), 1)
        is_last = epoch >= self._config.epochs or int(state.step) >= self._last_step
        without_gain = epoch - int(state.best_epoch)
        state.epoch.assign(epoch)
        state.step_in_epoch.assign(0)
        state.loss_sum.assign(0.0)
        state.is_done.assign(is_last or without_gain >= self._config.patience)
        self._save_latest()
        self._board.validation(int(state.step), loss, metrics)
        is_best = int(state.best_epoch) == epoch
        self._progress.finished(epoch - 1, loss, self._monitor, metrics[self._monitor], is_best)
        if self._on_epoch is not None:
            self._on_epoch(epoch, metrics)

    def _is_checkpoint_due(self) -> bool:
        if self._placement.name == "multi-worker" and int(self._state.step) % STEPS_BETWEEN_QUESTIONS:
            return False
        minutes = (time.monotonic() - self._saved_at) / 60
        return self._placement.chief_value(minutes) > self._config.checkpoint_minutes

    def _save_latest(self) -> None:
        self._checkpoints.save_latest(int(self._state.step))
        self._saved_at = time.monotonic()


def _runner(step: ReplicaStep, source: BatchSource, placement: Placement) -> StepRunner:
    if isinstance(source, WorkerBatches):
        return ServerSteps(step, source, placement)
    return SynchronousSteps(step, source, placement)
