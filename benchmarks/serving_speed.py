"""`python -m benchmarks.serving_speed`: the embedded model server under load; Markdown on stdout.

The server has one core, the caller another. `tiny` halves a number, `mlp` scores 64 candidates with two hidden layers
in batches, `swaps` replaces the tiny model's version under load, `memory` asks for long and looks at what the server
holds.

example: python -m benchmarks.serving_speed --seconds 10 --requests 1000000
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks.flags import picked
from benchmarks.serving.load import ClosedLoop, Outcome, run
from benchmarks.serving.models import CANDIDATES, FEATURES, Perceptron, Tiny, request, save
from benchmarks.serving.process import ServerProcess

SCENES = ("tiny", "mlp", "swaps", "memory")
SWAPS = 20
_MODEL = "m"
_WARM_UP_SECONDS = 1.0


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--scenes", help=f"of {', '.join(SCENES)}, with commas between; all by default")
    flags.add_argument("--seconds", type=float, default=10.0, help="length of tiny and of mlp (%(default)s)")
    flags.add_argument("--requests", type=int, default=1_000_000, help="of memory (%(default)s)")
    flags.add_argument("--in-flight", type=int, default=32)
    chosen = flags.parse_args()
    scenes = picked(flags, "--scenes", chosen.scenes, SCENES)
    cores = sorted(os.sched_getaffinity(0))
    server_core = cores[0] if len(cores) > 1 else None
    if server_core is not None:
        os.sched_setaffinity(0, {cores[1]})
    with tempfile.TemporaryDirectory() as folder:
        measure = {"tiny": _tiny, "mlp": _mlp, "swaps": _swaps, "memory": _memory}
        for scene in scenes:
            measure[scene](Path(folder) / scene, server_core, chosen)


def _tiny(folder: Path, core: int | None, chosen: argparse.Namespace) -> None:
    save(Tiny(), folder / "1")
    rows = np.ones(1, np.float32)
    _print_speeds("tiny", folder, rows, core, chosen, [[]])


def _mlp(folder: Path, core: int | None, chosen: argparse.Namespace) -> None:
    save(Perceptron(), folder / "1")
    rows = np.random.default_rng(2).normal(size=(CANDIDATES, FEATURES)).astype(np.float32)
    _print_speeds("mlp", folder, rows, core, chosen, [[], ["--enable_batching"]])


def _print_speeds(
    scene: str, folder: Path, rows: np.ndarray, core: int | None, chosen: argparse.Namespace, kinds: list[list[str]]
) -> None:
    print(f"| {scene} | in flight | requests/s | p50 ms | p99 ms | failed | server's CPU µs a request |")
    print("|---|---|---|---|---|---|---|")
    for more in kinds:
        with ServerProcess(_flags(folder, *more), core) as server:
            for in_flight in (1, chosen.in_flight):
                run(server.target, request(_MODEL, rows), in_flight, _WARM_UP_SECONDS)
                before = server.cpu_seconds()
                outcome = run(server.target, request(_MODEL, rows), in_flight, chosen.seconds)
                cpu_micros = (server.cpu_seconds() - before) * 1e6 / len(outcome.latencies)
                name = " ".join(more) or "alone"
                print(f"| {name} | {in_flight} | {_speed(outcome)} | {cpu_micros:.0f} |", flush=True)
    print()


def _speed(outcome: Outcome) -> str:
    times = f"{outcome.percentile_ms(50):.2f} | {outcome.percentile_ms(99):.2f}"
    return f"{outcome.per_second:,.0f} | {times} | {len(outcome.failures)}"


def _swaps(folder: Path, core: int | None, chosen: argparse.Namespace) -> None:
    template = folder.with_name("template")
    save(Tiny(), template)
    shutil.copytree(template, folder / "1")
    with ServerProcess(_flags(folder, "--file_system_poll_wait_seconds=0.1"), core) as server:
        loop = ClosedLoop(server.target, request(_MODEL, np.ones(1, np.float32)), chosen.in_flight)
        loop.start()
        for version in range(2, SWAPS + 2):
            hidden = folder.with_name(f"incoming-{version}")
            shutil.copytree(template, hidden)
            hidden.rename(folder / str(version))
            server.wait_for_version(_MODEL, version)
        outcome = loop.stop()
    print(f"| {SWAPS} swaps under load | requests | failed | p99 ms | longest ms |\n|---|---|---|---|---|")
    times = f"{outcome.percentile_ms(99):.2f} | {outcome.percentile_ms(100):.0f}"
    calls = f"{len(outcome.latencies):,} | {len(outcome.failures)}"
    print(f"| {chosen.in_flight} in flight | {calls} | {times} |\n", flush=True)


def _memory(folder: Path, core: int | None, chosen: argparse.Namespace) -> None:
    save(Tiny(), folder / "1")
    print("| requests so far | failed | memory of the server, MB |\n|---|---|---|")
    with ServerProcess(_flags(folder), core) as server:
        total = 0
        for part in (0.1, *[0.18] * 5):
            loop = ClosedLoop(server.target, request(_MODEL, np.ones(1, np.float32)), chosen.in_flight)
            loop.start()
            while loop.num_answered < part * chosen.requests:
                time.sleep(0.05)
            outcome = loop.stop()
            total += len(outcome.latencies)
            print(f"| {total:,} | {len(outcome.failures)} | {server.memory_bytes() / 1e6:.1f} |", flush=True)


def _flags(folder: Path, *more: str) -> list[str]:
    return [f"--model_base_path={folder}", f"--model_name={_MODEL}", *more]


if __name__ == "__main__":
    main()
