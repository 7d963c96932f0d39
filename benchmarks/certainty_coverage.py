"""`python -m benchmarks.certainty_coverage`: how often each interval holds the truth, where the truth is known.

Every case draws users from a world with a known mean or effect, asks the library, and notes whether the interval
holds it; intervals over looks must hold at all of them. Markdown on stdout, with each share's binomial 95 % interval.

example: python -m benchmarks.certainty_coverage --runs 2000
         python -m benchmarks.certainty_coverage --runs 1000 --only sequential
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from scipy.stats import binomtest

from tfrec.certainty import bootstrap_mean, compare_with_one, paired_comparison, seed_summary
from tfrec.certainty.paired import TESTS
from tfrec.experiment.pair import Pair

Run = Callable[[np.random.Generator], bool]
GAINS = 1 / np.log2(np.arange(2, 12))  # NDCG@10 of one relevant item by its rank


@dataclass(frozen=True)
class Case:
    """What is claimed of an interval, and one draw of whether it held.

    Attributes:
        name: interval, world and size
        low: smallest share that the claim allows
        high: largest
        holds: draws a world's users and returns whether the interval holds the truth

    """

    name: str
    low: float
    high: float
    holds: Run


def cases() -> Iterator[Case]:
    """All of them, in the order of the table."""
    claimed = partial(Case, low=0.93, high=0.97)
    for users in (200, 1000):
        for world in (hit_rate, ndcg, revenue, weighted_auc):
            for method in ("bca", "percentile"):
                name = f"bootstrap {method}, {world.__name__}, {users:,} users"
                limits = (0.93, 0.97) if method == "bca" else (0.0, 1.0)  # the other one is there to be compared
                yield Case(name, *limits, partial(mean_holds, world=world, users=users, method=method))
    for users in (50, 500):
        yield claimed(f"paired difference, {users} users", holds=partial(pair_holds, users=users))
    for name in TESTS:
        holds = partial(equal_models_hold, users=200, test=name)
        yield claimed(f"paired test {name} does not reject equal models, 200 users", holds=holds)
    for seeds, spread in ((3, 0.0), (3, 0.01), (3, 0.05), (5, 0.01), (10, 0.01), (10, 0.05)):
        name = f"{seeds} seeds of deviation {spread:g}, 500 users"
        yield claimed(name, holds=partial(seeds_hold, seeds=seeds, spread=spread, users=500))
    yield claimed("5 models against one, all intervals, 500 users", holds=partial(family_holds, users=500))
    for users in (400, 4000):
        yield claimed(f"ratio by the delta method, {users:,} users", holds=partial(effect_holds, ratio, users=users))
        yield claimed(f"difference, revenue, {users:,} users", holds=partial(effect_holds, skewed, users=users))
        yield claimed(f"CUPED, revenue, {users:,} users", holds=partial(effect_holds, explained, users=users))
    for test in (ratio, skewed, explained):
        for planned in (1000, 10_000, 100_000):
            name = f"sequential at 50 looks, {test.__name__}, 10,000 users, {planned:,} planned"
            yield Case(name, 0.95, 1.0, partial(looks_hold, test, planned=planned))
        name = f"fixed intervals at 50 looks, {test.__name__}, 10,000 users (for comparison)"
        yield Case(name, 0.0, 1.0, partial(fixed_looks_hold, test))


# Worlds of metrics: values and weights of users, and the true mean.


def hit_rate(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray, float]:
    return (rng.random(users) < 0.1).astype(float), np.ones(users), 0.1


def ndcg(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Nine of ten users have 0."""
    values = (rng.random(users) < 0.1) * GAINS[rng.integers(0, 10, users)]
    return values, np.ones(users), 0.1 * float(GAINS.mean())


