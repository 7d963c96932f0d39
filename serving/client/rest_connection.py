"""A connection of HTTP/1.1 whose every step ends by the deadline of the call that it serves.

A socket's timeout is of one read or one connect: a name may have several addresses, and a server may send a byte a
second. So the time that is left is looked at before each of them; the look-up of the name has it too.
"""

from __future__ import annotations

import functools
import http.client
import io
import socket
import ssl
from typing import Any

from serving.client.deadline import Deadline
from serving.client.host_addresses import HostAddresses


class RestConnection(http.client.HTTPConnection):
    """One connection, encrypted with a `tls` context; it opens with the first `ask`, and may be asked again."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, addresses: HostAddresses) -> None:
        super().__init__(host, port)
        self._tls = tls
        self._addresses = addresses
        self._deadline = Deadline.after(0)

    def ask(self, method: str, path: str, body: bytes | None, deadline: Deadline) -> tuple[int, bytes, bool]:
        """Return the status, the whole body, and whether the connection may be used again.

        Raises OSError (TimeoutError at the deadline) and http.client.HTTPException.
        """
        self._deadline = deadline
        self.response_class = functools.partial(_TimedResponse, deadline=deadline)  # type: ignore[assignment]
        if self.sock is None:
            self.connect()
        self.sock.settimeout(_left(deadline))
        self.request(method, path, body, {"Content-Type": "application/json"})
        response = self.getresponse()
        content = response.read()
        return response.status, content, not response.will_close

    def connect(self) -> None:
        """Connect to the first address of the name that answers; each gets its share of the time that is left."""
        addresses = self._addresses.within(_left(self._deadline))
        for place, (family, kind, protocol, _, address) in enumerate(addresses):
            opened = socket.socket(family, kind, protocol)
            try:
                opened.settimeout(_left(self._deadline) / (len(addresses) - place))
                opened.connect(address)
                opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.sock = opened if self._tls is None else self._tls.wrap_socket(opened, server_hostname=self.host)
            except OSError:
                opened.close()
                if place == len(addresses) - 1:
                    raise
            else:
                return


class _TimedResponse(http.client.HTTPResponse):
    """A response of which no read, of its headers or its body, waits beyond the deadline."""

    def __init__(self, sock: socket.socket, *arguments: Any, deadline: Deadline, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp = io.BufferedReader(_TimedReads(self.fp.detach(), sock, deadline))


class _TimedReads(io.RawIOBase):
    def __init__(self, raw: Any, sock: socket.socket, deadline: Deadline) -> None:
        self._raw, self._sock, self._deadline = raw, sock, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int | None:
        self._sock.settimeout(_left(self._deadline))
        number: int | None = self._raw.readinto(buffer)
        return number

    def close(self) -> None:
        self._raw.close()  # gives the socket back, which it holds
        super().close()


def _left(deadline: Deadline) -> float:
    """Seconds that are left. Raises TimeoutError where there are none: a timeout of 0 would mean "do not block"."""
    remaining = deadline.remaining_seconds()
    if remaining <= 0:
        raise TimeoutError
    return remaining
