"""`python -m benchmarks.evaluation_speed`: how fast lists are made and judged, beside others; Markdown on stdout.

Top 100 of each user without what the user has, and all metrics at k = 5, 10, 20, 50, 100. Every side is a process of
its own on one core, from the same scores; figures are users per CPU second, medians with their range in brackets. The
others come from PyPI into environments below --work-dir, from pinned lists; metrics with the same definition are
compared.

example: python -m benchmarks.evaluation_speed --work-dir /tmp/evaluation
         python -m benchmarks.evaluation_speed --work-dir /tmp/evaluation --peers '' --users 2000
"""

from __future__ import annotations

import argparse
import math
import sys
from pathlib import Path
from typing import Any

from benchmarks.evaluation.world import World
from benchmarks.training.processes import make, pin, run
from benchmarks.training.table import plain_table, spread
from benchmarks.training.venvs import PINNED, environment

PEERS = {"ranx": ("ranx", Path(__file__).parent / "evaluation" / "peers"), "recbole": ("torch", PINNED)}
HEADS = ("side", "what", "users per CPU second", "µs a user")
TOLERANCE = 1e-6  # RecBole computes some metrics in float32


def main() -> None:
    flags = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    flags.add_argument("--work-dir", type=Path, required=True, help="for environments, logs and scores, all kept")
    flags.add_argument("--users", type=int, default=8192)
    flags.add_argument("--items", type=int, default=1682)
    flags.add_argument("--repeat", type=int, default=5)
    flags.add_argument("--peers", default=",".join(PEERS), help="some of them, or none: '' (default: all)")
    flags.add_argument("--seed", type=int, default=1)
    chosen = flags.parse_args()
    peers = [name for name in chosen.peers.split(",") if name]
    if unknown := set(peers) - set(PEERS):
        flags.error(f"--peers: {', '.join(sorted(unknown))}; choose of {', '.join(PEERS)}")
    if chosen.users < 1 or chosen.items < 200 or chosen.repeat < 1:
        flags.error("--users and --repeat: at least 1; --items: at least 200, for lists of 100")
    pin(1)
    work = chosen.work_dir.resolve()
    work.mkdir(parents=True, exist_ok=True)
    world = make(
        work / f"world-{chosen.users}-{chosen.items}-{chosen.seed}",
        lambda target: World.draw(chosen.users, chosen.items, chosen.seed).write(target),
    )
    sides = {"ours": side("benchmarks.evaluation.ours", world, work, chosen.repeat)}
    for name in peers:
        python = environment(PEERS[name][0], work, PEERS[name][1])
        sides[name] = side(f"benchmarks.evaluation.peers.{name}_metrics", world, work, chosen.repeat, python)
    title = f"Top 100 of {chosen.items:,} items and all metrics, {chosen.users:,} users, one core"
    print(plain_table(title, HEADS, rows(sides, chosen.users)), flush=True)
    for name in peers:
        print(agreement(name, sides["ours"]["metrics"], sides[name]["metrics"]), flush=True)


def side(module: str, world: Path, work: Path, repeat: int, python: Path | None = None) -> dict[str, Any]:
    print(f"running {module}", file=sys.stderr, flush=True)
    command = ["-m", module, "--world", str(world), "--repeat", str(repeat)]
    return run(command, work / f"{module.rsplit('.', 1)[-1]}.log", python).said


def rows(sides: dict[str, dict[str, Any]], users: int) -> list[tuple[str, ...]]:
    """Parts that belong together, added up."""
    shown = [("ours", "all: lists, full-ranking AUC, accuracy, beyond accuracy", ("facts", "top", "auc", "rest")),
             ("ours", "· the same without the AUC", ("facts", "top", "rest")),
             ("ours", "· lists and accuracy", ("top", "accuracy alone")),
             ("ours", "· lists alone", ("top",)),
             ("ours", "accuracy alone, of finished lists", ("accuracy alone",)),
             ("ranx", "accuracy alone, of finished lists", ("accuracy alone",)),
             ("ranx", "· with its Run and Qrels from dicts", ("lists to Run and Qrels", "accuracy alone")),
             ("recbole", "lists and accuracy", ("whole",))]  # fmt: skip
    result: list[tuple[str, ...]] = []
    for name, what, parts in shown:
        if name in sides:
            seconds = [sum(each[part] for part in parts) for each in sides[name]["seconds"]]
            rates, micros = [users / s for s in seconds], [s / users * 1e6 for s in seconds]
            result.append((name, what, spread(rates), spread(micros, 1)))
    return result


def agreement(name: str, ours: dict[str, float], theirs: dict[str, float]) -> str:
    """How far the metrics of two sides are apart; exits where that is too far."""
    apart = {metric: abs(ours[metric] - value) for metric, value in theirs.items()}
    worst = max(apart, key=lambda metric: math.inf if math.isnan(apart[metric]) else apart[metric])
    if not apart[worst] <= TOLERANCE:
        sys.exit(f"benchmarks: {worst} is {ours[worst]} of ours and {theirs[worst]} of {name}")
    return f"{name}: {len(apart)} metrics agree; furthest apart is {worst}, by {apart[worst]:.1e}.\n"


if __name__ == "__main__":
    main()
