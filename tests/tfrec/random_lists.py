"""Random lists, profiles and facts for the tests of the metrics: short and empty lists, users without anything."""

from dataclasses import dataclass

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.metrics import NO_ITEM, ItemFacts, Profiles, RankedLists, popularity_groups


@dataclass(frozen=True)
class Case:
    """What the metrics see, and the same as plain Python for the oracles."""

    lists: RankedLists
    facts: ItemFacts
    profiles: Profiles
    seen: Interactions
    listed: list  # of each user
    relevant: list
    had: list  # of every user index


def interactions(had, num_items):
    return Interactions(np.cumsum([0, *map(len, had)]), np.array([i for row in had for i in row], np.int64), num_items)


def random_case(seed, users=30, items=25, width=12, dim=4):
    """Lists of `users` of users + 5 users; the longest of them has `width` places."""
    rng = np.random.default_rng(seed)
    likely = rng.dirichlet(np.full(items, 0.3))
    had = [rng.choice(items, rng.integers(0, 12), p=likely).tolist() for _ in range(users + 5)]  # with repeats
    had[0] = had[3] = []
    asked = np.sort(rng.choice(users + 5, users, replace=False))
    listed, relevant = [], []
    for user in asked:
        left = np.array(sorted(set(range(items)) - set(had[user])), int)
        listed.append(rng.permutation(left)[: rng.integers(0, width + 1)].tolist())
        relevant.append(sorted(rng.permutation(left)[: rng.integers(0, 6)].tolist()))
    listed[1], relevant[2] = [], []
    vectors = rng.integers(0, 2, (items, dim)).astype(np.float32) * rng.uniform(0.5, 2, (items, 1))
    vectors[4] = 0
    seen = interactions(had, items)
    facts = ItemFacts.of(seen, vectors)
    facts = ItemFacts.of(seen, vectors, {"popularity": popularity_groups(facts.training_users)})
    table = np.array([row + [NO_ITEM] * (width - len(row)) for row in listed], np.int64).reshape(users, width)
    scores = np.where(table == NO_ITEM, -np.inf, -np.arange(width)).astype(np.float32)
    splits = np.cumsum([0, *map(len, relevant)])
    lists = RankedLists(asked, table, scores, splits, np.array([i for row in relevant for i in row], np.int64))
    return Case(lists, facts, Profiles.of(seen, facts), seen, listed, relevant, had)
