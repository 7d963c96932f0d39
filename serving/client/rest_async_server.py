"""A server that is asked over REST from an event loop: the blocking connection, in threads."""

from __future__ import annotations

import asyncio
from concurrent import futures
from typing import Any

import grpc

from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion
from serving.client.rest_server import RestServer

_THREADS = 64  # requests under way; more wait for one of these, and their time runs


class RestAsyncServer:
    """An `async_sender.AsyncServer` at "http://host:8501".

    HTTP of the standard library blocks: each request under way holds a thread. Over gRPC a loop has thousands.
    """

    def __init__(self, target: str, options: ClientOptions) -> None:
        self.target = target
        self._server = RestServer(target, options)
        self._pool = futures.ThreadPoolExecutor(_THREADS, thread_name_prefix="rest")

    async def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask; the request of a cancelled task goes on, unheard, until its deadline. Raises ServingError."""
        request = asyncio.wrap_future(self._pool.submit(self._server.call, question, deadline))
        try:
            return await asyncio.wait_for(request, deadline.remaining_seconds())
        except TimeoutError:
            raise ServingError.of_answer(
                grpc.StatusCode.DEADLINE_EXCEEDED, "no answer", question.asked, self.target, deadline.timeout_seconds
            ) from None

    async def close(self) -> None:
        """Close the idle connections; those in use close with their calls."""
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._server.close()
