"""One question to one of several servers: choice, deadline, retries, hedging; blocking."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from serving.client.balancer import Balancer
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion
from serving.client.retry_rules import RetryRules, another_may_answer, time_is_over


class Flight(Protocol):
    """A request under way."""

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> None:
        """Call `fn` when it ends, in any thread."""

    def result(self) -> Any:
        """The answer. Raises ServingError."""

    def cancel(self) -> Any:
        """Give it up."""


class Server(Protocol):
    """One server, by any protocol."""

    target: str

    def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask and wait. Raises ServingError, at the latest at the deadline."""

    def start(self, question: ServerQuestion, deadline: Deadline) -> Flight:
        """Ask without waiting."""

    def close(self) -> None:
        """Free the connections."""


class Sender:
    """Sends questions to `servers` by the rules of `options`; safe to share between threads."""

    def __init__(self, servers: Sequence[Server], options: ClientOptions) -> None:
        self._hedging = options.hedging
        self._balancer = Balancer(servers, by_load=options.balance == "least_in_flight")
        self._rules = RetryRules(options, self._balancer)

    def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._balancer.servers:
            server.close()

    def send(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Return the answer. Raises ServingError."""
        self._rules.call_begins()
        tried: set[str] = set()
        attempts = 0
        while True:
            attempts += 1
            try:
                return self._attempt(question, deadline, tried)
            except ServingError as error:
                wait = self._rules.wait_before_retry(error, attempts, tried, deadline)
                if wait is None:
                    raise error.after(attempts) from error.__cause__
            time.sleep(wait)

    def _attempt(self, question: ServerQuestion, deadline: Deadline, tried: set[str]) -> Any:
        server = self._balancer.take(tried)
        tried.add(server.target)
        if deadline.remaining_seconds() <= 0:
            self._balancer.dropped(server)
            raise time_is_over(question.asked, server.target, deadline)
        if self._hedging is not None:
            return self._hedged(server, question, deadline, tried, self._hedging.after_seconds)
        try:
            answer = server.call(question, deadline)
        except ServingError as error:
            self._rules.report(server, error)
            raise
        except BaseException:
            self._balancer.dropped(server)
            raise
        self._balancer.answered(server)
        return answer

    def _hedged(
        self, first: Server, question: ServerQuestion, deadline: Deadline, tried: set[str], after_seconds: float
    ) -> Any:
        ended: queue.SimpleQueue[Server] = queue.SimpleQueue()
        flights: dict[str, tuple[Server, Flight]] = {}

        def launch(server: Server) -> None:
            flight = server.start(question, deadline)
            flights[server.target] = (server, flight)
            flight.add_done_callback(lambda _: ended.put(server))

        launch(first)
        try:
            try:
                server = ended.get(timeout=min(after_seconds, deadline.remaining_seconds()))
            except queue.Empty:
                if self._rules.may_hedge(tried):
                    second = self._balancer.take(tried)
                    tried.add(second.target)
                    launch(second)
                server = ended.get()
            while True:
                try:
                    answer = flights.pop(server.target)[1].result()
                except ServingError as error:
                    self._rules.report(server, error)
                    if not flights or not another_may_answer(error):
                        raise
                    server = ended.get()
                    continue
                self._balancer.answered(server)
                return answer
        finally:
            for left, flight in flights.values():
                flight.cancel()
                give_back = self._balancer.was_late if left is first else self._balancer.dropped
                give_back(left)
