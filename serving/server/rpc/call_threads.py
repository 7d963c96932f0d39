"""The threads that answer calls: few while all get on, more in the place of those that wait or are held up.

gRPC gives a call to a thread before its message is there, so a few callers who are slow to send theirs could hold all
threads of a small pool. A large one costs: each call then wakes a thread that sleeps, where a busy thread would have
taken it on its way. Measured with 32 small calls in flight on one core, in CPU per call: 204 µs in 72 threads of a
ThreadPoolExecutor, 182 in 8 of its, 166 in 8 of these, which keep neither a condition for each call nor a count of
idle threads.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

from serving.server.runtime.waiting import LendingThread

# A thread that has had its call for longer than this counts as held up.
PATIENCE_SECONDS = 0.01

_log = logging.getLogger(__name__)


class CallThreads:
    """What `grpc.server` takes as its thread pool: `num_threads`, and one more for each that waits or is held up.

    There are never more than `most_threads`. First come, first served. Safe to use from many threads.
    """

    def __init__(self, num_threads: int, most_threads: int) -> None:
        self._num_threads = num_threads
        self._most_threads = most_threads
        self._queue: queue.SimpleQueue[_Call | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads: set[_CallThread] = set()
        self._num_wanted = num_threads
        self._num_waiting = 0
        self._most_waiting = 0  # since `_watch` looked last
        self._num_calls = 0
        self._is_watched = False
        self._is_closed = False

    def submit(self, function: Callable[..., object], /, *arguments: Any) -> Any:
        """Call `function` in one of the threads. Returns what has `add_done_callback`, for one callback.

        Raises RuntimeError after `close`.
        """
        call = _Call(function, arguments, self._lock)
        with self._lock:
            if self._is_closed:
                raise RuntimeError("these threads take no more calls: they are closed")
            self._num_calls += 1
            if len(self._threads) < self._num_wanted:
                self._add_thread()
            if self._num_calls > self._num_threads and not self._is_watched:
                self._is_watched = True
                threading.Thread(target=self._watch, name="calls", daemon=True).start()
        self._queue.put(call)
        return call

    def lend(self) -> None:
        """Note that a thread waits for other calls, and let another take what comes."""
        with self._lock:
            self._num_waiting += 1
            self._most_waiting = max(self._most_waiting, self._num_waiting)
            self._num_wanted = max(self._num_wanted, min(self._num_threads + self._num_waiting, self._most_threads))
            if len(self._threads) < min(self._num_wanted, self._num_calls):
                self._add_thread()

    def take_back(self) -> None:
        """Note that such a thread goes on."""
        with self._lock:
            self._num_waiting -= 1

    def close(self) -> None:
        """Let each thread end after the calls that have been submitted."""
        with self._lock:
            self._is_closed = True
        self._queue.put(None)

    def _add_thread(self) -> None:
        added = _CallThread(self, self._work)
        self._threads.add(added)
        added.start()

    def _work(self, thread: _CallThread) -> None:
        while (call := self._queue.get()) is not None:
            thread.num_steps += 1
            call.run()
            thread.num_steps += 1
            with self._lock:
                self._num_calls -= 1
                call.is_done = True
                is_too_many = len(self._threads) > self._num_wanted
                if is_too_many:
                    self._threads.discard(thread)
            if call.callback is not None:
                call.callback(call)
            del call  # not to keep a request in memory until the next one comes
            if is_too_many:
                return
        self._queue.put(None)  # for the next thread

    def _watch(self) -> None:
        """Look after the threads as long as there are more calls than threads."""
        while True:
            time.sleep(PATIENCE_SECONDS)
            with self._lock:
                num_held_up = sum(thread.is_held_up() for thread in self._threads)
                # Not as few as wait at this moment: a batch that ends lets all go on, and the next lets as many wait.
                self._num_wanted = min(self._num_threads + num_held_up + self._most_waiting, self._most_threads)
                self._most_waiting = self._num_waiting
                if self._num_calls <= self._num_threads:
                    self._is_watched = False
                    return
                for _ in range(min(self._num_wanted - len(self._threads), self._queue.qsize())):
                    self._add_thread()


class _Call:
    """A function on its way through the threads. Of a Future gRPC wants no more than this."""

    __slots__ = ("_arguments", "_function", "_lock", "callback", "is_done")

    def __init__(self, function: Callable[..., object], arguments: tuple[Any, ...], lock: threading.Lock) -> None:
        self._function = function
        self._arguments = arguments
        self._lock = lock
        self.callback: Callable[[Any], object] | None = None
        self.is_done = False

    def run(self) -> None:
        try:
            self._function(*self._arguments)
        except BaseException:
            # gRPC answers for what a method raises; what comes here is a fault of its own, and must not end the thread.
            _log.exception("a call ended with an error that gRPC did not expect")

    def add_done_callback(self, callback: Callable[[Any], object]) -> None:
        with self._lock:
            if not self.is_done:
                self.callback = callback
                return
        callback(self)


class _CallThread(LendingThread):
    """A thread that counts when it takes a call and when it has ended it, so that others see whether it gets on."""

    def __init__(self, threads: CallThreads, work: Callable[[_CallThread], None]) -> None:
        super().__init__(name="call", daemon=True)
        self._threads = threads
        self._work = work
        self._num_steps_seen = 0
        self._is_waiting = False
        self.num_steps = 0

    def run(self) -> None:
        self._work(self)

    def lend(self) -> None:
        self._is_waiting = True
        self._threads.lend()

    def take_back(self) -> None:
        self._is_waiting = False
        self._threads.take_back()

    def is_held_up(self) -> bool:
        """Tell whether the thread has had the same call since this was asked before, and does not wait for others."""
        seen, self._num_steps_seen = self._num_steps_seen, self.num_steps
        return seen == self.num_steps and seen % 2 == 1 and not self._is_waiting
