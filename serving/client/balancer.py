"""Which of several servers gets the next request."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Collection, Sequence
from typing import Generic, Protocol, TypeVar

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_LATE_ANSWERS = 3  # one after another: the server hangs


class HasTarget(Protocol):
    """A server, by its address."""

    target: str


S = TypeVar("S", bound=HasTarget)


@dataclasses.dataclass
class _Record:
    in_flight: int = 0
    failures: int = 0  # since the last answer
    late: int = 0  # likewise
    paused_until: float = 0.0


class Balancer(Generic[S]):
    """Gives out servers: the one with the fewest requests in flight, in turn where several have as few.

    A server that can't be reached, or was late three times in a row, pauses: 0.25 s at first, twice as long each
    further time, at most 10 s. Then it gets one request at a time, until it answers. Where all pause, the one whose
    pause ends first is asked.
    """

    def __init__(
        self, servers: Sequence[S], *, by_load: bool = True, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.servers = tuple(servers)
        self._by_load = by_load
        self._clock = clock
        self._records = {server.target: _Record() for server in servers}
        self._next = 0
        self._lock = threading.Lock()

    def take(self, tried: Collection[str] = ()) -> S:
        """The server for a request, by choice none of `tried`; give it back with one of the methods below."""
        with self._lock:
            order = [*self.servers[self._next :], *self.servers[: self._next]]
            self._next = (self._next + 1) % len(order)
            server = min(order, key=lambda one: self._cost(one, tried))
            self._records[server.target].in_flight += 1
            return server

    def has_other(self, tried: Collection[str]) -> bool:
        """Whether a server that does not pause is left beside those tried."""
        with self._lock:
            now = self._clock()
            return any(s.target not in tried and self._is_open(self._records[s.target], now) for s in self.servers)

    def answered(self, server: S) -> None:
        """It answered, be it with an error."""
        with self._lock:
            record = self._records[server.target]
            record.in_flight -= 1
            record.failures = record.late = 0
            record.paused_until = 0.0

    def failed(self, server: S) -> None:
        """It could not be reached, or could not take the request."""
        with self._lock:
            self._records[server.target].in_flight -= 1
            self._pause(self._records[server.target])

    def was_late(self, server: S) -> None:
        """Its answer did not come in time, or came behind another's."""
        with self._lock:
            record = self._records[server.target]
            record.in_flight -= 1
            record.late += 1
            if record.late >= _LATE_ANSWERS:
                self._pause(record)

    def dropped(self, server: S) -> None:
        """Nobody waits for its answer any more, for no fault of its own."""
        with self._lock:
            self._records[server.target].in_flight -= 1

    def _pause(self, record: _Record) -> None:
        record.failures += 1
        seconds = min(_LONGEST_PAUSE_SECONDS, _FIRST_PAUSE_SECONDS * 2 ** min(record.failures - 1, 10))
        record.paused_until = self._clock() + seconds

    def _is_open(self, record: _Record, now: float) -> bool:
        if now < record.paused_until:
            return False
        return record.paused_until == 0.0 or record.in_flight == 0

    def _cost(self, server: S, tried: Collection[str]) -> tuple[bool, bool, float, float]:
        record, now = self._records[server.target], self._clock()
        is_shut = not self._is_open(record, now)
        return (
            is_shut,
            server.target in tried,
            record.paused_until if is_shut else 0.0,
            record.in_flight if self._by_load else 0,
        )
