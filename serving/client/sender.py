"""One question to one of several servers, blocking."""

from __future__ import annotations

import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from serving.client.attempts import Attempts, Pause, Try
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions, Hedging
from serving.client.questions import ServerQuestion
from serving.client.retry_rules import another_may_answer
from serving.client.walk import walk


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
        self._servers = servers
        self._hedging = options.hedging
        self._attempts = Attempts(servers, options)

    def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._servers:
            server.close()

    def send(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Return the answer. Raises ServingError."""

        def take(step: Try[Server] | Pause) -> Any:
            if isinstance(step, Pause):
                return time.sleep(step.seconds)
            if self._hedging is not None:
                return self._race(step, question, deadline, self._hedging)
            return step.server.call(question, deadline)

        return walk(self._attempts.steps(question, deadline), take)

    def _race(self, first: Try[Server], question: ServerQuestion, deadline: Deadline, hedging: Hedging) -> Any:
        ended: queue.SimpleQueue[Server] = queue.SimpleQueue()
        flights: dict[str, tuple[Server, Flight]] = {}

        def launch(server: Server) -> None:
            flight = server.start(question, deadline)
            flights[server.target] = (server, flight)
            flight.add_done_callback(lambda _: ended.put(server))

        launch(first.server)
        try:
            try:
                server = ended.get(timeout=min(hedging.after_seconds, deadline.remaining_seconds()))
            except queue.Empty:
                if second := self._attempts.second_server(first.tried):
                    launch(second)
                server = ended.get()
            while True:
                try:
                    answer = flights.pop(server.target)[1].result()
                except ServingError as error:
                    self._attempts.failed(server, error)
                    if not flights or not another_may_answer(error):
                        raise
                    server = ended.get()
                    continue
                self._attempts.answered(server)
                return answer
        finally:
            for left, flight in flights.values():
                flight.cancel()
                self._attempts.gave_up(left, is_first=left is first.server)
