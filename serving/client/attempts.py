"""The attempts at one question: which servers are asked, one after another, and what ends it.

They are steps, as those of a call are (`questions`): a `Try` is answered by the server's answer or its error thrown
in, a `Pause` by nothing once it is over. Who waits, and how, is the senders' matter; so is the race of a hedged `Try`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Generator, Sequence
from typing import Any, Generic, TypeVar

from serving.client.balancer import Balancer, HasTarget
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion
from serving.client.retry_rules import RetryRules, time_is_over

S = TypeVar("S", bound=HasTarget)


@dataclasses.dataclass(frozen=True)
class Pause:
    """Wait."""

    seconds: float


@dataclasses.dataclass(frozen=True)
class Try(Generic[S]):
    """Ask this server. `tried` has the addresses asked so far, also this one's; who asks another adds it."""

    server: S
    tried: set[str]


class Attempts(Generic[S]):
    """By the rules of `options` over `servers`; safe to share between threads."""

    def __init__(self, servers: Sequence[S], options: ClientOptions) -> None:
        self._hedging = options.hedging
        self._balancer = Balancer(servers, by_load=options.balance == "least_in_flight")
        self._rules = RetryRules(options, self._balancer)

    def steps(self, question: ServerQuestion, deadline: Deadline) -> Generator[Try[S] | Pause, Any, Any]:
        """The attempts; returns the answer. Raises ServingError."""
        self._rules.call_begins()
        tried: set[str] = set()
        attempts = 0
        while True:
            attempts += 1
            try:
                return (yield from self._attempt(question, deadline, tried))
            except ServingError as error:
                wait = self._rules.wait_before_retry(error, attempts, tried, deadline)
                if wait is None:
                    raise error.after(attempts) from error.__cause__
            yield Pause(wait)

    def second_server(self, tried: set[str]) -> S | None:
        """Where a late request may be sent too; None where the rules are against it."""
        return self._take(tried) if self._rules.may_hedge(tried) else None

    def answered(self, server: S) -> None:
        """A server of a race has answered."""
        self._balancer.answered(server)

    def failed(self, server: S, error: ServingError) -> None:
        """A server of a race has not."""
        self._rules.report(server, error)

    def gave_up(self, server: S, *, is_first: bool) -> None:
        """Nobody waits any more for a server of a race: of the first one asked it says that it was late."""
        (self._balancer.was_late if is_first else self._balancer.dropped)(server)

    def _take(self, tried: set[str]) -> S:
        server = self._balancer.take(tried)
        tried.add(server.target)
        return server

    def _attempt(
        self, question: ServerQuestion, deadline: Deadline, tried: set[str]
    ) -> Generator[Try[S] | Pause, Any, Any]:
        server = self._take(tried)
        if deadline.remaining_seconds() <= 0:
            self._balancer.dropped(server)
            raise time_is_over(question.asked, server.target, deadline)
        if self._hedging is not None:
            return (yield Try(server, tried))  # the race says of each of its servers how it did
        try:
            answer = yield Try(server, tried)
        except ServingError as error:
            self._rules.report(server, error)
            raise
        except BaseException:
            self._balancer.dropped(server)
            raise
        self._balancer.answered(server)
        return answer
