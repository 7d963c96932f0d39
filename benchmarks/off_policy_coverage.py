"""`python -m benchmarks.off_policy_coverage`: estimators against worlds whose true value is known; Markdown on stdout.

For each regime many logs are drawn and every estimator judges the same target policy on each: how often its 95 %
interval covers the truth, its bias, its error. Estimators that do not claim an interval are listed too, in brackets.

example: python -m benchmarks.off_policy_coverage
         python -m benchmarks.off_policy_coverage --runs 200 --what slates
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from tfrec.off_policy import Estimate, evaluate_actions, evaluate_slates, examination_from_random_traffic
from tfrec.off_policy.slate_world import SlateWorld, Users
from tfrec.off_policy.world import BanditWorld, RewardKind

RUNS_AT_ONCE = 100
CLAIM = (0.93, 0.97)  # what a claimed 95 % interval must reach


@dataclass(frozen=True)
class Row:
    """One estimator in one regime; `claimed` is the share of logs on which it claims its interval."""

    regime: str
    estimator: str
    coverage: float
    claimed: float
    bias: float
    rmse: float
    width: float

    @property
    def is_claimed(self) -> bool:
        return self.claimed > 0.5

    def cells(self) -> str:
        coverage = f"{self.coverage:.1%}" if self.is_claimed else f"({self.coverage:.1%})"
        errors = f"{self.bias:+.4f} | {self.rmse:.4f} | {self.width:.4f}"
        return f"| {self.regime} | {self.estimator} | {coverage} | {self.claimed:.0%} | {errors} |"


@dataclass(frozen=True)
class Regime:
    """Logs to draw: a function from (seed, runs) to the estimates on that many logs, and the truth."""

    name: str
    truth: float
    estimates: Callable[[int, int], list[Estimate]]

    def rows(self, runs: int) -> Iterator[Row]:
        parts = [self.estimates(seed, at_once) for seed, at_once in enumerate(_chunks(runs))]
        for chunks in zip(*parts, strict=True):
            yield self._row(chunks)

    def _row(self, chunks: tuple[Estimate, ...]) -> Row:
        value, low, high, claims = (
            np.concatenate([np.atleast_1d(getattr(chunk, name)) for chunk in chunks])
            for name in ("value", "low", "high", "claims_interval")
        )
        covers = (low <= self.truth) & (self.truth <= high)
        return Row(
            self.name,
            chunks[0].estimator,
            float(covers.mean()),
            float(claims.mean()),
            float(value.mean() - self.truth),
            float(np.sqrt(np.square(value - self.truth).mean())),
            float(np.median(high - low)),
        )


def action_regimes() -> Iterator[Regime]:
    """Close and far policies, three kinds of reward, small and large logs, dependent rows, uniform logging."""
    users = np.random.default_rng(1).integers(1, 8, 400)  # rows of each of 400 users
    for layout, rows in (("300 rows", np.ones(300, int)), ("2,000 rows", np.ones(2000, int)), ("400 users", users)):
        for policy, distance in (("close", 0.3), ("far", 1.0), ("farther", 1.5)):
            kinds: tuple[RewardKind, ...] = ("binary", "normal", "exponential")
            for kind in kinds:
                effect = 0.05 if rows.max() > 1 else 0.0
                world = BanditWorld.planted(7, distance=distance, reward_kind=kind, user_effect=effect)
                yield Regime(f"{layout}, {policy}, {kind}", world.value, partial(_actions, world, rows))
    world = BanditWorld.planted(7, distance=1.0)
    uniform = replace(world, logging=np.full_like(world.logging, 1 / world.logging.shape[1]))
    yield Regime("1,000 rows, uniform logging, binary", world.value, partial(_actions, uniform, np.ones(1000, int)))


def slate_regimes() -> Iterator[Regime]:
    """Users to whom positions are independent, and users who read from the top; slates of three positions."""
    rows = np.random.default_rng(2).integers(1, 6, 400)
    for layout, slates in (("1,000 slates", np.ones(1000, int)), ("slates of 400 users", rows)):
        for policy, distance in (("close", 0.3), ("far", 0.8)):
            kinds: tuple[Users, ...] = ("independent", "cascade")
            for kind in kinds:
                world = SlateWorld.planted(7, distance=distance, users=kind)
                yield Regime(f"{layout}, {policy}, {kind} clicks", world.value, partial(_slates, world, slates))


def examination_regimes() -> Iterator[Regime]:
    """The click ratio of each position in randomised traffic, of requests whose rows depend on each other."""
    theta = 1 / np.arange(1, 6)
    for requests in (500, 4000):
        for k in (1, 4):
            estimates = partial(_examination, theta, requests, k)
            yield Regime(f"{requests:,} requests, position {k + 1}", float(theta[k]), estimates)


WHAT = {"actions": action_regimes, "slates": slate_regimes, "examination": examination_regimes}


def coverage_table(what: list[str], runs: int) -> Iterator[str]:
    """Lines of Markdown, the last one the verdict."""
    yield f"{runs:,} logs per regime; 95 % intervals, in brackets where none is claimed."
    yield ""
    yield "| regime | estimator | covers | claimed | bias | RMSE | median width |"
    yield "|---|---|---:|---:|---:|---:|---:|"
    claimed: list[Row] = []
    for name in what:
        for regime in WHAT[name]():
            for row in regime.rows(runs):
                claimed += [row] if row.is_claimed else []
                yield row.cells()
    coverages = [row.coverage for row in claimed]
    inside = sum(CLAIM[0] <= coverage <= CLAIM[1] for coverage in coverages)
    yield ""
    yield (
        f"Of {len(claimed)} claimed cells {inside} lie within {CLAIM[0]:.0%} to {CLAIM[1]:.0%}: "
        f"from {min(coverages):.1%} to {max(coverages):.1%}, mean {np.mean(coverages):.1%}."
    )


def _actions(world: BanditWorld, rows_of_users: np.ndarray, seed: int, runs: int) -> list[Estimate]:
    return list(evaluate_actions(world.draw(seed, rows_of_users, runs)).estimates)


def _slates(world: SlateWorld, slates_of_users: np.ndarray, seed: int, runs: int) -> list[Estimate]:
    return list(evaluate_slates(world.draw(seed, slates_of_users, runs)).estimates)


def _examination(theta: np.ndarray, requests: int, k: int, seed: int, runs: int) -> list[Estimate]:
    """Items of the request's own level of relevance, at positions in a random order."""
    rng = np.random.default_rng(seed)
    request = np.repeat(np.arange(requests), len(theta))
    found = []
    for _ in range(runs):
        level = rng.beta(2, 4, requests)[request]
        position = np.tile(np.arange(len(theta)), requests)
        clicks = rng.random(len(level)) < theta[position] * level
        result = examination_from_random_traffic(clicks, position + 1, labels=request)
        assert result.low is not None
        assert result.high is not None
        found.append((result.relative[k], result.low[k], result.high[k]))
    value, low, high = np.array(found).T
    claims = np.ones(runs, bool)
    return [Estimate("click ratio", value, np.full(runs, np.nan), low, high, claims)]


def _chunks(runs: int) -> list[int]:
    return [min(RUNS_AT_ONCE, runs - start) for start in range(0, runs, RUNS_AT_ONCE)]


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--runs", type=int, default=4000, help="logs per regime")
    flags.add_argument("--what", default=",".join(WHAT), help="some of the parts (default: all)")
    chosen = flags.parse_args()
    what = chosen.what.split(",")
    if unknown := set(what) - set(WHAT):
        flags.error(f"--what: {', '.join(sorted(unknown))}; choose of {', '.join(WHAT)}")
    if chosen.runs < 2:
        flags.error(f"--runs {chosen.runs}; allowed: from 2")
    for line in coverage_table(what, chosen.runs):
        print(line, flush=True)


if __name__ == "__main__":
    main()
