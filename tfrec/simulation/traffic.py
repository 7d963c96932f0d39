"""Traffic: a policy serves all who come, moment by moment, and the world moves on."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from tfrec.simulation.clicks import expected_reward, respond
from tfrec.simulation.log import ImpressionLog
from tfrec.simulation.policies import Policy, Slates
from tfrec.simulation.state import Requests, State
from tfrec.simulation.value import Scorer

# Sees state, requests, candidates bool [requests, items] and slates of a moment, before the state moves on.
Observer = Callable[[State, Requests, np.ndarray, Slates], None]


@dataclass(frozen=True)
class Traffic:
    """What was served: its log, how many requests, and the clicks to be expected of what was shown."""

    log: ImpressionLog
    requests: int
    expected_clicks: float


def serve(
    state: State,
    policy: Policy,
    scorer: Scorer,
    *,
    moments: int,
    seed: int,
    first_request: int = 0,
    observe: Observer | None = None,
) -> Traffic:
    """Serve some moments, at least one; `state` moves on behind them. Requests count from `first_request`."""
    parts, expected, number = [], 0.0, 0
    size = state.world.config.slate
    for _ in range(moments):
        requests = state.requests()
        scores, candidates = scorer(requests), state.candidates(requests.slots)
        slates = policy.choose(scores, candidates, size, requests, seed)
        propensities = policy.propensities(scores, candidates, slates.items)
        responses = respond(state, requests, slates.items)
        expected += float(expected_reward(state, requests, slates.items).sum())
        parts.append(
            ImpressionLog.of_requests(
                requests,
                slates,
                propensities,
                responses,
                round_number=state.round_number,
                first_request=first_request + number,
            )
        )
        number += len(requests)
        if observe is not None:
            observe(state, requests, candidates, slates)
        state.after(requests, slates.items, responses.clicks)
    return Traffic(ImpressionLog.concatenated(parts), number, expected)
