"""One question to one of several servers, from an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Protocol

from serving.client.attempts import Attempts, Pause, Try
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions, Hedging
from serving.client.questions import ServerQuestion
from serving.client.retry_rules import another_may_answer
from serving.client.walk import walk_async


class AsyncServer(Protocol):
    """One server, asked from an event loop."""

    target: str

    async def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask; a cancelled task cancels the request. Raises ServingError, at the latest at the deadline."""

    async def close(self) -> None:
        """Free the connection."""


class AsyncSender:
    """Sends questions to `servers` by the rules of `options`."""

    def __init__(self, servers: Sequence[AsyncServer], options: ClientOptions) -> None:
        self._servers = servers
        self._hedging = options.hedging
        self._attempts = Attempts(servers, options)

    async def close(self) -> None:
        """Close the connections to all servers."""
        for server in self._servers:
            await server.close()

    async def send(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Return the answer. Raises ServingError."""

        async def take(step: Try[AsyncServer] | Pause) -> Any:
            if isinstance(step, Pause):
                return await asyncio.sleep(step.seconds)
            if self._hedging is not None:
                return await self._race(step, question, deadline, self._hedging)
            return await step.server.call(question, deadline)

        return await walk_async(self._attempts.steps(question, deadline), take)

    async def _race(
        self, first: Try[AsyncServer], question: ServerQuestion, deadline: Deadline, hedging: Hedging
    ) -> Any:
        under_way = {asyncio.ensure_future(first.server.call(question, deadline)): first.server}
        try:
            await asyncio.wait(under_way, timeout=min(hedging.after_seconds, deadline.remaining_seconds()))
            if not any(task.done() for task in under_way) and (second := self._attempts.second_server(first.tried)):
                under_way[asyncio.ensure_future(second.call(question, deadline))] = second
            while True:
                ended, _ = await asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED)
                task = min(ended, key=lambda one: one.exception() is not None)  # an answer, where there is one
                server = under_way.pop(task)
                try:
                    answer = task.result()
                except ServingError as error:
                    self._attempts.failed(server, error)
                    if not under_way or not another_may_answer(error):
                        raise
                    continue
                self._attempts.answered(server)
                return answer
        finally:
            for task, left in under_way.items():
                task.cancel()
                task.add_done_callback(lambda one: one.cancelled() or one.exception())  # looked at: no warning
                self._attempts.gave_up(left, is_first=left is first.server)
