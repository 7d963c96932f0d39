"""A stage in several processes: one Python process sends a few thousand requests a second, then it is the limit."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from concurrent import futures
from typing import Any

from serving.loadtest.outcome import Outcome
from serving.loadtest.run import run_stage
from serving.loadtest.stage import Payload, Stage

_START_SECONDS = 120.0

_barrier: Any = None  # of a process of a stage, set when it starts


def run_in_processes(stage: Stage, payloads: Sequence[Payload], processes: int) -> Outcome:
    """Run the stage's parts at the same time and return what became of all."""
    parts = stage.parts(processes)
    if len(parts) == 1:
        return run_stage(stage, payloads)
    context = multiprocessing.get_context("spawn")  # gRPC does not survive a fork
    barrier = context.Barrier(len(parts))
    with futures.ProcessPoolExecutor(len(parts), context, initializer=_enter, initargs=(barrier,)) as pool:
        # Each waits for all others, so that no process gets two parts.
        outcomes = list(pool.map(_run_part, parts, [payloads] * len(parts)))
    whole = outcomes[0]
    for outcome in outcomes[1:]:
        whole.add(outcome)
    return whole


def _enter(barrier: Any) -> None:
    global _barrier
    _barrier = barrier


def _run_part(stage: Stage, payloads: Sequence[Payload]) -> Outcome:
    return run_stage(stage, payloads, lambda: _barrier.wait(_START_SECONDS))
