"""A closed loop of calls: a fixed number in flight, each followed by the next, at little cost to the caller."""

from __future__ import annotations

import dataclasses
import threading
import time
from typing import Any

import grpc
import numpy as np

METHOD = "/tensorflow.serving.PredictionService/Predict"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Latencies of the answered calls in seconds, in the order of their ends; and the texts of the failed ones."""

    latencies: np.ndarray
    failures: list[str]
    seconds: float

    @property
    def per_second(self) -> float:
        """Answered calls per second."""
        return len(self.latencies) / self.seconds

    def percentile_ms(self, percent: float) -> float:
        """The latency in milliseconds below which that share of the calls stayed."""
        return float(np.percentile(self.latencies, percent)) * 1e3 if len(self.latencies) else float("nan")


class ClosedLoop:
    """Keeps `in_flight` calls with the same serialized request going, from `start` until `stop`."""

    def __init__(self, target: str, request: bytes, in_flight: int, timeout_seconds: float = 10.0) -> None:
        self._channel = grpc.insecure_channel(target)
        self._call = self._channel.unary_unary(METHOD)  # bytes in, bytes out
        self._request = request
        self._in_flight = in_flight
        self._timeout_seconds = timeout_seconds
        self._lock = threading.Lock()
        self._latencies: list[float] = []
        self._failures: list[str] = []
        self._num_running = 0
        self._is_stopping = False
        self._ended = threading.Event()
        self._start_seconds = 0.0

    @property
    def num_answered(self) -> int:
        """How many calls have been answered so far."""
        return len(self._latencies)

    def start(self) -> None:
        """Begin."""
        self._start_seconds = time.perf_counter()
        self._num_running = self._in_flight
        for _ in range(self._in_flight):
            self._next()

    def stop(self) -> Outcome:
        """Let the running calls end; return what there was."""
        self._is_stopping = True
        self._ended.wait()
        seconds = time.perf_counter() - self._start_seconds
        self._channel.close()
        return Outcome(np.array(self._latencies), self._failures, seconds)

    def _next(self) -> None:
        begin = time.perf_counter()
        future = self._call.future(self._request, timeout=self._timeout_seconds)
        future.add_done_callback(lambda done: self._note(done, begin))

    def _note(self, future: Any, begin: float) -> None:
        latency = time.perf_counter() - begin
        error = future.exception()
        if error is None:
            self._latencies.append(latency)
        else:
            self._failures.append(str(error.details()))
        if not self._is_stopping:
            self._next()
            return
        with self._lock:
            self._num_running -= 1
            if self._num_running == 0:
                self._ended.set()


def run(target: str, request: bytes, in_flight: int, seconds: float) -> Outcome:
    """Return what a closed loop of that many seconds measures."""
    loop = ClosedLoop(target, request, in_flight)
    loop.start()
    time.sleep(seconds)
    return loop.stop()
