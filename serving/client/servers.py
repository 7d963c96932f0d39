"""What speaks with the server at an address. It is loaded when asked for: over gRPC it brings TensorFlow's protos."""

from __future__ import annotations

from serving.client.addresses import is_rest
from serving.client.async_sender import AsyncServer
from serving.client.options import ClientOptions
from serving.client.sender import Server


def blocking_server(address: str, options: ClientOptions) -> Server:
    """The server, asked over REST or gRPC by its address. Raises ConfigError for an odd one."""
    if is_rest(address):
        from serving.client.rest_server import RestServer

        return RestServer(address, options)
    from serving.client.grpc_server import GrpcServer

    return GrpcServer(address, options)


def asyncio_server(address: str, options: ClientOptions) -> AsyncServer:
    """The same from an event loop."""
    if is_rest(address):
        from serving.client.rest_async_server import RestAsyncServer

        return RestAsyncServer(address, options)
    from serving.client.grpc_async_server import GrpcAsyncServer

    return GrpcAsyncServer(address, options)
