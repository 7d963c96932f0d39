"""What people see while a model trains, on stderr."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

LINE_SECONDS = 60


class EpochBar:
    """The bar of one epoch."""

    def __init__(self, progress: Progress, task: TaskID, first_step: int, say: Callable[[str], None]) -> None:
        self._progress = progress
        self._task = task
        self._first_step = first_step
        self._say = say
        self._started = self._said = time.monotonic()

    def update(self, step: int, loss: float, rows: int) -> None:
        """Show the last loss after `step` steps, `rows` rows, of the epoch."""
        now = time.monotonic()
        rate = rows * (step - self._first_step) / step / max(now - self._started, 1e-9)
        self._progress.update(self._task, completed=step, loss=f"{loss:.4f}", rate=f"{rate:,.0f}")
        if self._progress.disable and now - self._said > LINE_SECONDS:  # a log file has no bar
            self._said = now
            total = self._progress.tasks[0].total or step
            left = (total - step) * (now - self._started) / max(step - self._first_step, 1)
            self._say(f"step {step:,} of {total:,.0f}  loss {loss:.4f}  {rate:,.0f} examples/s  {left:,.0f} s left")


class EpochProgress:
    """A bar while an epoch runs (on a terminal), a line when it is done."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False, soft_wrap=True)

    @contextmanager
    def epoch(self, epoch: int, epochs: int, steps: int, first_step: int = 0) -> Iterator[EpochBar]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[rate]} examples/s"),
            TimeRemainingColumn(),
        )
        is_terminal = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not is_terminal) as progress:
            task = progress.add_task(
                f"epoch {epoch + 1}/{epochs}", total=steps, completed=first_step, loss="–", rate="–"
            )
            yield EpochBar(progress, task, first_step, self.say)

    def finished(self, epoch: int, loss: float, monitor: str, value: float, is_better: bool) -> None:
        mark = " [green]best[/]" if is_better else ""
        self.console.print(
            f"epoch {epoch + 1:>3}  loss {loss:.4f}  validation {monitor} {value:.4f}{mark}", highlight=False
        )
