"""A server that is asked over gRPC from an event loop."""

from __future__ import annotations

from typing import Any

import grpc

from serving.client.deadline import Deadline
from serving.client.grpc_channel import open_channel
from serving.client.grpc_messages import Stubs, answer_of, error_of, request_of
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion


class GrpcAsyncServer:
    """An `async_sender.AsyncServer` at "host:port", or "unix:/path". It belongs to the running event loop."""

    def __init__(self, target: str, options: ClientOptions) -> None:
        self.target = target
        self._channel = open_channel(target, options, grpc.aio)
        self._stubs = Stubs(self._channel)

    async def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask; a cancelled task cancels the request. Raises ServingError."""
        try:
            response = await self._stubs.method(question)(request_of(question), timeout=deadline.remaining_seconds())
        except grpc.RpcError as error:
            raise error_of(error, question, self.target, deadline) from error
        return answer_of(question, response)

    async def close(self) -> None:
        """Close the channel."""
        await self._channel.close()
