"""One version of a model from START to END: its state, and the requests that keep it alive."""

from __future__ import annotations

import dataclasses
import enum
import logging
import threading
import time
from pathlib import Path

from serving.server.models.version_dirs import Fingerprint, fingerprint
from serving.server.models.warmup import warm_up
from serving.server.options import LoadOptions
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError, status_of_exception

_log = logging.getLogger(__name__)


class State(enum.IntEnum):
    """The states of a version, numbered as in ModelVersionStatus."""

    START = 10
    LOADING = 20
    AVAILABLE = 30
    UNLOADING = 40
    END = 50


@dataclasses.dataclass(frozen=True)
class VersionStatus:
    """What a status request learns of a version; `error` is what its last load failed with."""

    version: int
    state: State
    error: StatusError | None


class ServedVersion:
    """A version of one model.

    A request holds it between `try_acquire` and `release`. Unloading lets no new request in, and the last one
    to leave frees the memory, so that nobody waits and no request loses its model. `load`, `notice_new_files`
    and `drop` belong to one thread, the model's.
    """

    def __init__(self, model_name: str, number: int, path: Path, options: LoadOptions) -> None:
        self.model_name = model_name
        self.number = number
        self.path = path
        self.is_dropped = False
        self._options = options
        self._num_failures = 0
        self._failed_files: Fingerprint | None = None
        self._next_attempt_seconds = time.monotonic()
        self._lock = threading.Lock()
        self._state = State.START
        self._error: StatusError | None = None
        self._servable: Servable | None = None
        self._num_requests = 0

    def __str__(self) -> str:
        return f"{{name: {self.model_name} version: {self.number}}}"

    @property
    def status(self) -> VersionStatus:
        """The present state and error."""
        with self._lock:
            return VersionStatus(self.number, self._state, self._error)

    @property
    def is_available(self) -> bool:
        """Whether requests are let in."""
        return self._state is State.AVAILABLE

    @property
    def next_attempt_seconds(self) -> float | None:
        """When to call `load`, on the monotonic clock; None when there is nothing left to try."""
        return self._next_attempt_seconds if self._state in (State.START, State.LOADING) else None

    def load(self) -> None:
        """Load and warm up. A failure leaves it LOADING with the error, or ENDs it after the last retry."""
        with self._lock:
            self._state = State.LOADING
        # Taken first: files that arrive during the load then count as a change.
        files = fingerprint(self.path)
        try:
            servable = Servable.load(self.path, self._options.runtime)
            try:
                if self._options.warms_up:
                    warm_up(servable, self.number, self.path, self._options.num_warm_up_iterations)
            except BaseException:
                servable.close()
                raise
        except Exception as error:
            self._note_failure(status_of_exception(error), files)
            return
        with self._lock:
            self._servable, self._error, self._state = servable, None, State.AVAILABLE
        self._failed_files = None
        _log.info("Servable %s is available", self)

    def notice_new_files(self) -> None:
        """Start afresh when a load failed and the directory has changed since: it was still being written."""
        if self._failed_files is None or self._failed_files == fingerprint(self.path):
            return
        with self._lock:
            self._failed_files, self._num_failures = None, 0
            self._next_attempt_seconds = time.monotonic()
            self._state = State.LOADING

    def _note_failure(self, error: StatusError, files: Fingerprint) -> None:
        self._num_failures += 1
        self._failed_files = files
        self._next_attempt_seconds = time.monotonic() + self._options.load_retry_interval_seconds
        num_retries_left = self._options.max_num_load_retries - self._num_failures + 1
        with self._lock:
            self._error = error
            if num_retries_left <= 0:
                self._state = State.END
        next_step = "given up" if num_retries_left <= 0 else f"{num_retries_left} retries left"
        _log.warning("Servable %s cannot be loaded: %s (%s)", self, error, next_step)

    def try_acquire(self) -> Servable | None:
        """Return the servable for one request, or None when the version is not AVAILABLE."""
        with self._lock:
            if self._state is not State.AVAILABLE:
                return None
            self._num_requests += 1
            return self._servable

    def release(self) -> None:
        """End one request's hold."""
        with self._lock:
            self._num_requests -= 1
            retired = self._take_if_idle()
        self._free(retired)

    def drop(self) -> None:
        """Let no new request in, and free the memory when the last one has left."""
        with self._lock:
            self.is_dropped = True
            if self._state is State.END:
                return
            self._state = State.UNLOADING
            retired = self._take_if_idle()
        self._free(retired)

    def cancel_requests(self) -> None:
        """Free the memory now; requests that still run end with CANCELLED."""
        with self._lock:
            servable = self._servable
        if servable is not None:
            servable.close()

    def _take_if_idle(self) -> Servable | None:
        if self._state is not State.UNLOADING or self._num_requests > 0:
            return None
        servable, self._servable = self._servable, None
        self._state = State.END
        return servable

    def _free(self, servable: Servable | None) -> None:
        # Outside the lock: freeing a large model takes a while, and status requests must not wait for it.
        if servable is not None:
            servable.close()
            _log.info("Servable %s is unloaded", self)
