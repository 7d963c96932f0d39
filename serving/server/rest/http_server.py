"""The HTTP server under the REST interface: waitress, with limits on what a client may hold."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import waitress
from waitress import wasyncore

from serving.server.options import RestOptions
from tfrec.errors import ConfigError

_CONNECTION_LIMIT = 20_000
_IDLE_SECONDS = 60
_MAX_HEADER_BYTES = 64 * 2**10
# Beyond these, waitress keeps what came or waits to be read in temporary files, not in memory.
_MEMORY_BYTES_PER_CONNECTION = 2**18
_LOOK_SECONDS = 0.02


class HttpServer:
    """An HTTP server in threads of its own."""

    def __init__(
        self, app: Callable[..., Any], host: str, options: RestOptions, max_request_bytes: int, *, shares_port: bool
    ) -> None:
        """Open the port; raises ConfigError when that can't be."""
        listener = _listen(host, options.port, shares_port)
        self.port: int = listener.getsockname()[1]
        self._channels: dict[int, Any] = {}
        self._server: Any = waitress.create_server(
            app,
            map=self._channels,
            sockets=[listener],
            threads=options.num_threads,
            connection_limit=_CONNECTION_LIMIT,
            channel_timeout=_IDLE_SECONDS,
            cleanup_interval=_IDLE_SECONDS // 2,
            max_request_header_size=_MAX_HEADER_BYTES,
            max_request_body_size=max_request_bytes,
            inbuf_overflow=_MEMORY_BYTES_PER_CONNECTION,
            outbuf_overflow=_MEMORY_BYTES_PER_CONNECTION,
            asyncore_use_poll=True,  # select ends at 1,024 connections
            clear_untrusted_proxy_headers=True,
            ident=None,
            expose_tracebacks=False,
        )
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self, drain_timeout_seconds: float) -> None:
        """Take no new connections, let what is being answered finish within the time, then close all."""
        self._in_loop(lambda: wasyncore.dispatcher.close(self._server))
        end_seconds = time.monotonic() + drain_timeout_seconds
        while self._is_busy() and time.monotonic() < end_seconds:
            time.sleep(_LOOK_SECONDS)
        self._in_loop(lambda: wasyncore.close_all(self._channels, ignore_all=True))
        self._thread.join(timeout=1)
        self._server.task_dispatcher.shutdown(timeout=1)

    def _is_busy(self) -> bool:
        channels = list(self._server.active_channels.values())
        return any(channel.requests or channel.total_outbufs_len for channel in channels)

    def _in_loop(self, action: Callable[[], Any]) -> None:
        """Do something in the thread that polls the connections: only there may they be closed."""
        self._server.trigger.pull_trigger(action)


def _listen(host: str, port: int, shares_port: bool) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shares_port:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listener.bind(address)
    except OSError as error:
        if listener is not None:
            listener.close()
        raise ConfigError(
            f"can't listen on {host}:{port} for REST: {error.strerror}; choose another --rest_api_port"
        ) from error
    return listener
