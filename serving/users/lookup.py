"""Users of a store for requests: within a time, whatever the store does."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent import futures
from typing import Any

from serving.users.event import Event, current_sequences
from serving.users.record import UserRecord
from serving.users.store import Records, UserStore, append, open_store
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema

_THREADS = 8
_FAILURES = 3  # one after another: the store is left alone for a while

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class LookupCounts:
    """Users looked up, by how it ended; all but `found` get the model's answer without a store."""

    found: int = 0
    missing: int = 0
    late: int = 0
    failed: int = 0
    skipped: int = 0  # while the store was left alone

    @property
    def without_answer(self) -> int:
        """Those of whom the store said nothing at all."""
        return self.late + self.failed + self.skipped


class UserLookup:
    """Features and histories from `store`, for `Client(users=…)`.

    A store that is late, dead or broken costs a request at most `timeout_seconds`: the user then gets the answer of
    one that the store does not know, from what the model itself holds, and `counts` tells how often. After three
    failures in a row the store is left alone for `pause_seconds`.
    """

    def __init__(
        self,
        store: UserStore,
        timeout_seconds: float = 0.05,
        *,
        pause_seconds: float = 1.0,
        now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:
        if not timeout_seconds > 0:
            raise ConfigError(f"timeout_seconds: got {timeout_seconds:g}; allowed: above 0")
        self.counts = LookupCounts()
        self._store = store
        self._timeout_seconds = timeout_seconds
        self._pause_seconds = pause_seconds
        self._now_ms = now_ms
        self._pool = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="users")
        self._free = threading.Semaphore(_THREADS)  # a request never waits behind those that wait for a slow store
        self._lock = threading.Lock()
        self._failures = 0
        self._paused_until = 0.0
        self._schema: Schema | None = None

    @classmethod
    def at(cls, address: str, timeout_seconds: float) -> UserLookup:
        """In the store at `address` (`store.open_store`). Raises ArtifactError where it does not answer now."""
        store = open_store(address)
        try:
            store.schema()
            return cls(store, timeout_seconds)
        except store.errors as error:
            store.close()
            raise ArtifactError(f"{address}: {' '.join(str(error).split())}; is the store running?") from None
        except BaseException:
            store.close()
            raise

    def of(
        self, users: Sequence[str], replaced: Collection[str], timeout_seconds: float
    ) -> Sequence[Mapping[str, Any]]:
        """What the store knows of each user, within the time."""
        lookup = self._start(users)
        if lookup is None:
            return [{} for _ in users]
        try:
            found = lookup.result(min(timeout_seconds, self._timeout_seconds))
        except Exception as error:
            return self._without(users, error)
        return self._features(found, replaced)

    async def of_async(
        self, users: Sequence[str], replaced: Collection[str], timeout_seconds: float
    ) -> Sequence[Mapping[str, Any]]:
        """The same from an event loop, which goes on meanwhile."""
        lookup = self._start(users)
        if lookup is None:
            return [{} for _ in users]
        try:
            limit = min(timeout_seconds, self._timeout_seconds)
            found = await asyncio.wait_for(asyncio.wrap_future(lookup), limit)
        except Exception as error:
            return self._without(users, error)
        return self._features(found, replaced)

    def schema(self) -> Schema:
        """The store's schema, read once: a reload with another one wants new clients, as new models do."""
        if self._schema is None:
            self._schema = self._store.schema()
        return self._schema

    def append(self, user_id: str, event: Event) -> None:
        """Add an event to the user's histories; waits for the store, and raises what it raises."""
        append(self._store, user_id, event, self.schema())

    def close(self) -> None:
        """Let running look-ups end, and close the store."""
        self._pool.shutdown(cancel_futures=True)
        self._store.close()

    def _start(self, users: Sequence[str]) -> futures.Future[Records] | None:
        with self._lock:
            if time.monotonic() < self._paused_until:
                self.counts.skipped += len(users)
                return None
        if not self._free.acquire(blocking=False):
            self._without(users, TimeoutError())
            return None
        try:
            lookup = self._pool.submit(self._read, users)
        except BaseException:
            self._free.release()
            raise
        lookup.add_done_callback(lambda _: self._free.release())  # also of one that was cancelled before it began
        return lookup

    def _read(self, users: Sequence[str]) -> Records:
        self.schema()
        return self._store.get(users)

    def _without(self, users: Sequence[str], error: Exception) -> list[Mapping[str, Any]]:
        with self._lock:
            if isinstance(error, TimeoutError):
                self.counts.late += len(users)
            else:
                self.counts.failed += len(users)
            self._failures += 1
            if self._failures >= _FAILURES:
                self._paused_until = time.monotonic() + self._pause_seconds
                _log.warning("the store of users is left alone for %g s: %r", self._pause_seconds, error)
        return [{} for _ in users]

    def _features(self, found: Records, replaced: Collection[str]) -> list[Mapping[str, Any]]:
        num_missing = sum(record is None for record in found)
        with self._lock:
            self._failures = 0
            self.counts.missing += num_missing
            self.counts.found += len(found) - num_missing
        return [self._of_record(record, replaced) for record in found]

    def _of_record(self, record: UserRecord | None, replaced: Collection[str]) -> Mapping[str, Any]:
        if record is None or self._schema is None:
            return {}
        sequences = current_sequences(record, self._schema, self._now_ms())
        if any(name in replaced for name in sequences):
            return record.features
        return {**record.features, **{name: values for name, values in sequences.items() if values}}
