"""A server that is asked over REST, by the standard library alone."""

from __future__ import annotations

import http.client
import ssl
import threading
from concurrent import futures
from typing import Any
from urllib.parse import urlsplit

import grpc

from serving.client.addresses import HTTPS
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.host_addresses import HostAddresses
from serving.client.options import ClientOptions, Tls
from serving.client.questions import ServerQuestion
from serving.client.rest_connection import RestConnection
from serving.client.rest_messages import answer_of, error_code, read_json, request_of
from tfrec.errors import ConfigError

_HEDGES = 32  # requests under way that nobody may wait for any more


class RestServer:
    """A `sender.Server` at "http://host:8501". Connections are kept and reused."""

    def __init__(self, target: str, options: ClientOptions) -> None:
        parts = urlsplit(target)
        try:
            port = parts.port
        except ValueError:
            port = None
        if not parts.hostname or port is None or parts.path:
            raise ConfigError(f"server: got {target!r}; expected http://HOST:PORT, the server's --rest_api_port")
        self.target = target
        self._host, self._port = parts.hostname, port
        self._addresses = HostAddresses(parts.hostname, port)
        self._tls = _context(options.tls or Tls()) if target.startswith(HTTPS) else None
        self._idle: list[RestConnection] = []
        self._lock = threading.Lock()
        self._pool = futures.ThreadPoolExecutor(_HEDGES, thread_name_prefix="rest") if options.hedging else None

    def call(self, question: ServerQuestion, deadline: Deadline) -> Any:
        """Ask and wait. Raises ServingError."""
        try:
            status, body = self._exchange(question, deadline)
        except TimeoutError as error:
            raise self._error(question, grpc.StatusCode.DEADLINE_EXCEEDED, "no answer", deadline) from error
        except (OSError, http.client.HTTPException) as error:
            words = f"{type(error).__name__}: {error}"
            raise self._error(question, grpc.StatusCode.UNAVAILABLE, words, deadline) from error
        try:
            content = read_json(body)
            if status == 200:
                return answer_of(question, content)
            words = content["error"]
        except (ValueError, KeyError, TypeError, IndexError):
            words = f"HTTP {status}, and no JSON of TF Serving: {body[:80]!r}"
        raise self._error(question, error_code(status), str(words), deadline)

    def start(self, question: ServerQuestion, deadline: Deadline) -> futures.Future[Any]:
        """Ask without waiting: in a thread, that ends by the deadline at the latest."""
        assert self._pool is not None
        return self._pool.submit(self.call, question, deadline)

    def close(self) -> None:
        """Close the idle connections; those in use close with their calls."""
        if self._pool is not None:
            self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()

    def _exchange(self, question: ServerQuestion, deadline: Deadline) -> tuple[int, bytes]:
        method, path, body = request_of(question)
        connection = self._take()
        is_kept = connection is not None
        while True:
            connection = connection or RestConnection(self._host, self._port, self._tls, self._addresses)
            try:
                status, answer, may_keep = connection.ask(method, path, body, deadline)
            except (http.client.RemoteDisconnected, ConnectionError):
                connection.close()
                if not is_kept:
                    raise
                connection, is_kept = None, False  # the server had closed the idle connection: a new one
                continue
            except BaseException:
                connection.close()
                raise
            if may_keep:
                with self._lock:
                    self._idle.append(connection)
            else:
                connection.close()
            return status, answer

    def _take(self) -> RestConnection | None:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _error(self, question: ServerQuestion, code: grpc.StatusCode, words: str, deadline: Deadline) -> ServingError:
        return ServingError.of_answer(code, words, question.asked, self.target, deadline.timeout_seconds)


def _context(tls: Tls) -> ssl.SSLContext:
    if tls.server_name is not None:
        raise ConfigError("tls: server_name is of gRPC alone; over REST connect by the certificate's name")
    tls.check()
    try:
        context = ssl.create_default_context(cafile=tls.root_certificates)
        if tls.certificate is not None:
            context.load_cert_chain(tls.certificate, tls.private_key)
    except ssl.SSLError as error:
        raise ConfigError(f"tls: the files are no certificates and key: {error}; name PEM files") from None
    return context
