"""Answers that their callers have not taken yet: gRPC keeps each in memory until it is read or given up."""

from __future__ import annotations

import threading

import grpc

from serving.server.status import resource_exhausted

# What gRPC keeps for a call beside its answer, roughly: small answers that nobody reads must count too.
_BYTES_OF_A_CALL = 16 * 2**10


class UnreadAnswers:
    """Counts the bytes of answers under way; more than `max_bytes` are refused. Safe to use from many threads."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._lock = threading.Lock()
        self._num_bytes = 0

    def add(self, num_bytes: int, context: grpc.ServicerContext) -> None:
        """Count an answer until its call is over. Raises StatusError when too much waits; a lone answer always goes."""
        num_bytes += _BYTES_OF_A_CALL
        with self._lock:
            if self._num_bytes and self._num_bytes + num_bytes > self._max_bytes:
                raise resource_exhausted(
                    f"Answers of {self._num_bytes} bytes wait for their callers to read them; with this one they would "
                    f"exceed {self._max_bytes}"
                )
            self._num_bytes += num_bytes
        if not context.add_callback(lambda: self._remove(num_bytes)):
            self._remove(num_bytes)

    def _remove(self, num_bytes: int) -> None:
        with self._lock:
            self._num_bytes -= num_bytes
