"""Our side: `python -m benchmarks.evaluation.ours --world DIR --repeat 3`; JSON with CPU seconds and metrics."""

from __future__ import annotations

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from benchmarks.evaluation.world import KS, TOP, World
from tfrec.dataset.interactions import Interactions
from tfrec.metrics import (
    ItemFacts,
    Profiles,
    RankedLists,
    RankingAccumulator,
    full_ranking_auc,
    popularity_groups,
    ranking_metrics,
    top_unseen,
)

BATCH = 1024


@dataclass
class Clock:
    """CPU seconds of this process by what it did."""

    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    @contextmanager
    def of(self, what: str) -> Iterator[None]:
        begin = time.process_time()
        yield
        self.seconds[what] += time.process_time() - begin


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__)
    flags.add_argument("--world", type=Path, required=True)
    flags.add_argument("--repeat", type=int, default=3)
    chosen = flags.parse_args()
    world = World.read(chosen.world)
    seen = Interactions(world.seen_splits, world.seen_items, world.scores.shape[1])
    evaluate(world, seen, Clock())  # once for nothing: memory is fresh, files are read
    seconds, metrics = [], dict[str, float]()
    for _ in range(chosen.repeat):
        clock = Clock()
        metrics = evaluate(world, seen, clock)
        seconds.append(dict(clock.seconds))
    print(json.dumps({"seconds": seconds, "metrics": metrics}))


def evaluate(world: World, seen: Interactions, clock: Clock) -> dict[str, float]:
    """The whole evaluation; the clock also has ranking metrics alone, from finished lists, as others compute them."""
    with clock.of("facts"):
        accumulator = _accumulator(world, seen)
    for start in range(0, len(world.scores), BATCH):
        users = np.arange(start, min(start + BATCH, len(world.scores)))
        scores = world.scores[start : start + BATCH]
        splits = world.relevant_splits[start : users[-1] + 2]
        wanted = world.relevant_items[splits[0] : splits[-1]]
        with clock.of("top"):
            rows, items = seen.pairs_of(users)
            listed, best = top_unseen(scores, rows, items, TOP)
        lists = RankedLists(users, listed, best, splits - splits[0], wanted)
        with clock.of("auc"):
            auc = full_ranking_auc(scores, rows, items, np.repeat(users - start, lists.relevant_counts), wanted)
        with clock.of("rest"):
            accumulator.add(lists, {"auc": auc})
        again = replace(lists)  # has no hits yet
        with clock.of("accuracy alone"):
            ranking_metrics(again.hits, again.relevant_counts, KS)
    with clock.of("rest"):
        return accumulator.metrics()


def _accumulator(world: World, seen: Interactions) -> RankingAccumulator:
    counted = ItemFacts.of(seen)
    groups = {"popularity": popularity_groups(counted.training_users)}
    facts = ItemFacts(counted.training_users, counted.num_users, world.vectors, groups)
    return RankingAccumulator(KS, facts, Profiles.of(seen, facts))


if __name__ == "__main__":
    main()
