"""One command on one core: wall and CPU seconds, peak resident memory.

This module and its callers import nothing large: a child's peak memory starts at that of the process that forks it.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",  # also Arrow's pool of CPU threads
    "OPENBLAS_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "ARROW_IO_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True)
class Usage:
    """What a command took, its own children included."""

    wall_seconds: float
    cpu_seconds: float  # user + system
    peak_bytes: int  # resident, of the largest process


def pin_to_one_core() -> int:
    """Let this process and all it starts run on one core alone; return its number."""
    core = max(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {core})
    return core


def measure(command: Sequence[str], log: Path) -> Usage:
    """Run a Python command line to its end, its output in `log`; exit if it fails."""
    with log.open("wb") as output:
        begin = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, *command], stdout=output, stderr=subprocess.STDOUT, env=os.environ | ONE_THREAD
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-30:])
        sys.exit(f"benchmarks: {' '.join(command)} failed with {process.returncode}:\n{tail}")
    kilobyte = 1024  # the unit of ru_maxrss on Linux
    return Usage(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * kilobyte)


def run(command: Sequence[str]) -> str:
    """Run a Python command line unmeasured and return its stdout; exit if it fails."""
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, env=os.environ | ONE_THREAD)
    if done.returncode:
        sys.exit(f"benchmarks: {' '.join(command)} failed:\n{done.stderr[-4000:]}")
    return done.stdout


def bytes_below(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
