"""What people see while a model trains, on stderr."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn


class EpochBar:
    """The bar of one epoch."""

    def __init__(self, progress: Progress, task: TaskID) -> None:
        self._progress = progress
        self._task = task
        self._started = time.perf_counter()

    def update(self, step: int, loss: float, rows: int) -> None:
        rate = rows / max(time.perf_counter() - self._started, 1e-9)
        self._progress.update(self._task, completed=step, loss=f"{loss:.4f}", rate=f"{rate:,.0f}")


class EpochProgress:
    """A bar while an epoch runs (on a terminal), a line when it is done."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True)

    def say(self, text: str) -> None:
        self.console.print(text, style="dim", highlight=False)

    @contextmanager
    def epoch(self, epoch: int, epochs: int, steps: int) -> Iterator[EpochBar]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]}  {task.fields[rate]} examples/s"),
            TimeRemainingColumn(),
        )
        is_terminal = self.console.is_terminal
        with Progress(*columns, console=self.console, transient=True, disable=not is_terminal) as progress:
            task = progress.add_task(f"epoch {epoch + 1}/{epochs}", total=steps, loss="–", rate="–")
            yield EpochBar(progress, task)

    def finished(self, epoch: int, loss: float, monitor: str, value: float, is_better: bool) -> None:
        mark = " [green]best[/]" if is_better else ""
        self.console.print(
            f"epoch {epoch + 1:>3}  loss {loss:.4f}  validation {monitor} {value:.4f}{mark}", highlight=False
        )
