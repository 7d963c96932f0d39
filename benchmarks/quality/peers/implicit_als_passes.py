"""A side of `benchmarks.als_speed`: passes of implicit's ALS over a file of pairs."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from implicit.als import AlternatingLeastSquares  # type: ignore[import-not-found]
from scipy import sparse

FEW, MORE = 2, 6


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--pairs", type=Path, required=True)
    flags.add_argument("--dim", type=int, required=True)
    flags.add_argument("--exact", action="store_true", help="Cholesky factors instead of conjugate gradients")
    asked = flags.parse_args()
    pairs = np.loadtxt(asked.pairs, dtype=np.int64, usecols=(0, 1))
    taken = sparse.csr_matrix((np.ones(len(pairs), np.float32), (pairs[:, 0], pairs[:, 1])))
    taken.sum_duplicates()
    seconds = []
    for passes in (FEW, MORE):
        model = AlternatingLeastSquares(
            asked.dim, iterations=passes, use_cg=not asked.exact, num_threads=1, random_state=1
        )
        began = time.process_time()
        model.fit(taken, show_progress=False)
        seconds.append(time.process_time() - began)
    print(json.dumps({"cpu_seconds_a_pass": (seconds[1] - seconds[0]) / (MORE - FEW)}))


if __name__ == "__main__":
    main()
