"""Which failures are worth another attempt, and how long to wait before it."""

from __future__ import annotations

import random
from collections.abc import Collection
from typing import Any

import grpc

from serving.client.balancer import Balancer
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions
from serving.client.retry_budget import RetryBudget

# How another server may still do better, while its request is under way.
_OF_THE_SERVER = (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


class RetryRules:
    """The rules of `Retries` and `Hedging` over one set of servers; safe to share between threads."""

    def __init__(self, options: ClientOptions, balancer: Balancer[Any]) -> None:
        self._options = options
        self._balancer = balancer
        self._budget = RetryBudget(options.retries.extra_share)

    def call_begins(self) -> None:
        """Count a call, which earns its share of a retry."""
        self._budget.earn()

    def wait_before_retry(
        self, error: ServingError, attempts: int, tried: Collection[str], deadline: Deadline
    ) -> float | None:
        """Seconds to wait before the next attempt; None where `error` is the end."""
        retries = self._options.retries
        if error.code is not grpc.StatusCode.UNAVAILABLE or attempts >= retries.attempts:
            return None
        longest = min(retries.max_backoff_seconds, retries.initial_backoff_seconds * 2 ** (attempts - 1))
        wait = 0.0 if self._balancer.has_other(tried) else random.uniform(0, longest)
        if wait >= deadline.remaining_seconds() or not self._budget.spend():
            return None
        return wait

    def may_hedge(self, tried: Collection[str]) -> bool:
        """Whether a late request may be sent to another server too; takes it from the budget."""
        return self._balancer.has_other(tried) and self._budget.spend()

    def report(self, server: Any, error: ServingError) -> None:
        """Tell the balancer how a request to `server` ended."""
        if error.code is grpc.StatusCode.UNAVAILABLE:
            self._balancer.failed(server)
        elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._balancer.was_late(server)
        elif error.code is grpc.StatusCode.CANCELLED:
            self._balancer.dropped(server)
        else:
            self._balancer.answered(server)


def another_may_answer(error: ServingError) -> bool:
    """Whether the other request of a hedged pair is worth waiting for."""
    return error.code in _OF_THE_SERVER


def time_is_over(asked: str, target: str, deadline: Deadline) -> ServingError:
    """The error of a call whose time was over before this request."""
    details = "the time was over before the server was asked"
    return ServingError.of_answer(grpc.StatusCode.DEADLINE_EXCEEDED, details, asked, target, deadline.timeout_seconds)
