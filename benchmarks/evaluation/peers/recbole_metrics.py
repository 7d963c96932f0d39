"""RecBole: its collector and evaluator on the same scores, seen items at −inf, as its trainer calls them."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch  # type: ignore[import-not-found]
from recbole.evaluator import Collector, Evaluator  # type: ignore[import-not-found]

from benchmarks.evaluation.world import KS, World

BATCH = 1024
NAMES = {"hit": "hit_rate", "recall": "recall", "precision": "precision", "ndcg": "ndcg", "mrr": "mrr", "map": "map"}
CONFIG: dict[str, Any] = {
    # Not its coverage, Gini and popularity: in 1.2.1 the collector fails on what they ask for ('int' has no 'cpu').
    "metrics": ["Hit", "Recall", "Precision", "NDCG", "MRR", "MAP"],
    "topk": list(KS),
    "eval_args": {"mode": "full"},
    "device": torch.device("cpu"),
    "metric_decimal_place": 12,
}


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--world", type=Path, required=True)
    flags.add_argument("--repeat", type=int, default=3)
    chosen = flags.parse_args()
    torch.set_num_threads(1)
    np.float = np.float64  # type: ignore[attr-defined]  # as RecBole's Config does; its metrics ask for the old name
    world = World.read(chosen.world)
    seconds, metrics = [], {}
    evaluate(world)
    for _ in range(chosen.repeat):
        begin = time.process_time()
        metrics = evaluate(world)
        seconds.append({"whole": time.process_time() - begin})
    print(json.dumps({"seconds": seconds, "metrics": metrics}))


def evaluate(world: World) -> dict[str, float]:
    users = len(world.scores)
    collector, evaluator = Collector(CONFIG), Evaluator(CONFIG)
    for start in range(0, users, BATCH):
        stop = min(start + BATCH, users)
        scores = torch.from_numpy(world.scores[start:stop].copy())
        scores[pairs(world.seen_splits, world.seen_items, start, stop)] = -np.inf
        collector.eval_batch_collect(scores, None, *pairs(world.relevant_splits, world.relevant_items, start, stop))
    found = evaluator.evaluate(collector.get_data_struct())
    return {f"{ours}_at_{k}": float(found[f"{theirs}@{k}"]) for theirs, ours in NAMES.items() for k in KS}


def pairs(splits: np.ndarray, items: np.ndarray, start: int, stop: int) -> tuple[torch.Tensor, torch.Tensor]:
    rows = np.repeat(np.arange(stop - start), np.diff(splits[start : stop + 1]))
    return torch.from_numpy(rows), torch.from_numpy(items[splits[start] : splits[stop]])


if __name__ == "__main__":
    main()
