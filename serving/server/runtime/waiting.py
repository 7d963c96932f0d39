"""Threads that lend their place while they wait: a call that waits for others must not keep these out."""

from __future__ import annotations

import abc
import threading
from typing import Any


class LendingThread(threading.Thread, abc.ABC):
    """A thread of a pool that is told when its work begins and ends to wait for the work of other threads."""

    @abc.abstractmethod
    def lend(self) -> None:
        """Let another thread take what comes."""

    @abc.abstractmethod
    def take_back(self) -> None:
        """Go on."""


def wait_for(lock: Any) -> None:
    """Acquire a lock that another call's thread will release."""
    if lock.acquire(blocking=False):
        return
    thread = threading.current_thread()
    if not isinstance(thread, LendingThread):
        lock.acquire()
        return
    thread.lend()
    lock.acquire()
    thread.take_back()
