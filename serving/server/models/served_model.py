"""One model: it watches its base path, and keeps the versions available that the policy asks for.

Availability comes first: a version is unloaded only once a wanted one answers, or when none is
wanted any more.
"""

from __future__ import annotations

import enum
import logging
import math
import threading
import time
from collections.abc import Callable
from pathlib import Path

from serving.server.models.served_version import ServedVersion, State, VersionStatus
from serving.server.models.version_dirs import find_versions
from serving.server.options import LoadOptions, ModelOptions
from serving.server.runtime.servable import Servable

_log = logging.getLogger(__name__)


class Progress(enum.Enum):
    """How far a model is on its way to its first answer."""

    NOT_LOOKED = enum.auto()  # the base path has not been read yet
    EMPTY = enum.auto()  # no complete version directory that the policy wants
    LOADING = enum.auto()
    AVAILABLE = enum.auto()  # a wanted version answers, and every other one has been tried
    FAILED = enum.auto()  # every wanted version has been given up


class ServedModel:
    """A model and its versions. One thread looks, loads and unloads; requests only read.

    `on_change` is called after each change of a version's state, from that thread.
    """

    def __init__(self, options: ModelOptions, load: LoadOptions, on_change: Callable[[], None]) -> None:
        self._options = options
        self._load = load
        self._on_change = on_change
        self._lock = threading.Lock()
        self._versions: dict[int, ServedVersion] = {}
        self._wanted: set[int] | None = None
        self._latest: ServedVersion | None = None
        self._problem = ""
        self._is_retired = False
        self._is_stopping = False
        self._next_look_seconds = time.monotonic() if load.poll_wait_seconds >= 0 else math.inf
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._watch, name=f"model {options.name}", daemon=True)

    @property
    def options(self) -> ModelOptions:
        """The present configuration."""
        return self._options

    def start(self) -> None:
        """Begin to watch the base path."""
        self._thread.start()

    def reconfigure(self, options: ModelOptions) -> None:
        """Take another base path or version policy, at once."""
        with self._lock:
            self._options = options
            self._next_look_seconds = time.monotonic()
        self._wake.set()

    def retire(self) -> None:
        """Unload every version, at once; their END stays to be seen."""
        self._is_retired = True
        self._wake.set()

    def stop(self) -> None:
        """Stop watching, and free all versions; requests that still run end with CANCELLED."""
        self._is_stopping = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join()
        for version in self._snapshot():
            version.drop()
            version.cancel_requests()

    def acquire(self, number: int | None) -> tuple[ServedVersion, Servable] | None:
        """Return version `number`, or the latest, held for one request; None when it is not AVAILABLE."""
        while True:
            version = self._latest if number is None else self._versions.get(number)
            servable = version.try_acquire() if version else None
            if version and servable:
                return version, servable
            # The latest gets its successor before it is unloaded, so that another look finds the successor.
            if number is not None or version is self._latest:
                return None

    def statuses(self) -> list[VersionStatus]:
        """Return the status of every version this model has had, highest version first."""
        return sorted((version.status for version in self._snapshot()), key=lambda status: -status.version)

    def progress(self) -> Progress:
        """Return how far this model is on its way to its first answer."""
        with self._lock:
            if self._wanted is None:
                return Progress.NOT_LOOKED
            statuses = [self._versions[number].status for number in self._wanted]
        if not statuses:
            return Progress.EMPTY
        if all(status.state is State.END for status in statuses):
            return Progress.FAILED
        is_each_tried = all(status.state is State.AVAILABLE or status.error for status in statuses)
        is_any_available = any(status.state is State.AVAILABLE for status in statuses)
        return Progress.AVAILABLE if is_each_tried and is_any_available else Progress.LOADING

    def _snapshot(self) -> list[ServedVersion]:
        with self._lock:
            return list(self._versions.values())

    def _watch(self) -> None:
        while not self._is_stopping and not self._is_retired:
            self._wake.clear()
            if time.monotonic() >= self._next_look_seconds:
                self._look()
            self._load_next_version()
            self._unload_unwanted_versions()
            self._wake.wait(self._seconds_to_sleep())
        if self._is_retired:
            self._wanted = set()
            self._unload_unwanted_versions()

    def _look(self) -> None:
        wait_seconds = self._load.poll_wait_seconds
        with self._lock:
            options = self._options
            self._next_look_seconds = time.monotonic() + wait_seconds if wait_seconds > 0 else math.inf
        try:
            found = find_versions(options.base_path)
            chosen = options.version_policy.choose(found)
        except OSError as error:
            # A file system that is away for a moment must not take the model with it.
            self._warn(f"model {options.name!r}: can't read base path {options.base_path}: {error}")
            return
        missing = options.version_policy.missing(found)
        if missing:
            names = ", ".join(str(number) for number in sorted(missing))
            self._warn(f"model {options.name!r}: no complete version {names} under {options.base_path}")
        elif not found:
            self._warn(f"No versions of servable {options.name} found under base path {options.base_path}")
        else:
            self._problem = ""
        with self._lock:
            self._wanted = chosen
            for number in chosen:
                self._want(number, found[number])
        self._on_change()

    def _want(self, number: int, path: Path) -> None:
        """See that a wanted version is on its way: it is new, or back, or its files have changed."""
        version = self._versions.get(number)
        if version is None or version.is_dropped:
            self._versions[number] = ServedVersion(self._options.name, number, path, self._load)
        else:
            version.notice_new_files()

    def _wanted_versions(self) -> list[ServedVersion]:
        """Return the wanted versions, highest first: the newest is the one that people wait for."""
        wanted = self._wanted or set()
        return sorted((v for v in self._snapshot() if v.number in wanted), key=lambda version: -version.number)

    def _seconds_to_sleep(self) -> float | None:
        attempts = (version.next_attempt_seconds for version in self._wanted_versions())
        due_seconds = min([self._next_look_seconds, *(seconds for seconds in attempts if seconds is not None)])
        return None if due_seconds == math.inf else max(0.0, due_seconds - time.monotonic())

    def _load_next_version(self) -> None:
        """Load one version at most: after each there may be one to unload, or something new to see."""
        for version in self._wanted_versions():
            attempt_seconds = version.next_attempt_seconds
            if attempt_seconds is not None and attempt_seconds <= time.monotonic():
                version.load()
                self._publish_latest(self._snapshot())
                self._on_change()
                return

    def _unload_unwanted_versions(self) -> None:
        if self._wanted is None:
            return
        kept: list[ServedVersion] = []
        unwanted: list[ServedVersion] = []
        for version in self._snapshot():
            (kept if version.number in self._wanted else unwanted).append(version)
        unwanted = [version for version in unwanted if not version.is_dropped]
        if not unwanted or (self._wanted and not any(version.is_available for version in kept)):
            return
        self._publish_latest(kept)
        for version in unwanted:
            version.drop()
        self._on_change()

    def _publish_latest(self, versions: list[ServedVersion]) -> None:
        available = [version for version in versions if version.is_available]
        self._latest = max(available, key=lambda version: version.number, default=None)

    def _warn(self, problem: str) -> None:
        """Log a problem once, not at every look."""
        if problem != self._problem:
            self._problem = problem
            _log.warning("%s", problem)
