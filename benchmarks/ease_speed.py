"""`python -m benchmarks.ease_speed`: EASE's solution on one core, by number of items and precision; Markdown on stdout.

Each row is a process of its own that draws a sparse log (items by popularity, as most logs have it), makes the Gram
matrix and solves it: what `model.fit` does but for filling the served table.

example: python -m benchmarks.ease_speed --items 2000 5000 10000
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from benchmarks.training import processes

PRECISIONS = ("float64", "float32")
EVENTS_OF_A_USER = 100


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--items", type=int, nargs="+", default=[2_000, 5_000, 10_000])
    flags.add_argument("--users", type=int, default=20_000)
    flags.add_argument("--one", choices=PRECISIONS, help="measure this in this process; JSON on stdout")
    chosen = flags.parse_args()
    if chosen.one:
        print(json.dumps(_measured(chosen.items[0], chosen.users, chosen.one)))
        return
    processes.pin(1)
    print("| items | precision | Gram matrix, CPU s | solution, CPU s | peak GB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for items in chosen.items:
            for precision in PRECISIONS:
                command = ["-m", "benchmarks.ease_speed", "--items", str(items), "--users", str(chosen.users),
                           "--one", precision]  # fmt: skip
                ran = processes.run(command, Path(folder) / "log.txt", Path(sys.executable))
                gram, solution = ran.said["gram_seconds"], ran.said["solution_seconds"]
                peak = ran.peak_bytes / 1e9
                print(f"| {items:,} | {precision} | {gram:.1f} | {solution:.1f} | {peak:.2f} |", flush=True)


def _measured(items: int, users: int, precision: str) -> dict[str, float]:
    from tfrec.models.ease import gram_matrix, solve

    rng = np.random.default_rng(1)
    popularity = 1 / np.arange(1, items + 1)
    drawn = rng.choice(items, users * EVENTS_OF_A_USER, p=popularity / popularity.sum())
    rows = np.repeat(np.arange(users), EVENTS_OF_A_USER)
    taken = sparse.csr_array((np.ones(len(rows), np.float32), (rows, drawn)), (users, items))
    taken.sum_duplicates()
    taken.data[:] = 1
    began = time.process_time()
    gram = gram_matrix(taken, np.dtype(precision))
    between = time.process_time()
    solve(gram, 300.0)
    return {"gram_seconds": between - began, "solution_seconds": time.process_time() - between}


if __name__ == "__main__":
    main()
