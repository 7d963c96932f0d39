"""A side of `benchmarks.als_speed`: passes of our ALS over a file of pairs."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from scipy import sparse

from tfrec.models.factors.als_training import Ridge, first_vectors, implicit_items

FEW, MORE = 2, 6


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--pairs", type=Path, required=True)
    flags.add_argument("--dim", type=int, required=True)
    asked = flags.parse_args()
    pairs = np.loadtxt(asked.pairs, dtype=np.int64, usecols=(0, 1))
    taken = sparse.csr_array((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])))
    taken.sum_duplicates()
    start = first_vectors(taken.shape[1], asked.dim, 0.1, 1)
    seconds = []
    for passes in (1, FEW, MORE):  # the first pays for what a process does once
        began = time.process_time()
        implicit_items(taken, start, passes, Ridge(0.007, 1.0), 0.3)
        seconds.append(time.process_time() - began)
    print(json.dumps({"cpu_seconds_a_pass": (seconds[2] - seconds[1]) / (MORE - FEW)}))


if __name__ == "__main__":
    main()