def revenue(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Log-normal with σ = 1: skewness 6.2."""
    return rng.lognormal(0, 1, users), np.ones(users), float(np.exp(0.5))


def weighted_auc(rng: np.random.Generator, users: int) -> tuple[np.ndarray, np.ndarray, float]:
    """Weights are log-normal and go along with the value: E[w v] / E[w] with E[w | v] ∝ 0.5 + v, v ~ Beta(3, 2)."""
    values = rng.beta(3, 2, users)
    truth = (0.5 * 0.6 + 0.4) / (0.5 + 0.6)  # E v = 0.6, E v² = 0.4
    return values, rng.lognormal(0, 0.8, users) * (0.5 + values), truth


def mean_holds(rng: np.random.Generator, *, world: Callable, users: int, method: str) -> bool:
    values, weights, truth = world(rng, users)
    found = bootstrap_mean(values, weights=weights, seed=int(rng.integers(2**31)), method=method)
    return found.low <= truth <= found.high


# Models on the same users.


def two_models(rng: np.random.Generator, users: int, better: float) -> tuple[np.ndarray, np.ndarray]:
    """NDCG of two models that find the same user's item more often than by chance; `a` finds it more often."""
    ease = rng.beta(1, 3, users)
    a, b = ((rng.random(users) < ease * times) * GAINS[rng.integers(0, 10, users)] for times in (better, 1.0))
    return a, b


def pair_holds(rng: np.random.Generator, *, users: int) -> bool:
    a, b = two_models(rng, users, 1.2)
    found = paired_comparison(a, b, test="t", seed=int(rng.integers(2**31)))
    return found.low <= 0.2 * 0.25 * float(GAINS.mean()) <= found.high


def equal_models_hold(rng: np.random.Generator, *, users: int, test: str) -> bool:
    a, b = two_models(rng, users, 1.0)
    return paired_comparison(a, b, test=test, flips=2000, seed=int(rng.integers(2**31))).p_value > 0.05


def seeds_hold(rng: np.random.Generator, *, seeds: int, spread: float, users: int) -> bool:
    ease = rng.beta(1, 3, users)
    hits = rng.random((seeds, users)) < ease
    values = hits * GAINS[rng.integers(0, 10, (seeds, users))] + rng.normal(0, spread, (seeds, 1))
    found = seed_summary(values)
    return found.low <= 0.25 * float(GAINS.mean()) <= found.high


def family_holds(rng: np.random.Generator, *, users: int) -> bool:
    ease = rng.beta(1, 3, users)
    values = (rng.random((6, users)) < ease) * GAINS[rng.integers(0, 10, (6, users))]
    found = compare_with_one(values[0], values[1:], flips=2000, seed=int(rng.integers(2**31)))
    return bool(((found.low <= 0) & (found.high >= 0)).all())


# A/B tests: a world returns its users in the order in which they came, and the true difference.


def experiment(is_variant: np.ndarray, numerator: np.ndarray, **others: np.ndarray) -> Pair:
    users = len(numerator)
    arrays = {"denominator": None, "covariates": np.zeros((users, 0)), "known_ms": np.arange(users)}
    return Pair(is_variant, numerator, missing=0, **{**arrays, **others})  # type: ignore[arg-type]


def ratio(rng: np.random.Generator, users: int) -> tuple[Pair, float]:
    """Clicks per impression; heavy users see more and click more, so rows are not independent."""
    is_variant = rng.random(users) < 0.5
    activity = rng.gamma(1, 1, users)
    impressions = 1 + rng.poisson(5 * activity)
    clicks = rng.binomial(impressions, (0.05 + 0.05 * activity / (1 + activity)) * (1 + 0.1 * is_variant))
    return experiment(is_variant, clicks.astype(float), denominator=impressions.astype(float)), 0.1 * _ratio_truth()


def _ratio_truth() -> float:
    """E[impressions · rate] / E[impressions] = 0.05 + 0.05 E[(1 + 5 g) g / (1 + g)] / 6, g ~ exponential."""
    grid = np.linspace(0, 40, 200_001)
    inner = (1 + 5 * grid) * grid / (1 + grid) * np.exp(-grid)
    return 0.05 + 0.05 * float(np.trapezoid(inner, grid)) / 6


def skewed(rng: np.random.Generator, users: int) -> tuple[Pair, float]:
    """One of five users buys, for a log-normal sum; the variant adds 10 %."""
    is_variant = rng.random(users) < 0.5
    values = (rng.random(users) < 0.2) * rng.lognormal(0, 1, users) * (1 + 0.1 * is_variant)
    return experiment(is_variant, values), 0.1 * 0.2 * float(np.exp(0.5))


def explained(rng: np.random.Generator, users: int) -> tuple[Pair, float]:
    """The same person before explains the log-normal value; a fifth of the users are new and have no past."""
    is_variant = rng.random(users) < 0.5
    person = rng.normal(0, 0.8, users)
    values = np.exp(person + rng.normal(0, 0.6, users)) * (1 + 0.1 * is_variant)
    is_known = rng.random(users) < 0.8
    before = np.exp(person + rng.normal(0, 0.6, users))
    covariates = np.stack([np.where(is_known, before, before[is_known].mean()), is_known], axis=1)
    return experiment(is_variant, values, covariates=covariates), 0.1 * float(np.exp(0.5))


def effect_holds(world: Callable, rng: np.random.Generator, *, users: int) -> bool:
    pair, truth = world(rng, users)
    plain, better = pair.effects(alpha=0.05)
    found = better or plain
    return found.low <= truth <= found.high


def looks_hold(world: Callable, rng: np.random.Generator, *, planned: int) -> bool:
    pair, truth = world(rng, 10_000)
    return all(now.low <= truth <= now.high for now in pair.looks(50, planned_users=planned, alpha=0.05))


def fixed_looks_hold(world: Callable, rng: np.random.Generator) -> bool:
    pair, truth = world(rng, 10_000)
    found = (pair.effects(end, alpha=0.05) for end in range(400, 10_001, 200))
    return all(low <= truth <= high for low, high in ((e.low, e.high) for e in (b or p for p, b in found)))


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--runs", type=int, default=2000, help="of each case")
    flags.add_argument("--only", default="", help="cases whose name holds this")
    flags.add_argument("--seed", type=int, default=0)
    chosen = flags.parse_args()
    print("| interval | held | 95 % of that share | claim | |\n|---|---|---|---|---|")
    started = time.perf_counter()
    for place, case in enumerate(cases()):
        if chosen.only in case.name:
            print(line(case, chosen.runs, chosen.seed + 1000 * place), flush=True)
    print(f"\n{chosen.runs:,} runs each, {time.perf_counter() - started:.0f} s.")


def line(case: Case, runs: int, seed: int) -> str:
    """Run a case, and return its row of the table."""
    held = sum(case.holds(np.random.default_rng([seed, run])) for run in range(runs))
    bounds = binomtest(held, runs).proportion_ci()
    claim = "" if case.low == 0 else f"{case.low:.0%} to {case.high:.0%}"
    verdict = "" if case.low == 0 else ("yes" if case.low <= held / runs <= case.high else "**no**")
    return f"| {case.name} | {held / runs:.1%} | {bounds.low:.1%} to {bounds.high:.1%} | {claim} | {verdict} |"


if __name__ == "__main__":
    main()
