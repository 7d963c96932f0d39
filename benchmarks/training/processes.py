"""A side of a comparison is a process of its own, on the same cores and with as many threads as the others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "TF_NUM_INTRAOP_THREADS",
           "TF_NUM_INTEROP_THREADS")  # fmt: skip


@dataclass(frozen=True)
class Run:
    """What a side said in its last line, and what its whole process took."""

    said: dict[str, Any]
    wall_seconds: float
    cpu_seconds: float
    peak_bytes: int = 0


def pin(threads: int) -> None:
    """Let this process and all it starts run on that many cores alone."""
    cores = sorted(os.sched_getaffinity(0))[-threads:]
    os.sched_setaffinity(0, set(cores))
    os.environ |= dict.fromkeys(THREADS, str(threads)) | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "2"}


def run(command: Sequence[str], log: Path, python: Path | None = None) -> Run:
    """Run `python -m …` to its end; its stdout must be, or end with a line of, JSON. Exits where it fails."""
    whole = [str(python or sys.executable), *command]
    with log.open("wb") as errors:
        begin = time.perf_counter()
        process = subprocess.Popen(whole, stdout=subprocess.PIPE, stderr=errors, cwd=ROOT)
        assert process.stdout is not None
        output = process.stdout.read().decode(errors="replace")
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        sys.exit(f"benchmarks: {' '.join(whole)} failed with {process.returncode}:\n{tail}")
    return Run(_json(output), wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024)


def _json(output: str) -> dict[str, Any]:
    text = output.strip()
    found: dict[str, Any] = json.loads(text if text.startswith("{\n") else text.splitlines()[-1] if text else "{}")
    return found


def make(target: Path, write: Callable[[Path], None]) -> Path:
    """What an earlier run left at `target`, or what `write` writes, under another name until it is whole."""
    if not target.exists():
        print(f"writing {target.name}", file=sys.stderr, flush=True)
        unfinished = target.with_name(target.name + ".unfinished")
        write(unfinished)
        unfinished.rename(target)
    return target
