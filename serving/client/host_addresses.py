"""The addresses of a host's name, within a time: the system looks a name up for as long as it likes, without an end."""

from __future__ import annotations

import ipaddress
import socket
import threading
from concurrent import futures
from typing import Any

Addresses = list[Any]  # as socket.getaddrinfo has them


class HostAddresses:
    """The addresses of one host and port.

    The look-up runs in a thread, which nobody can end: one for all who wait, so that a name server that hangs costs one
    thread and no more. A number needs neither.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._lock = threading.Lock()
        self._under_way: futures.Future[Addresses] | None = None

    def within(self, seconds: float) -> Addresses:
        """Look the name up. Raises TimeoutError after `seconds`, and OSError for a name that nobody knows."""
        if self._is_number():
            return self._look_up()
        with self._lock:
            found = self._under_way
            if found is None:
                found = self._under_way = futures.Future()
                threading.Thread(target=self._run, args=(found,), name="host-name", daemon=True).start()
        return found.result(seconds)

    def _is_number(self) -> bool:
        try:
            ipaddress.ip_address(self._host)
        except ValueError:
            return False
        return True

    def _look_up(self) -> Addresses:
        return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)

    def _run(self, found: futures.Future[Addresses]) -> None:
        try:
            addresses = self._look_up()
        except Exception as error:
            self._end()
            found.set_exception(error)
        else:
            self._end()
            found.set_result(addresses)

    def _end(self) -> None:
        with self._lock:
            self._under_way = None
