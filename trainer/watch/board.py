"""What TensorBoard shows of a job: loss, learning rate, speed, validation metrics, and a profile on request."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

import tensorflow as tf


class Board:
    """Writes event files; a context, closed at its end."""

    def __init__(self, logs: Path | None, profile: tuple[int, int] | None = None) -> None:
        """Name the place.

        Args:
            logs: directory of the event files; None to write nothing.
            profile: first and last step to be profiled, from 1; None for no profile.

        """
        self._logs = logs
        self._first, self._last = profile if profile and logs else (0, 0)
        self._is_profiling = self._was_profiling = False

    def __enter__(self) -> Board:
        logs = self._logs
        self._writer = tf.summary.create_noop_writer() if logs is None else tf.summary.create_file_writer(str(logs))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_profiling:
            tf.profiler.experimental.stop()
        self._writer.close()

    @property
    def is_profile_open(self) -> bool:
        """Whether a profile was asked for, and its first step has not come."""
        return bool(self._last) and not self._was_profiling

    def until_profile(self, step: int, steps: int) -> int:
        """Start or stop the profile where `step` steps are done; return how many steps may follow before the next."""
        if not self._last:
            return steps
        if not self._is_profiling and self._first - 1 <= step < self._last:
            tf.profiler.experimental.start(str(self._logs))
            self._is_profiling = self._was_profiling = True
        elif self._is_profiling and step >= self._last:
            tf.profiler.experimental.stop()
            self._is_profiling, self._last = False, 0
            return steps
        ends = [end for end in (self._first - 1, self._last) if end > step]
        return min(steps, ends[0] - step) if ends else steps

    def training(self, step: int, loss: float, examples_per_second: float, learning_rate: float) -> None:
        with self._writer.as_default(step=step):
            tf.summary.scalar("train/loss", loss)
            tf.summary.scalar("train/examples_per_second", examples_per_second)
            tf.summary.scalar("train/learning_rate", learning_rate)

    def validation(self, step: int, loss: float, metrics: dict[str, float]) -> None:
        with self._writer.as_default(step=step):
            tf.summary.scalar("epoch/loss", loss)
            for name, metric in metrics.items():
                tf.summary.scalar(f"validation/{name}", metric)
