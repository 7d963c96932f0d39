"""The log that a service keeps of what it showed; writing never holds up a request."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import math
import queue
import threading
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from serving.client.ids import Id, id_text
from serving.impressions.exploration import Shown
from serving.impressions.files import IMPRESSIONS, OUTCOMES, GrowingFile, finish_files_of_the_dead
from tfrec.errors import ConfigError

_LOOK_SECONDS = 0.5  # between two looks at the age of the files, where nothing is written
_ENTRIES_AT_ONCE = 1000

_log = logging.getLogger(__name__)


@dataclasses.dataclass
class LogCounts:
    """Requests and outcomes given to a log."""

    written: int = 0
    not_sampled: int = 0
    dropped: int = 0  # the queue was full, or the disk refused


class ImpressionLog:
    """Writes what was shown, and what users took of it, to JSON lines in `directory`.

    `share` of the requests are written, chosen by a hash of the request id, so that every process chooses the same. A
    queue of `max_waiting` entries stands between the requests and the disk; what finds it full is dropped and counted.
    Files get their final name when `file_seconds` old, and when the log closes; those of a process that died get theirs
    from the next one. Several processes may write to one directory.
    """

    def __init__(
        self, directory: str | Path, *, share: float = 1.0, file_seconds: float = 600.0, max_waiting: int = 10_000
    ) -> None:
        if not 0 < share <= 1:
            raise ConfigError(f"share: got {share:g}; allowed: above 0, up to 1")
        self.counts = LogCounts()
        self._directory = Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        finish_files_of_the_dead(self._directory)
        self._share = share
        self._file_seconds = file_seconds
        self._waiting: queue.Queue[tuple[str, list[dict[str, Any]]] | None] = queue.Queue(max_waiting)
        self._lock = threading.Lock()
        self._files: dict[str, GrowingFile] = {}
        self._writer = threading.Thread(target=self._write_all, name="impressions", daemon=True)
        self._writer.start()

    def __enter__(self) -> ImpressionLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def shown(
        self,
        shown: Shown,
        request_id: str | None = None,
        time_ms: int | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> str:
        """Log what a user was shown; return the request's id, by which `outcome` knows it.

        `context` is what was so in the request, as it was given to the client: numbers, text, or lists of text.
        """
        request_id = request_id or uuid.uuid4().hex
        if not self._is_sampled(request_id):
            with self._lock:
                self.counts.not_sampled += 1
            return request_id
        items = shown.items
        origin = (
            {}
            if items.candidates is None
            else {
                "retrieval_model": items.candidates.model,
                "retrieval_version": items.candidates.version,
            }
        )
        of_request = {
            "request_id": request_id,
            "time_ms": _now_ms() if time_ms is None else time_ms,
            "user_id": items.user,
            "model": items.model,
            "version": items.version,
            **origin,
            "num_candidates": shown.num_candidates,
            "sampling_share": self._share,
            **({"context": {name: _plain(value) for name, value in context.items()}} if context else {}),
        }
        propensities = shown.propensities or (None,) * len(items)
        places = zip(items.ids, items.scores, propensities, strict=True)
        self._put(
            IMPRESSIONS,
            [
                {**of_request, "item_id": item_id, "position": place, "score": score, "propensity": propensity}
                for place, (item_id, score, propensity) in enumerate(places, 1)
            ],
        )
        return request_id

    def outcome(self, request_id: str, item_id: Id, value: float = 1.0, time_ms: int | None = None) -> None:
        """Log that the user took an item of the request: a click, a purchase; `value` is the reward."""
        if not math.isfinite(value):
            raise ConfigError(f"value: got {value}; allowed: finite numbers")
        if not self._is_sampled(request_id):
            return
        row = {"request_id": request_id, "item_id": id_text(item_id), "value": float(value)}
        self._put(OUTCOMES, [{**row, "time_ms": _now_ms() if time_ms is None else time_ms}])

    def close(self) -> None:
        """Write what waits, and give the files their final names."""
        if self._writer.is_alive():
            self._waiting.put(None)
            self._writer.join()

    def _is_sampled(self, request_id: str) -> bool:
        digest = hashlib.blake2b(request_id.encode(), digest_size=8).digest()
        return int.from_bytes(digest) < self._share * 2**64

    def _put(self, kind: str, rows: list[dict[str, Any]]) -> None:
        try:
            self._waiting.put_nowait((kind, rows))
        except queue.Full:
            self._count_dropped(1, "the queue is full")

    def _count_dropped(self, entries: int, reason: object) -> None:
        with self._lock:
            is_first = self.counts.dropped == 0
            self.counts.dropped += entries
        if is_first:
            _log.error("impressions are dropped: %s", reason)

    def _write_all(self) -> None:
        is_open = True
        while is_open:
            entries, is_open = self._next_entries()
            for kind in (IMPRESSIONS, OUTCOMES):
                lines_of_entries = []
                for rows in (rows for one, rows in entries if one == kind):
                    try:
                        lines_of_entries.append([json.dumps(row) for row in rows])
                    except (ValueError, TypeError) as error:  # an id or a time of an odd type
                        self._count_dropped(1, error)
                if lines_of_entries:
                    self._write(kind, lines_of_entries)
            self._finish(all_of_them=not is_open)

    def _write(self, kind: str, lines_of_entries: list[list[str]]) -> None:
        try:
            file = self._files.get(kind) or GrowingFile(self._directory, kind)
            self._files[kind] = file
            file.write(line for lines in lines_of_entries for line in lines)
        except OSError as error:
            self._count_dropped(len(lines_of_entries), error)
            return
        with self._lock:
            self.counts.written += len(lines_of_entries)

    def _next_entries(self) -> tuple[list[tuple[str, list[dict[str, Any]]]], bool]:
        """What waits, as soon as something does or a file may be old; False once the log closes."""
        entries: list[tuple[str, list[dict[str, Any]]]] = []
        try:
            entry = self._waiting.get(timeout=_LOOK_SECONDS)
            while entry is not None and len(entries) < _ENTRIES_AT_ONCE:
                entries.append(entry)
                entry = self._waiting.get_nowait()
        except queue.Empty:
            return entries, True
        if entry is not None:
            entries.append(entry)
        return entries, entry is not None

    def _finish(self, *, all_of_them: bool) -> None:
        for kind, file in list(self._files.items()):
            if all_of_them or time.monotonic() - file.begun_at >= self._file_seconds:
                del self._files[kind]
                try:
                    file.finish()
                except OSError as error:
                    _log.error("a file of impressions could not be finished: %s", error)


def _plain(value: Any) -> Any:
    return value.tolist() if isinstance(value, np.generic | np.ndarray) else value


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
