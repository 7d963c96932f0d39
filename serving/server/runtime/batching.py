"""Dynamic batching: calls of one signature that wait at the same time run as one.

No thread is kept for it. A call that opens a batch while a place is free runs that batch itself, in its own thread; one
that finds all places taken leaves its batch open for others to join, until a place is handed to it. Where batches do
not wait to fill, and a place is free, a call runs as if there were no batching. So it costs nothing while there is
nothing to gain, and the batches grow with the load, as TF Serving's do with `batch_timeout_micros` 0.

Beyond TF Serving: only calls with equal dtypes and shapes share a batch, and the calls of a batch that failed are run
again one by one. There a call that does not fit fails everybody's.
"""

from __future__ import annotations

import dataclasses
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import tensorflow as tf

from serving.server.runtime.batch_arrays import joined, parted
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.runtime.waiting import wait_for
from serving.server.status import invalid_argument, resource_exhausted, unavailable
from serving.tensors import Array

Run = Callable[[Mapping[str, Array], float], Sequence[Array]]

# Their cause is not one call among the others: running each alone would only take longer.
_ERRORS_OF_ALL = (tf.errors.DeadlineExceededError, tf.errors.CancelledError, tf.errors.AbortedError)


@dataclasses.dataclass(slots=True, eq=False)
class _Call:
    inputs: Mapping[str, Array]
    num_rows: int
    deadline_seconds: float
    is_leader: bool = False
    outputs: Sequence[Array] = ()
    error: BaseException | None = None
    # Held until there is something to do or to return; a bare lock is the cheapest thing to wait for.
    wake: Any = dataclasses.field(default_factory=threading.Lock)


@dataclasses.dataclass(slots=True, eq=False)
class _Batch:
    kind: tuple[Any, ...]
    opened_seconds: float
    calls: list[_Call] = dataclasses.field(default_factory=list)
    num_rows: int = 0
    has_leader: bool = False
    is_full: threading.Event = dataclasses.field(default_factory=threading.Event)


