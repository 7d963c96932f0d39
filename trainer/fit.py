"""The training loop: epochs of gradient steps, a validation metric after each, the best weights kept."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from tfrec.dataset.batches import Batches
from tfrec.errors import ArtifactError, DataError
from tfrec.models.base import GradientModel
from trainer.average import WeightAverage
from trainer.config import TrainConfig
from trainer.job import JobDirectory
from trainer.progress import EpochProgress

LOSS_EVERY = 20  # steps between two looks at the loss: a look waits for the device


class State(tf.Module):
    """What a resumed run must remember besides weights and optimiser."""

    def __init__(self, lower_is_better: bool) -> None:
        super().__init__(name="state")
        self.epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best = tf.Variable(math.inf if lower_is_better else -math.inf, dtype=tf.float64, trainable=False)
        self.best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.is_done = tf.Variable(False, trainable=False)
        self.seconds = tf.Variable(0.0, dtype=tf.float64, trainable=False)


class Trainer:
    """Trains one model; a second `run` in the same job directory goes on after the last finished epoch."""

    def __init__(
        self,
        model: GradientModel,
        batches: Batches,
        config: TrainConfig,
        job: JobDirectory,
        validate: Callable[[], dict[str, float]],
        monitor: str,
        progress: EpochProgress,
    ) -> None:
        """Prepare a run.

        Args:
            model: built, not compiled.
            batches: training rows.
            config: how to train.
            job: where checkpoints and logs go.
            validate: validation metrics of the model as it stands.
            monitor: the metric that decides which epoch is best.
            progress: what people see.

        """
        self._model = model
        self._batches = batches
        self._config = config
        self._job = job
        self._validate = validate
        self._monitor = monitor
        self._progress = progress
        self._lower_is_better = monitor in ("log_loss", "rmse", "mae")
        self._state = State(self._lower_is_better)
        model.compile(optimizer=make_optimizer(config))
        model.optimizer.build(model.trainable_variables)
        self._average = WeightAverage(model.trainable_variables, config.average_decay) if config.average_decay else None
        parts: dict[str, Any] = {"model": model, "optimizer": model.optimizer, "state": self._state}
        if self._average is not None:
            parts["average"] = self._average
        self._latest = tf.train.CheckpointManager(
            tf.train.Checkpoint(**parts), str(job.latest_checkpoints), max_to_keep=2
        )
        self._best = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model), str(job.best_checkpoint), max_to_keep=1
        )

    def run(self) -> dict[str, Any]:
        """Train to the end; leave the best weights in the model.

        Returns:
            `epochs`, `best_epoch`, `best_<monitor>`, `examples_per_second`, `training_seconds`.

        Raises:
            DataError: the loss became NaN or infinite, or the monitored metric NaN.

        """
        if self._latest.latest_checkpoint:
            self._latest.checkpoint.restore(self._latest.latest_checkpoint)
            self._progress.say(f"resuming after epoch {int(self._state.epoch)}")
        writer = tf.summary.create_file_writer(str(self._job.logs))
        while not bool(self._state.is_done):
            epoch = int(self._state.epoch)
            started = time.perf_counter()
            loss = self._epoch(epoch)
            self._state.seconds.assign_add(time.perf_counter() - started)
            metrics = self._validate_average()
            self._finish_epoch(epoch, loss, metrics, writer)
        writer.close()
        restore_best(self._model, self._job)
        epochs, seconds = int(self._state.epoch), float(self._state.seconds)
        return {
            "epochs": epochs,
            "best_epoch": int(self._state.best_epoch),
            f"best_{self._monitor}": float(self._state.best),
            "training_seconds": round(seconds, 2),
            "examples_per_second": round(epochs * self._batches.rows / seconds) if seconds else None,
        }

    def _epoch(self, epoch: int) -> float:
        total, seen = 0.0, 0
        steps = self._batches.steps_per_epoch
        with self._progress.epoch(epoch, self._config.epochs, steps) as bar:
            for index, batch in enumerate(self._batches.epoch(epoch)):
                loss = self._step(batch)
                if index % LOSS_EVERY == 0 or index == steps - 1:
                    value = float(loss)
                    if not math.isfinite(value):
                        raise DataError(
                            f"the loss became {value} in epoch {epoch + 1}, step {index + 1}; lower train.learning_rate"
                        )
                    total, seen = total + value, seen + 1
                    bar.update(index + 1, value, (index + 1) * self._batches.batch_size)
        self._state.step.assign_add(steps)
        return total / max(seen, 1)

    @tf.function(reduce_retracing=True)
    def _step(self, batch: dict[str, tf.Tensor]) -> tf.Tensor:
        metrics = self._model.train_step(batch)
        if self._average is not None:
            self._average.update()
        return metrics["total_loss"]

    def _validate_average(self) -> dict[str, float]:
        """Validation metrics; with averaging, of the averaged weights, which stay in place until the epoch ends."""
        if self._average is not None:
            self._average.put_in_place()
        return self._validate()

    def _finish_epoch(self, epoch: int, loss: float, metrics: dict[str, float], writer: Any) -> None:
        value = metrics[self._monitor]
        if math.isnan(value):
            raise DataError(f"validation {self._monitor} is not defined on this split; choose another train.monitor")
        best = float(self._state.best)
        is_better = value < best if self._lower_is_better else value > best
        if is_better:
            self._state.best.assign(value)
            self._state.best_epoch.assign(epoch + 1)
            self._best.save(checkpoint_number=epoch + 1)
        if self._average is not None:
            self._average.restore()
        self._state.epoch.assign(epoch + 1)
        without_gain = epoch + 1 - int(self._state.best_epoch)
        self._state.is_done.assign(epoch + 1 >= self._config.epochs or without_gain >= self._config.patience)
        self._latest.save(checkpoint_number=epoch + 1)
        with writer.as_default(step=int(self._state.step)):
            tf.summary.scalar("train/loss", loss)
            for name, metric in metrics.items():
                tf.summary.scalar(f"validation/{name}", metric)
        self._progress.finished(epoch, loss, self._monitor, value, is_better)


def make_optimizer(config: TrainConfig) -> tf.keras.optimizers.Optimizer:
    """The optimiser that the config names."""
    kinds = {
        "adam": tf.keras.optimizers.Adam,
        "adagrad": tf.keras.optimizers.Adagrad,
        "sgd": tf.keras.optimizers.SGD,
    }
    return kinds[config.optimizer](config.learning_rate)


def restore_best(model: tf.keras.Model, job: JobDirectory) -> None:
    """Load the weights of the best epoch.

    Raises:
        ArtifactError: the job has no finished epoch.

    """
    found = tf.train.latest_checkpoint(str(job.best_checkpoint))
    if found is None:
        raise ArtifactError(f"{job.best_checkpoint}: no finished epoch; train with: python -m trainer.task")
    tf.train.Checkpoint(model=model).restore(found).expect_partial()
