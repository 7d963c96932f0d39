"""One question to one of several servers: choice, deadline, retries, hedging; for asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from serving.client.balancer import Balancer
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion
from serving.client.retry_rules import RetryRules, another_may_answer, time_is_over


class AsyncServer(Protocol):
    """One server, asked from an event loop."""

    target: str

    async def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask; a cancelled task cancels the request. Raises ServingError, at the latest at the deadline."""

    async def close(self) -> None:
        """Free the connection."""


class AsyncSender:
    """Sends questions to `servers` by the rules of `options`, as `Sender` does."""

    def __init__(self, servers: Sequence[AsyncServer], options: ClientOptions) -> None:
        self._hedging = options.hedging
        self._balancer = Balancer(servers, by_load=options.balance == "least_in_flight")
        self._rules = RetryRules(options, self._balancer)

    async def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._balancer.servers:
            await server.close()

    async def send(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Return the answer. Raises ServingError."""
        self._rules.call_begins()
        tried: set[str] = set()
        attempts = 0
        while True:
            attempts += 1
            try:
                return await self._attempt(question, deadline, tried)
            except ServingError as error:
                wait = self._rules.wait_before_retry(error, attempts, tried, deadline)
                if wait is None:
                    raise error.after(attempts) from error.__cause__
            await asyncio.sleep(wait)

    async def _attempt(self, question: ServerQuestion, deadline: Deadline, tried: set[str]) -> Any:
        server = self._balancer.take(tried)
        tried.add(server.target)
        if deadline.remaining_seconds() <= 0:
            self._balancer.dropped(server)
            raise time_is_over(question.asked, server.target, deadline)
        if self._hedging is not None:
            return await self._hedged(server, question, deadline, tried, self._hedging.after_seconds)
        try:
            answer = await server.call(question, deadline)
        except ServingError as error:
            self._rules.report(server, error)
            raise
        except BaseException:
            self._balancer.dropped(server)
            raise
        self._balancer.answered(server)
        return answer

    async def _hedged(
        self, first: AsyncServer, question: ServerQuestion, deadline: Deadline, tried: set[str], after_seconds: float
    ) -> Any:
        under_way = {asyncio.ensure_future(first.call(question, deadline)): first}
        try:
            await asyncio.wait(under_way, timeout=min(after_seconds, deadline.remaining_seconds()))
            if not any(task.done() for task in under_way) and self._rules.may_hedge(tried):
                second = self._balancer.take(tried)
                tried.add(second.target)
                under_way[asyncio.ensure_future(second.call(question, deadline))] = second
            while True:
                ended, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                task = min(ended, key=lambda one: one.exception() is not None)  # an answer, where there is one
                server = under_way.pop(task)
                try:
                    answer = task.result()
                except ServingError as error:
                    self._rules.report(server, error)
                    if not under_way or not another_may_answer(error):
                        raise
                    continue
                self._balancer.answered(server)
                return answer
        finally:
            for task, left in under_way.items():
                task.cancel()
                task.add_done_callback(lambda one: one.cancelled() or one.exception())  # looked at: no warning
                give_back = self._balancer.was_late if left is first else self._balancer.dropped
                give_back(left)
