"""SIGTERM and Ctrl-C while a model trains: the step is finished, the state saved, the place said."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from tfrec.errors import Stopped


def stop_on_sigterm(what: str) -> None:
    """Outside of training, where nothing is half done: end by raising Stopped, with a word and exit code 143.

    Args:
        what: the command goes on with when it is given again.

    """

    def stop(number: int, frame: FrameType | None) -> None:
        raise Stopped(number, f"stopped; the same command goes on with the {what}")

    signal.signal(signal.SIGTERM, stop)


class Interrupt:
    """Whether the process was asked to stop. Signals are noted; the training loop looks between steps."""

    def __init__(self) -> None:
        self._number: int | None = None
        self._is_at_once = False

    @property
    def is_wanted(self) -> bool:
        return self._number is not None

    def ask(self, number: int) -> None:
        """Note a signal, as its handler does."""
        self._number = number

    def follow(self) -> None:
        """Another worker was asked to stop: all stop at the same step."""
        if self._number is None:
            self._number = signal.SIGTERM

    def check(self) -> None:
        """Raise Stopped if a signal came."""
        if self._number is not None:
            raise Stopped(self._number)

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Let a signal end the block by raising Stopped: for what takes long and changes nothing."""
        self.check()
        self._is_at_once = True
        try:
            yield
        finally:
            self._is_at_once = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Note SIGTERM and SIGINT until the block ends. A second Ctrl-C interrupts at once."""
        if threading.current_thread() is not threading.main_thread():  # only the main thread may have handlers
            yield
            return

        def note(number: int, frame: FrameType | None) -> None:
            if self._number == number == signal.SIGINT:
                raise KeyboardInterrupt
            self.ask(number)
            if self._is_at_once:
                raise Stopped(number)

        before = {number: signal.signal(number, note) for number in (signal.SIGTERM, signal.SIGINT)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
