"""ranx: accuracy of finished lists, one thread, compiled before the clock starts."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
from ranx import Qrels, Run, evaluate  # type: ignore[import-not-found]

from benchmarks.evaluation.world import KS, TOP, World

NAMES = {"hit_rate": "hit_rate", "recall": "recall", "precision": "precision", "ndcg": "ndcg", "mrr": "mrr"}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--world", type=Path, required=True)
    flags.add_argument("--repeat", type=int, default=3)
    chosen = flags.parse_args()
    world = World.read(chosen.world)
    wanted = [f"{name}@{k}" for name in (*NAMES, "map") for k in KS]
    listed = best_unseen(world)
    few = [str(user) for user in range(min(20, len(listed)))]
    relevant, ranked = as_dicts(world, listed)
    evaluate(Qrels({u: relevant[u] for u in few}), Run({u: ranked[u] for u in few}), wanted, threads=1)  # compiles
    seconds, found = [], {}
    for _ in range(chosen.repeat):
        begin = time.process_time()
        qrels, run = Qrels(relevant), Run(ranked)
        built = time.process_time()
        found = evaluate(qrels, run, wanted, threads=1)
        seconds.append({"lists to Run and Qrels": built - begin, "accuracy alone": time.process_time() - built})
    metrics = {f"{ours}_at_{k}": float(found[f"{theirs}@{k}"]) for ours, theirs in NAMES.items() for k in KS}
    print(json.dumps({"seconds": seconds, "metrics": metrics}))


def best_unseen(world: World) -> np.ndarray:
    """The plain way: a stable sort of all scores. int64 [users, listed]"""
    scores = world.scores.copy()
    scores[np.repeat(np.arange(len(scores)), np.diff(world.seen_splits)), world.seen_items] = -np.inf
    return np.argsort(-scores, axis=1, kind="stable")[:, :TOP]


def as_dicts(world: World, listed: np.ndarray) -> tuple[dict[str, dict[str, int]], dict[str, dict[str, float]]]:
    """The form of ranx: user → item → relevance, and user → item → score."""
    bounds = zip(world.relevant_splits, world.relevant_splits[1:], strict=False)
    relevant = {
        str(user): {str(item): 1 for item in world.relevant_items[a:b].tolist()} for user, (a, b) in enumerate(bounds)
    }
    ranked = {
        str(user): {str(item): float(TOP - place) for place, item in enumerate(row)}
        for user, row in enumerate(listed.tolist())
    }
    return relevant, ranked


if __name__ == "__main__":
    main()
