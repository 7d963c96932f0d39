"""A stage in this process: requests go out, answers are counted."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import grpc

from serving.client.grpc_channel import open_channel
from serving.client.options import ClientOptions
from serving.loadtest.answered_version import answered_version
from serving.loadtest.outcome import Outcome
from serving.loadtest.stage import Payload, Stage

METHOD = "/tensorflow.serving.PredictionService/Predict"
_MAX_IN_FLIGHT = 10_000  # of one process; requests beyond it wait, and their time runs
_SPIN_SECONDS = 0.0005  # a sleep ends later than asked: the last bit is not slept


class _Recorder:
    """Counts requests from several threads; those of the warm-up are not counted."""

    def __init__(self, stage: Stage, began: float) -> None:
        self._began = began + stage.warmup_seconds
        self._lock = threading.Lock()
        self.outcome = Outcome(stage.seconds)

    def record(self, payload: Payload, start: float, sent: float, answer: Any) -> None:
        """Count a call that has ended: `answer` is bytes, or gRPC's error."""
        end = time.perf_counter()
        if start < self._began:
            return
        is_answer = isinstance(answer, bytes)
        failure = None if is_answer else answer.code().name
        version = f"{payload.model}/{answered_version(answer)}" if is_answer else None
        with self._lock:
            self.outcome.record(start - self._began, sent - self._began, end - self._began, failure, version)


def run_stage(stage: Stage, payloads: Sequence[Payload], ready: Callable[[], object] = lambda: None) -> Outcome:
    """Send the stage's requests and return what became of them; `ready` is called when the first may go."""
    with open_channel(stage.target, ClientOptions(tls=stage.tls)) as channel:
        call = channel.unary_unary(METHOD, request_serializer=None, response_deserializer=None)
        ready()
        if stage.rate is not None:
            return _open_loop(stage, payloads, call)
        return _closed_loop(stage, payloads, call)


def _open_loop(stage: Stage, payloads: Sequence[Payload], call: Any) -> Outcome:
    began = time.perf_counter()
    recorder = _Recorder(stage, began)
    free = threading.Semaphore(_MAX_IN_FLIGHT)

    def send(payload: Payload, start: float) -> None:
        free.acquire()
        sent = time.perf_counter()

        def ended(future: Any) -> None:
            recorder.record(payload, start, sent, future if future.exception() else future.result())
            free.release()

        call.future(payload.content, timeout=stage.timeout_seconds).add_done_callback(ended)

    for due, payload in zip(stage.starts(), stage.drawn(payloads), strict=False):
        _sleep_until(began + due)
        send(payload, began + due)
    for _ in range(_MAX_IN_FLIGHT):  # all have ended when all places are free
        free.acquire()
    return recorder.outcome


def _sleep_until(moment: float) -> None:
    while (left := moment - time.perf_counter()) > 0:
        time.sleep(max(left - _SPIN_SECONDS, 0))


def _closed_loop(stage: Stage, payloads: Sequence[Payload], call: Any) -> Outcome:
    began = time.perf_counter()
    recorder = _Recorder(stage, began)
    drawn = stage.drawn(payloads)
    drawing = threading.Lock()

    def ask_again_and_again() -> None:
        end = began + stage.warmup_seconds + stage.seconds
        while (start := time.perf_counter()) < end:
            with drawing:
                payload = next(drawn)
            answer: Any
            try:
                answer = call(payload.content, timeout=stage.timeout_seconds)
            except grpc.RpcError as error:
                answer = error
            recorder.record(payload, start, start, answer)

    callers = [threading.Thread(target=ask_again_and_again, daemon=True) for _ in range(stage.concurrency or 0)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    return recorder.outcome
