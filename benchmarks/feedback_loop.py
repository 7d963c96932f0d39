"""`python -m benchmarks.feedback_loop`: the self-feedback loop and its remedies on simulated users; Markdown on stdout.

All loops of a seed meet the same world, users and luck. Figures are means over seeds, with 95 % t intervals; the last
rounds are averaged first; nothing corrects for the many comparisons, and epsilon and temperature are the defaults, not
tuned and not of one budget of exploration. Seeds 100 and 101 chose the learner's settings, on random logs, and are not
used here.

example: python -m benchmarks.feedback_loop --seeds 5 --rounds 10
         python -m benchmarks.feedback_loop --arms none,softmax --seeds 2 --rounds 3 --users 100
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np
from scipy.stats import t

from tfrec.simulation.judgement import RoundFigures
from tfrec.simulation.loop import LoopConfig, run_loop
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Softmax, Uniform
from tfrec.simulation.state import State
from tfrec.simulation.traffic import serve
from tfrec.simulation.training import table_scorer
from tfrec.simulation.value import Scorer
from tfrec.simulation.world import World, WorldConfig

EXPLORE, SOFT = {"policy": {"kind": "epsilon_greedy"}}, {"policy": {"kind": "softmax"}}
WEIGHTED = {"weights": "inverse_propensity"}
ARMS: dict[str, dict] = {
    "none": {},
    "epsilon": EXPLORE,
    "epsilon + weights": {**EXPLORE, "training": WEIGHTED},
    "hold-out to validate": {**EXPLORE, "training": {"validation_rows": "random"}},
    "hold-out to train and validate": {**EXPLORE, "training": {"rows": "random", "validation_rows": "random"}},
    "softmax": SOFT,
    "softmax + weights": {**SOFT, "training": WEIGHTED},
    "unclicked impressions": {"training": {"learner": {"signal": "impressions"}}},
    "softmax + unclicked impressions": {**SOFT, "training": {"learner": {"signal": "impressions"}}},
    "random traffic": {"policy": {"kind": "uniform"}},
    "popularity": {"scores": "popularity"},
    "oracle": {"scores": "oracle"},
}
COLUMNS: dict[str, Callable[[RoundFigures], float]] = {
    "reward": lambda f: f.reward,
    "known": lambda f: f.greedy_reward / f.best_reward,
    "offline recall": lambda f: f.offline_recall,
    "true recall": lambda f: f.true_recall,
    "Gini": lambda f: f.gini,
    "coverage": lambda f: f.coverage,
    "late items": lambda f: f.late_items,
    "likeness": lambda f: f.jaccard,
    "tastes": lambda f: f.taste_coverage,
}
LAST = 3  # rounds that are averaged, as one round's random clicks are few


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--seeds", type=int, default=5)
    flags.add_argument("--rounds", type=int, default=10)
    flags.add_argument("--users", type=int, default=WorldConfig().users)
    flags.add_argument("--arms", default=",".join(ARMS), help="some of them (default: all)")
    chosen = flags.parse_args()
    arms = chosen.arms.split(",")
    if unknown := set(arms) - set(ARMS):
        flags.error(f"--arms: {', '.join(sorted(unknown))}; choose of {', '.join(ARMS)}")
    if chosen.seeds < 2 or chosen.rounds < 2 or chosen.users < 2:
        flags.error("at least two seeds, two rounds and two users are needed")
    figures = {name: run_arm(name, chosen.seeds, chosen.rounds, chosen.users) for name in arms}
    print(f"{chosen.users} users, {chosen.rounds} rounds, {chosen.seeds} seeds; 95 % intervals over seeds\n")
    print(comparison(figures))
    if "none" in figures:
        print(differences(figures))
        print(course(figures))
    print(speed(chosen.users))


def run_arm(name: str, seeds: int, rounds: int, users: int) -> list[list[RoundFigures]]:
    """Rounds of each seed."""
    config = LoopConfig.model_validate({**ARMS[name], "rounds": rounds, "world": {"users": users}})
    found = []
    for seed in range(1, seeds + 1):
        started = time.process_time()
        found.append(run_loop(config, seed).figures)
        print(f"{name}, seed {seed}: {time.process_time() - started:.1f} s of CPU", file=sys.stderr, flush=True)
    return found


def at_the_end(runs: list[list[RoundFigures]], value: Callable[[RoundFigures], float]) -> np.ndarray:
    """Mean over the last rounds of each seed, never the first: no remedy is at work in it yet. float [seeds]"""
    return np.array([np.nanmean([value(figures) for figures in run[1:][-LAST:]]) for run in runs])


def interval(values: Sequence[float] | np.ndarray) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    values = np.asarray(values)
    half = t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def cell(values: np.ndarray, *, signed: bool = False) -> str:
    mean, half = interval(values)
    return f"{mean:+.3f} ± {half:.3f}" if signed else f"{mean:.3f} ± {half:.3f}"


def row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def comparison(figures: dict[str, list[list[RoundFigures]]]) -> str:
    """All figures of the last rounds."""
    text = row(["loop", *COLUMNS]) + row(["---"] * (1 + len(COLUMNS)))
    for name, runs in figures.items():
        text += row([name, *(cell(at_the_end(runs, value)) for value in COLUMNS.values())])
    return text


def differences(figures: dict[str, list[list[RoundFigures]]]) -> str:
    """What each loop has more than the one without a remedy, seed by seed."""
    columns = {name: COLUMNS[name] for name in ("reward", "known", "true recall")}
    text = row(["minus none, paired", *columns]) + row(["---"] * (1 + len(columns)))
    for name, runs in figures.items():
        if name != "none":
            pairs = (at_the_end(runs, value) - at_the_end(figures["none"], value) for value in columns.values())
            text += row([name, *(cell(pair, signed=True) for pair in pairs)])
    return text


def course(figures: dict[str, list[list[RoundFigures]]]) -> str:
    """Round by round: what the log says, and what is true. The recommender's data are its own from round 1 on."""
    shown = [name for name in ("none", "softmax + weights", "random traffic") if name in figures]
    names = ("offline recall", "true recall", "known", "coverage")
    text = row(["round", *(f"{arm}: {name}" for arm in shown for name in names)])
    text += row(["---"] * (1 + len(shown) * len(names)))
    for number in range(len(figures["none"][0])):
        cells = [
            f"{np.mean([COLUMNS[name](run[number]) for run in figures[arm]]):.3f}" for arm in shown for name in names
        ]
        text += row([str(number), *cells])
    return text


def speed(users: int) -> str:
    """Impressions per second of CPU time: everything but training and judging."""
    text = row(["policy", "impressions/s/core"]) + row(["---"] * 2)
    for policy in (Uniform(), Greedy(), EpsilonGreedy(), Softmax()):
        state = State.at_start(World(WorldConfig(users=users), 1))
        scorer: Scorer = table_scorer(np.random.default_rng(1).normal(0, 0.3, (users, state.world.config.items)))
        started = time.process_time()
        served = serve(state, policy, scorer, moments=10, seed=1)
        text += row([policy.kind, f"{len(served.log) / (time.process_time() - started):,.0f}"])
    return text


if __name__ == "__main__":
    main()
