"""Surprise's predictors, with settings of their own as they come."""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path

import numpy as np
from surprise import SVD, Dataset, KNNBaseline, Reader, SVDpp  # type: ignore[import-not-found]

ALGORITHMS = {"SVD": SVD, "SVDpp": SVDpp, "KNNBaseline": KNNBaseline}
PARTS = ("train", "validation", "test")


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--parts", type=Path, required=True, help="directory of train, validation and test.txt")
    flags.add_argument("--delimiter", required=True)
    flags.add_argument("--algorithm", choices=sorted(ALGORITHMS), required=True)
    flags.add_argument("--settings", type=json.loads, required=True)
    flags.add_argument("--seed", type=int, required=True)
    flags.add_argument("--output", type=Path, required=True, help="predictions in the order of test.txt, .npy")
    asked = flags.parse_args()
    random.seed(asked.seed)
    np.random.seed(asked.seed)
    train, validation, test = (rows(asked.parts / f"{part}.txt", asked.delimiter) for part in PARTS)
    values = [rating for _, _, rating in train]
    data = Dataset(Reader(rating_scale=(min(values), max(values))))
    fold = data.construct_trainset([(*row, None) for row in train + validation])
    # Neighbours have nothing random; the others take a seed.
    seed = {} if asked.algorithm == "KNNBaseline" else {"random_state": asked.seed}
    model = ALGORITHMS[asked.algorithm](**asked.settings, **seed)
    started = time.perf_counter()
    model.fit(fold)
    seconds = time.perf_counter() - started
    np.save(asked.output, [model.predict(user, item).est for user, item, _ in test])
    print(json.dumps({"fit_seconds": round(seconds, 2)}))


def rows(path: Path, delimiter: str) -> list[tuple[str, str, float]]:
    lines = [line.split(delimiter) for line in path.read_text(encoding="ascii").splitlines()]
    return [(user, item, float(rating)) for user, item, rating, *_ in lines]


if __name__ == "__main__":
    main()
