"""Processes of a search: all end with the command that started them, and say so in one line."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from multiprocessing.context import SpawnProcess
from types import FrameType

from tfrec.errors import Stopped

Handler = Callable[[int, FrameType | None], None] | signal.Handlers

SIGNALS = (signal.SIGTERM, signal.SIGINT)
GRACE_SECONDS = 60.0  # for the step that runs and its checkpoint
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def run_processes(workers: Sequence[SpawnProcess]) -> None:
    """Start processes and wait for their end; a signal ends them first.

    Raises:
        Stopped: SIGTERM or SIGINT came, and none of them runs any more.

    """
    try:
        with _ignoring((signal.SIGINT,)):  # they inherit it: Ctrl-C while they import is ours alone
            for worker in workers:
                worker.start()
        with stopped_by_signals():
            for worker in workers:
                worker.join()
    except Stopped as stopped:
        with _ignoring(SIGNALS):
            _end(workers)
        raise stopped.saying("stopped; the same command goes on with the trials that were running") from None


def _end(workers: Sequence[SpawnProcess]) -> None:
    for worker in workers:
        worker.terminate()
    for worker in workers:
        worker.join(GRACE_SECONDS)
        if worker.is_alive():
            worker.kill()
            worker.join()


def end_with_parent() -> None:
    """Let the kernel kill this process when the one that started it is gone, however that ended.

    A process that trains on would write into the job directories of the next command. On other systems than Linux only
    a parent that is gone already is noticed.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    parent = multiprocessing.parent_process()
    if parent is not None and os.getppid() != parent.pid:  # it went before the line above
        os._exit(1)


@contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Let the first SIGTERM or SIGINT within the block raise Stopped, and ignore further ones there."""

    def stop(number: int, frame: FrameType | None) -> None:
        for each in SIGNALS:
            signal.signal(each, signal.SIG_IGN)
        raise Stopped(number)

    with _handled(SIGNALS, stop):
        yield


def _ignoring(numbers: Sequence[signal.Signals]) -> AbstractContextManager[None]:
    return _handled(numbers, signal.SIG_IGN)


@contextmanager
def _handled(numbers: Sequence[signal.Signals], handler: Handler) -> Iterator[None]:
    if threading.current_thread() is not threading.main_thread():  # only the main thread may have handlers
        yield
        return
    before = {number: signal.signal(number, handler) for number in numbers}
    try:
        yield
    finally:
        for number, previous in before.items():
            signal.signal(number, previous)