class Batcher:
    """The batches of one signature; `run` takes inputs by name and a timeout, and returns the outputs."""

    def __init__(self, options: BatchingOptions, run: Run) -> None:
        self._options = options
        self._run = run
        self._lock = threading.Lock()
        self._open: list[_Batch] = []
        self._num_places_taken = 0

    def run(self, inputs: Mapping[str, Array], timeout_seconds: float) -> Sequence[Array]:
        """Return the outputs for `inputs`, computed together with those of other calls.

        Raises StatusError with TF Serving's words when the call can't be queued or waited too long, and the graph's
        own errors.
        """
        num_rows = _num_rows(inputs)
        if num_rows > self._options.max_batch_size:
            raise invalid_argument(
                f"Task size {num_rows} is larger than maximum input batch size {self._options.max_batch_size}"
            )
        if self._options.batch_timeout_micros == 0 and self._take_place():
            return self._run_alone(inputs, num_rows, timeout_seconds)
        call = _Call(inputs, num_rows, time.monotonic() + timeout_seconds)
        call.wake.acquire()
        batch = self._join(call)
        if not call.is_leader:
            wait_for(call.wake)
        if call.is_leader:
            self._lead(batch)
        if call.error is None:
            return call.outputs
        # The error knows the frames that it passed, and they know the call: it must not know the error any more.
        error, call.error = call.error, None
        try:
            raise error
        finally:
            del error

    def _take_place(self) -> bool:
        """Take a place, if one is free and no batch waits for it."""
        with self._lock:
            is_free = not self._open and self._num_places_taken < self._options.num_batch_threads
            self._num_places_taken += is_free
        return is_free

    def _run_alone(self, inputs: Mapping[str, Array], num_rows: int, timeout_seconds: float) -> Sequence[Array]:
        try:
            padded, num_padded_rows = joined([inputs], self._options)
            return parted(self._run(padded, timeout_seconds), [num_rows], num_padded_rows)[0]
        finally:
            self._hand_on()

    def _join(self, call: _Call) -> _Batch:
        """Put the call in a batch. It leads it, if it opened it and a place is free."""
        kind = self._kind(call)
        with self._lock:
            for batch in self._open:
                if batch.kind != kind:
                    continue
                if batch.num_rows + call.num_rows <= self._options.max_batch_size:
                    self._add(batch, call)
                    return batch
                batch.is_full.set()
            if len(self._open) >= self._options.max_enqueued_batches:
                raise unavailable(
                    "The batch scheduling queue to which this task was submitted is full; currently "
                    f"{len(self._open)} batches enqueued and max_enqueued_batches is "
                    f"{self._options.max_enqueued_batches}"
                )
            batch = _Batch(kind, time.monotonic())
            self._open.append(batch)
            self._add(batch, call)
            if self._num_places_taken < self._options.num_batch_threads:
                self._num_places_taken += 1
                batch.has_leader = call.is_leader = True
            return batch

    def _kind(self, call: _Call) -> tuple[Any, ...]:
        """What calls must have in common to share a batch."""
        if self._options.pad_variable_length_inputs:
            return tuple((array.dtype, array.ndim) for array in call.inputs.values())
        return tuple((array.dtype, array.shape[1:]) for array in call.inputs.values())

    def _add(self, batch: _Batch, call: _Call) -> None:
        batch.calls.append(call)
        batch.num_rows += call.num_rows
        if batch.num_rows == self._options.max_batch_size:
            batch.is_full.set()

    def _lead(self, batch: _Batch) -> None:
        """Run a batch in this thread, then hand the place on."""
        wait_seconds = batch.opened_seconds + self._options.batch_timeout_micros / 1e6 - time.monotonic()
        if wait_seconds > 0:
            batch.is_full.wait(wait_seconds)
        with self._lock:
            self._open.remove(batch)
        try:
            self._answer(batch.calls)
        finally:
            self._hand_on()
            for follower in batch.calls[1:]:
                follower.wake.release()

    def _hand_on(self) -> None:
        with self._lock:
            for batch in self._open:
                if not batch.has_leader:
                    batch.has_leader = batch.calls[0].is_leader = True
                    batch.calls[0].wake.release()
                    return
            self._num_places_taken -= 1

    def _answer(self, calls: Sequence[_Call]) -> None:
        """Give each call its outputs or its error."""
        try:
            self._answer_together(calls)
        except Exception as error:
            if len(calls) == 1 or not isinstance(error, tf.errors.OpError) or isinstance(error, _ERRORS_OF_ALL):
                for call in calls:
                    call.error = error
                return
            for call in calls:
                self._answer([call])

    def _answer_together(self, calls: Sequence[_Call]) -> None:
        deadline_seconds = max(call.deadline_seconds for call in calls)
        timeout_seconds = math.inf if deadline_seconds == math.inf else deadline_seconds - time.monotonic()
        if timeout_seconds <= 0:
            raise resource_exhausted("Run() timeout exceeded while waiting in batching queue")
        inputs, num_rows = joined([call.inputs for call in calls], self._options)
        outputs = self._run(inputs, timeout_seconds)
        sizes = [call.num_rows for call in calls]
        for call, values in zip(calls, parted(outputs, sizes, num_rows), strict=True):
            call.outputs = values


def _num_rows(inputs: Mapping[str, Array]) -> int:
    if not inputs:
        raise invalid_argument("Batching Run() must have at least one input tensor")
    shapes = [array.shape for array in inputs.values()]
    if () in shapes:
        raise invalid_argument("Batching Run() input tensors must have at least one dimension")
    num_rows = shapes[0][0]
    if any(shape[0] != num_rows for shape in shapes):
        raise invalid_argument("Batching Run() input tensors must have equal 0th-dimension size")
    return num_rows
