"""Files of a log that several processes write at once, and that only ever show whole lines under their final names."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import IO

IMPRESSIONS, OUTCOMES = "impressions", "outcomes"
_UNFINISHED = ".part"


def finished_files(directory: Path, kind: str) -> list[Path]:
    """The files of a kind that nobody writes any more, oldest first."""
    return sorted(directory.glob(f"{kind}-*.jsonl"))


class GrowingFile:
    """One file that lines are added to; `finish` gives it its final name."""

    def __init__(self, directory: Path, kind: str) -> None:
        seconds, nanoseconds = divmod(time.time_ns(), 10**9)  # names are in the order of time
        stamp = f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime(seconds))}.{nanoseconds:09d}"
        self._final = directory / f"{kind}-{stamp}-{uuid.uuid4().hex[:12]}.jsonl"
        self._path = self._final.with_name(self._final.name + _UNFINISHED)
        self.begun_at = time.monotonic()
        self._file: IO[str] = self._path.open("x", encoding="utf-8")
        fcntl.flock(self._file, fcntl.LOCK_EX)  # held until the process ends: the mark of a living writer

    def write(self, lines: Iterable[str]) -> None:
        """Add lines and hand them to the system: they outlive this process."""
        self._file.write("".join(line + "\n" for line in lines))
        self._file.flush()

    def finish(self) -> None:
        """Close it under its final name."""
        os.rename(self._path, self._final)
        self._file.close()


def finish_files_of_the_dead(directory: Path) -> list[Path]:
    """Give files whose writer died their final names, without a line that was cut off; return them."""
    found = []
    for path in sorted(directory.glob(f"*.jsonl{_UNFINISHED}")):
        with contextlib.suppress(OSError), path.open("r+b") as file:  # it may go away meanwhile
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            content = file.read()
            file.truncate(content.rfind(b"\n") + 1)
            final = path.with_name(path.name.removesuffix(_UNFINISHED))
            os.rename(path, final)
            found.append(final)
    return found
