"""The true value of a policy in a state: expected clicks per request, over all users and contexts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from tfrec.simulation.clicks import attraction, expected_reward
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Policy, Uniform
from tfrec.simulation.state import Requests, State

Scorer = Callable[[Requests], np.ndarray]  # → float64 [requests, items]


def true_value(state: State, policy: Policy, scorer: Scorer, *, samples: int = 100, seed: int = 0) -> float:
    """Expected clicks of a request, were all users of `state` served by `policy` now.

    Requests, clicks and, where the policy is greedy, uniform or a mixture of both, slates are summed over exactly; of
    any other policy `samples` slates are drawn per request.
    """
    requests, weight = state.everybody()
    candidates = state.candidates(requests.slots)
    scores = np.zeros(candidates.shape) if isinstance(policy, Uniform) else scorer(requests)
    if isinstance(policy, EpsilonGreedy):
        best = _value(state, Greedy(), requests, scores, candidates, 1, seed)
        random = _uniform_value(state, requests, candidates)
        per_request = (1 - policy.epsilon) * best + policy.epsilon * random
    elif isinstance(policy, Uniform):
        per_request = _uniform_value(state, requests, candidates)
    else:
        samples = 1 if isinstance(policy, Greedy) else samples
        per_request = _value(state, policy, requests, scores, candidates, samples, seed)
    return float(weight @ per_request)


def oracle(state: State) -> Scorer:
    """The scores that make greedy the best policy for the moment: what each request would click, were it looked at."""
    return lambda requests: attraction(state, requests)


def _value(
    state: State,
    policy: Policy,
    requests: Requests,
    scores: np.ndarray,
    candidates: np.ndarray,
    samples: int,
    seed: int,
) -> np.ndarray:
    total = np.zeros(len(requests))
    contexts = len(state.world.config.contexts)
    for sample in range(samples):
        # A user stands here once per context, and each of these requests draws its own slate.
        own = replace(requests, moment=sample, user_ids=requests.user_ids * contexts + requests.contexts)
        chosen = policy.choose(scores, candidates, state.world.config.slate, own, seed).items
        total += expected_reward(state, requests, chosen)
    return total / samples


def _uniform_value(state: State, requests: Requests, candidates: np.ndarray) -> np.ndarray:
    """Every candidate is as probable as any other at each position."""
    mean = (attraction(state, requests) * candidates).sum(axis=1) / candidates.sum(axis=1)
    return np.asarray(mean * state.world.examination.sum())
