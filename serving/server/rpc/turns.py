"""Who may work now: so many calls at once, the others in the order in which they came."""

from __future__ import annotations

import collections
import threading
from types import TracebackType
from typing import Any


class Turns:
    """`with turns:` waits for one of `num_turns`. First come, first served, or the slowest of many calls starves."""

    def __init__(self, num_turns: int) -> None:
        self._lock = threading.Lock()
        self._num_free = num_turns
        self._waiting: collections.deque[Any] = collections.deque()

    def __enter__(self) -> None:
        with self._lock:
            if self._num_free:
                self._num_free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._num_free += 1
