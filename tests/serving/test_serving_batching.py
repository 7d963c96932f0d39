"""Batches of concurrent calls, with plain functions in place of a graph: what is joined, padded, refused and undone."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.server.runtime.batch_arrays import joined, parted
from serving.server.runtime.batching import Batcher
from serving.server.runtime.batching_options import BatchingOptions, read_batching_parameters
from serving.server.status import StatusError
from tfrec.errors import ConfigError


class Gate:
    """A function that doubles `x`; it can be held, and notes the sizes of its batches and how many run at once."""

    def __init__(self):
        self.opens = threading.Event()
        self.opens.set()
        self.sizes = []
        self.timeouts = []
        self.most_at_once = 0
        self._running = 0
        self._lock = threading.Lock()

    def __call__(self, inputs, timeout_seconds):
        x = inputs["x"]
        with self._lock:
            self._running += 1
            self.most_at_once = max(self.most_at_once, self._running)
            self.sizes.append(len(x))
            self.timeouts.append(timeout_seconds)
        self.opens.wait()
        with self._lock:
            self._running -= 1
        if x.dtype == object and any(value == b"bad" for value in x):
            raise tf.errors.InvalidArgumentError(None, None, "bad value")
        return [x + x]


def rows(*values, dtype=np.float32):
    return {"x": np.array(values, dtype=dtype)}


def held(options, calls, *, late=()):
    """Start one call that holds the only place, then `calls`, in order; open the gate; return outcomes and the gate."""
    gate = Gate()
    gate.opens.clear()
    batcher = Batcher(options, gate)
    with ThreadPoolExecutor(len(calls) + 1) as pool:
        first = pool.submit(batcher.run, rows(0.0), np.inf)
        wait_until(lambda: gate.sizes)
        futures = []
        for inputs, timeout in calls:
            before = waiting(batcher)
            futures.append(pool.submit(batcher.run, inputs, timeout))
            wait_until(lambda before=before, futures=futures: waiting(batcher) > before or futures[-1].done())
        time.sleep(max(late, default=0))
        gate.opens.set()
        assert first.result()[0].tolist() == [0.0]
        return [future.exception() or future.result()[0].tolist() for future in futures], gate


def waiting(batcher):
    return sum(len(batch.calls) for batch in batcher._open)


def wait_until(condition):
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


ONE_PLACE = {"num_batch_threads": 1}
FOREVER = np.inf


def test_a_call_alone_runs_at_once():
    gate = Gate()
    assert Batcher(BatchingOptions(), gate).run(rows(1, 2), FOREVER)[0].tolist() == [2, 4]
    assert (gate.sizes, gate.timeouts) == ([2], [np.inf])


def test_calls_that_wait_run_together_and_get_their_own_rows():
    outcomes, gate = held(BatchingOptions(**ONE_PLACE), [(rows(1), FOREVER), (rows(2, 3), FOREVER), (rows(4), FOREVER)])
    assert outcomes == [[2], [4, 6], [8]]
    assert gate.sizes == [1, 4]


def test_a_batch_holds_no_more_rows_than_allowed():
    calls = [(rows(1, 2), FOREVER), (rows(3, 4), FOREVER), (rows(5), FOREVER)]
    outcomes, gate = held(BatchingOptions(max_batch_size=3, **ONE_PLACE), calls)
    assert outcomes == [[2, 4], [6, 8], [10]]
    assert sorted(gate.sizes[1:]) == [2, 3]


def test_a_call_larger_than_a_batch_is_refused():
    with pytest.raises(StatusError) as caught:
        Batcher(BatchingOptions(max_batch_size=8), Gate()).run(rows(*range(9)), FOREVER)
    assert str(caught.value) == "INVALID_ARGUMENT: Task size 9 is larger than maximum input batch size 8"


def test_a_full_queue_is_unavailable():
    calls = [(rows(1, 2), FOREVER), (rows(3, 4), FOREVER), (rows(5, 6), FOREVER)]
    outcomes, _ = held(BatchingOptions(max_batch_size=2, max_enqueued_batches=2, **ONE_PLACE), calls)
    assert outcomes[:2] == [[2, 4], [6, 8]]
    assert outcomes[2].code.name == "UNAVAILABLE"
    assert outcomes[2].message.startswith(
        "The batch scheduling queue to which this task was submitted is full; currently "
    )


def test_a_batch_whose_calls_all_waited_too_long_is_not_run():
    outcomes, gate = held(BatchingOptions(**ONE_PLACE), [(rows(1), 0.05), (rows(2), 0.05)], late=[0.2])
    assert {outcome.code.name for outcome in outcomes} == {"RESOURCE_EXHAUSTED"}
    assert {outcome.message for outcome in outcomes} == {"Run() timeout exceeded while waiting in batching queue"}
    assert gate.sizes == [1]


def test_a_batch_may_take_as_long_as_its_most_patient_call():
    outcomes, gate = held(BatchingOptions(**ONE_PLACE), [(rows(1), 0.05), (rows(2), 30.0)], late=[0.2])
    assert outcomes == [[2], [4]]
    assert 20 < gate.timeouts[1] <= 30


def test_padding_repeats_the_first_row_of_the_last_call():
    options = BatchingOptions(max_batch_size=4, allowed_batch_sizes=(1, 4), **ONE_PLACE)
    batch, size = joined([rows(1), rows(7, 8)], options)
    assert (batch["x"].tolist(), size) == ([1, 7, 8, 7], 4)
    outcomes, gate = held(options, [(rows(1), FOREVER), (rows(7, 8), FOREVER)])
    assert outcomes == [[2], [14, 16]]
    assert gate.sizes == [1, 4]


def test_rows_of_unequal_length_are_padded_with_their_tensors_first_element():
    options = BatchingOptions(pad_variable_length_inputs=True)
    batch, _ = joined([rows([1, 2]), rows([3, 4, 5], [6, 7, 8])], options)
    assert batch["x"].tolist() == [[1, 2, 1], [3, 4, 5], [6, 7, 8]]


def test_calls_of_other_shapes_or_types_wait_for_a_batch_of_their_own():
    calls = [(rows([1, 2]), FOREVER), (rows(3), FOREVER), (rows(4, dtype=np.int32), FOREVER), (rows(5), FOREVER)]
    outcomes, gate = held(BatchingOptions(**ONE_PLACE), calls)
    assert outcomes == [[[2, 4]], [6], [8], [10]]
    assert gate.sizes == [1, 1, 2, 1]


def test_a_call_that_fails_fails_alone():
    texts = [
        (rows(b"a", dtype=object), FOREVER),
        (rows(b"bad", dtype=object), FOREVER),
        (rows(b"c", dtype=object), FOREVER),
    ]
    outcomes, gate = held(BatchingOptions(**ONE_PLACE), texts)
    assert outcomes[0] == [b"aa"]
    assert outcomes[2] == [b"cc"]
    assert outcomes[1].message == "bad value"
    assert gate.sizes == [1, 3, 1, 1, 1]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"x": np.float32(1)}, "Batching Run() input tensors must have at least one dimension"),
        ({"x": np.zeros(2), "y": np.zeros(1)}, "Batching Run() input tensors must have equal 0th-dimension size"),
    ],
)
def test_inputs_without_rows_of_their_own_are_refused(inputs, message):
    with pytest.raises(StatusError) as caught:
        Batcher(BatchingOptions(), Gate()).run(inputs, FOREVER)
    assert caught.value.message == message


def test_outputs_must_have_the_batchs_rows():
    with pytest.raises(StatusError, match="Batched output tensor has 0 dimensions"):
        parted([np.float32(1)], [1, 1], 2)
    with pytest.raises(StatusError, match="0th dimension does not equal the sum"):
        parted([np.zeros(3)], [1, 1], 2)


def test_a_batch_timeout_lets_a_batch_fill():
    gate = Gate()
    batcher = Batcher(BatchingOptions(max_batch_size=2, batch_timeout_micros=30_000_000), gate)
    with ThreadPoolExecutor(2) as pool:
        found = [future.result()[0].tolist() for future in [pool.submit(batcher.run, rows(i), FOREVER) for i in (1, 2)]]
    assert found == [[2], [4]]
    assert gate.sizes == [2]


@settings(max_examples=15, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=40),
    max_batch_size=st.integers(5, 12),
    num_threads=st.integers(1, 3),
    has_sizes=st.booleans(),
)
def test_every_call_gets_its_own_answer_within_the_limits(sizes, max_batch_size, num_threads, has_sizes):
    gate = Gate()
    allowed = (2, max_batch_size) if has_sizes else ()
    options = BatchingOptions(
        max_batch_size=max_batch_size,
        num_batch_threads=num_threads,
        max_enqueued_batches=50,
        allowed_batch_sizes=allowed,
    )
    batcher = Batcher(options, gate)
    calls = [np.arange(size, dtype=np.int64) + 100 * i for i, size in enumerate(sizes)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda x: batcher.run({"x": x}, FOREVER)[0].tolist(), calls))
    assert found == [(2 * call).tolist() for call in calls]
    assert max(gate.sizes) <= max_batch_size
    assert not has_sizes or set(gate.sizes) <= set(allowed)
    assert gate.most_at_once <= num_threads
    assert not batcher._open
    assert batcher._num_places_taken == 0


def test_a_parameters_file_has_tf_servings_fields(tmp_path):
    path = tmp_path / "batching.config"
    path.write_text(
        "max_batch_size { value: 32 } batch_timeout_micros { value: 500 } max_enqueued_batches { value: 7 }\n"
        "num_batch_threads { value: 3 } thread_pool_name { value: 'p' } allowed_batch_sizes: 8\n"
        "allowed_batch_sizes: 32 pad_variable_length_inputs: true"
    )
    assert read_batching_parameters(path) == BatchingOptions(32, 500, 7, 3, (8, 32), True)
    path.write_text("")
    assert read_batching_parameters(path) == BatchingOptions()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("max_batch_size: 3", "--batching_parameters_file"),
        (
            "max_batch_size { value: 9 } allowed_batch_sizes: 8",
            "match max_batch_size; last entry was 8; expected 9",
        ),
        ("max_batch_size { value: 4 } allowed_batch_sizes: [4, 4]", "must be monotonically increasing"),
        ("num_batch_threads { value: 0 }", "num_batch_threads: got 0; allowed: from 1"),
    ],
)
def test_parameters_that_cannot_be_right_are_an_error(tmp_path, text, message):
    path = tmp_path / "batching.config"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_batching_parameters(path)
    assert message in str(caught.value)
