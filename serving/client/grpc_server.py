"""A server that is asked over gRPC, blocking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from serving.client.deadline import Deadline
from serving.client.grpc_channel import open_channel
from serving.client.grpc_messages import Stubs, answer_of, error_of, request_of
from serving.client.options import ClientOptions
from serving.client.questions import ServerQuestion


class GrpcServer:
    """A `sender.Server` at "host:port", or "unix:/path"."""

    def __init__(self, target: str, options: ClientOptions) -> None:
        self.target = target
        self._channel = open_channel(target, options)
        self._stubs = Stubs(self._channel)

    def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask and wait. Raises ServingError."""
        try:
            response = self._stubs.method(question)(request_of(question), timeout=deadline.remaining_seconds())
        except grpc.RpcError as error:
            raise error_of(error, question, self.target, deadline) from error
        return answer_of(question, response)

    def start(self, question: ServerQuestion, deadline: Deadline) -> GrpcFlight:
        """Ask without waiting."""
        method = self._stubs.method(question)
        call = method.future(request_of(question), timeout=deadline.remaining_seconds())
        return GrpcFlight(call, question, self.target, deadline)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()


class GrpcFlight:
    """A request under way."""

    def __init__(self, call: Any, question: ServerQuestion, target: str, deadline: Deadline) -> None:
        self._call = call
        self._question = question
        self._target = target
        self._deadline = deadline

    def add_done_callback(self, fn: Callable[[Any], Any], /) -> None:
        """Call `fn` when it ends."""
        self._call.add_done_callback(fn)

    def result(self) -> Any:
        """The answer. Raises ServingError."""
        try:
            return answer_of(self._question, self._call.result())
        except grpc.RpcError as error:
            raise error_of(error, self._question, self._target, self._deadline) from error

    def cancel(self) -> None:
        """Give it up; the server is told."""
        self._call.cancel()
