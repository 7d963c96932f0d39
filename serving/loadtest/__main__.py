"""`python -m serving.loadtest`: requests of real users at a given rate or concurrency, and how they were answered."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from serving.client.options import Tls
from serving.client.tls_flags import add_tls_flags, tls_of
from serving.loadtest.outcome import Outcome
from serving.loadtest.population import Population, population_of_dataset, population_of_files
from serving.loadtest.processes import run_in_processes
from serving.loadtest.report import Run, table_of, warnings_of, write_page
from serving.loadtest.requests import ServerError, Share, Wishes, make_payloads
from serving.loadtest.stage import Stage
from tfrec.command_line import ArgumentParser, at_least
from tfrec.errors import ConfigError, TfrecError

EXAMPLE = """\
example: python -m serving.loadtest --server localhost:8500 --model two_tower --dataset DATASET --rate 200 --html p.html
         python -m serving.loadtest --mix two_tower:recommend=9 --mix deepfm:rank=1 --dataset DATASET --rate 50 100 200
         python -m serving.loadtest --model two_tower --users users.txt --concurrency 1 8 32 --json

With --rate requests start when they are due, whatever became of earlier ones, and their time counts from then (open
loop). With --concurrency so many callers ask again when they have their answer (closed loop).
"""
_DISTINCT = 5000  # requests; a longer stage sends them again


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the test and print its figures; return the exit code: 1 where a limit does not hold."""
    try:
        return _load(_parser().parse(sys.argv[1:] if arguments is None else arguments))
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except ServerError as error:
        print(f"ServerError: {error}; is the model served there?", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _load(flags: argparse.Namespace) -> int:
    tls = tls_of(flags)
    stages = _stages(flags, tls)
    mix = [Share.parse(text) for text in flags.mix or ([flags.model] if flags.model else [])]
    if not mix:
        raise ConfigError("nothing to ask; pass --model NAME, or --mix MODEL:SIGNATURE=WEIGHT")
    wishes = Wishes(flags.k, flags.exclude, flags.candidates, flags.unknown_users)
    payloads = make_payloads(flags.server, mix, _population(flags), wishes, number=_DISTINCT, seed=flags.seed, tls=tls)
    runs: list[Run] = []
    for stage in stages:
        print(f"{stage.name} for {stage.warmup_seconds + stage.seconds:g} s", file=sys.stderr, flush=True)
        runs.append((stage, run_in_processes(stage, payloads, flags.processes)))
    Console(stderr=True).print(table_of(runs))
    for warning in warnings_of(runs):
        print(f"warning: {warning}", file=sys.stderr)
    if flags.html is not None:
        write_page(flags.html, flags.server, _asked(mix, flags), runs)
        print(f"{flags.html}", file=sys.stderr)
    if flags.json:
        print(json.dumps([{"stage": stage.name, **outcome.as_json()} for stage, outcome in runs]))
    broken = [line for stage, outcome in runs for line in _broken_limits(stage, outcome, flags)]
    for line in broken:
        print(line, file=sys.stderr)
    return 1 if broken else 0


def _broken_limits(stage: Stage, outcome: Outcome, flags: argparse.Namespace) -> list[str]:
    p99 = outcome.response.percentile(99) / 1e3
    limits = (
        ("--max-p99-ms", flags.max_p99_ms, p99, f"{p99:.2f} ms"),
        ("--max-failed-share", flags.max_failed_share, outcome.failed_share, f"{outcome.failed_share:.4f}"),
    )
    # Not `>`: the percentile of no answers is NaN, and no limit holds then.
    return [
        f"{stage.name}: {flag} {limit:g} does not hold: {text}"
        for flag, limit, value, text in limits
        if limit is not None and not value <= limit
    ]


def _stages(flags: argparse.Namespace, tls: Tls | None) -> list[Stage]:
    if bool(flags.rate) == bool(flags.concurrency):
        raise ConfigError("pass either --rate R (requests per second, open loop) or --concurrency N (closed loop)")
    stage = Stage(
        flags.server,
        seconds=flags.seconds,
        warmup_seconds=flags.warmup_seconds,
        timeout_seconds=flags.timeout_seconds,
        arrivals=flags.arrivals,
        seed=flags.seed,
        tls=tls,
    )
    open_loop = [stage.with_rate(rate) for rate in flags.rate or []]
    return open_loop + [stage.with_concurrency(number) for number in flags.concurrency or []]


def _population(flags: argparse.Namespace) -> Population:
    if flags.dataset is not None:
        return population_of_dataset(flags.dataset, flags.draw_users_by)
    if flags.users is not None:
        return population_of_files(flags.users, flags.items)
    raise ConfigError("nobody to ask for; pass --dataset DIR, or --users FILE with one id a line")


def _asked(mix: Sequence[Share], flags: argparse.Namespace) -> str:
    whole = sum(share.weight for share in mix)
    models = ", ".join(
        f"{share.weight / whole:.0%} {share.model.text} {share.signature or ''}".strip() for share in mix
    )
    process = "process" if flags.processes == 1 else "processes"
    return f"{models}; {flags.seconds:g} s each after {flags.warmup_seconds:g} s; {flags.processes} {process}"


def _above(low: float, *, or_equal: bool = False, high: float | None = None) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        is_allowed = (value >= low if or_equal else value > low) and value < float("inf")
        if not is_allowed or (high is not None and value > high):
            allowed = f"{'from' if or_equal else 'above'} {low:g}" + (f" to {high:g}" if high is not None else "")
            raise argparse.ArgumentTypeError(f"got {text!r}; allowed: {allowed}")
        return value

    return parse


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m serving.loadtest", example=EXAMPLE)
    add = parser.add_argument
    positive, share = _above(0), _above(0, or_equal=True, high=1)
    add("--server", default="localhost:8500", help="host:port of the server's gRPC (%(default)s)")
    add("--model", help="the model's name on the server; or NAME/versions/7, NAME/labels/canary")
    add("--mix", action="append", metavar="MODEL:SIGNATURE=WEIGHT", help="several models or signatures; again for each")
    add("--dataset", type=Path, help="dataset directory: its users ask, about its items")
    add("--users", type=Path, help="instead: a file with one user id a line")
    add("--items", type=Path, help="a file with one item id a line, for candidates and exclusions")
    add(
        "--draw-users-by",
        choices=["activity", "uniform"],
        default="activity",
        help="how often a user asks (%(default)s)",
    )
    add("--unknown-users", type=share, default=0.05, help="share of requests by users nobody knows (%(default)s)")
    add("--rate", type=positive, nargs="+", help="open loop: requests per second; several are run in turn")
    add("--concurrency", type=at_least(1), nargs="+", help="closed loop: callers; several are run in turn")
    add("--arrivals", choices=["poisson", "constant"], default="poisson", help="gaps between requests (%(default)s)")
    add("--seconds", type=positive, default=30.0, help="measured time of each stage (%(default)s)")
    add("--warmup-seconds", type=_above(0, or_equal=True), default=3.0, help="before it, not counted (%(default)s)")
    add("--timeout-seconds", type=positive, default=1.0, help="deadline of each request (%(default)s)")
    add("--k", type=at_least(1), default=10, help="items to recommend (%(default)s)")
    add("--exclude", type=at_least(0), default=0, help="items to exclude in each request (%(default)s)")
    add("--candidates", type=at_least(1), default=100, help="candidates to rank in each request (%(default)s)")
    add("--processes", type=at_least(1), default=1, help="processes that send (%(default)s)")
    add("--seed", type=at_least(0), default=1, help="of users, items and gaps (%(default)s)")
    add("--html", type=Path, help="page to write, with plots")
    add("--json", action="store_true", help="print all figures as JSON")
    add("--max-p99-ms", type=positive, help="exit code 1 where the 99th percentile of a stage is above it")
    add("--max-failed-share", type=share, help="exit code 1 where more of a stage's requests fail")
    add_tls_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
