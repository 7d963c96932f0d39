"""The gRPC server itself: threads, limits, credentials and addresses."""

from __future__ import annotations

from collections.abc import Callable

import grpc

from serving.server.options import GrpcOptions, ServerOptions, TlsOptions
from serving.server.rpc.call_threads import CallThreads
from tfrec.errors import ConfigError

# A thread asks for its call's message and waits for it: with fewer, nobody works meanwhile. Measured: two take half as
# long again for each call as four do.
_FEWEST_THREADS = 4


def call_threads(options: GrpcOptions) -> CallThreads:
    """Return the threads that answer a server's calls."""
    # Each call that is held up may bring a message of the largest size, hence a limit.
    num_threads = max(min(options.num_threads or options.max_threads, options.max_threads), _FEWEST_THREADS)
    return CallThreads(num_threads, max(num_threads, options.max_threads + options.max_waiting_calls))


def open_grpc_server(
    options: ServerOptions, threads: CallThreads, register: Callable[[grpc.Server], None]
) -> tuple[grpc.Server, int]:
    """Return a gRPC server with the services that `register` adds, not started, and its port.

    Raises ConfigError for an address that can't be listened on.
    """
    server = grpc.server(
        threads, options=_channel_options(options), maximum_concurrent_rpcs=options.grpc.max_concurrent_calls
    )
    register(server)
    host = f"[{options.host}]" if ":" in options.host else options.host
    address = f"{host}:{options.port}"
    tls = options.grpc.tls
    try:
        port = server.add_secure_port(address, _credentials(tls)) if tls else server.add_insecure_port(address)
    except RuntimeError as error:
        raise ConfigError(
            f"can't listen on {address}: the port is taken, the host is not this machine's"
            f"{', or --ssl_config_file holds no key and certificate that fit' if tls else ''}; "
            "choose another --port, or 0 for any free one"
        ) from error
    path = options.grpc.socket_path
    if path is not None:
        try:
            server.add_insecure_port(f"unix:{path}")
        except RuntimeError as error:
            raise ConfigError(f"--grpc_socket_path: can't listen on {path}; choose another path") from error
    return server, port


def _channel_options(options: ServerOptions) -> list[tuple[str, int | str]]:
    return [
        ("grpc.max_receive_message_length", options.max_request_bytes),
        # Answers are the model's, not the caller's, to make large.
        ("grpc.max_send_message_length", -1),
        # Else a second server on the same port starts without an error, and the two share the requests at random.
        ("grpc.so_reuseport", int(options.worker is not None)),
        *options.grpc.channel_arguments,
    ]


def _credentials(tls: TlsOptions) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(tls.server_key.encode(), tls.server_cert.encode())],
        root_certificates=tls.custom_ca.encode() or None,
        require_client_auth=tls.verifies_clients,
    )
