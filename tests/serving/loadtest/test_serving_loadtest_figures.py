"""What is said of a load, beside sorting and hand calculation."""

import io
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tensorflow_serving.apis import predict_pb2

from serving.loadtest.answered_version import answered_version
from serving.loadtest.histogram import FINE_BITS, Histogram
from serving.loadtest.outcome import Outcome
from serving.loadtest.plots import tail
from serving.loadtest.report import table_of, warnings_of
from serving.loadtest.stage import Stage

MICROSECONDS = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


def filled(values, bits=FINE_BITS):
    histogram = Histogram(bits)
    for value in values:
        histogram.record(value)
    return histogram


@given(MICROSECONDS, st.floats(0, 100))
def test_a_percentile_is_that_of_sorting_up_to_a_thousandth_more(values, percent):
    rank = max(1, math.ceil(round(percent / 100 * len(values), 6)))
    exact = sorted(values)[rank - 1]
    found = filled(values).percentile(percent)
    assert exact <= found <= exact * (1 + 2**-FINE_BITS)


@given(MICROSECONDS, MICROSECONDS)
def test_histograms_of_parts_add_up_to_that_of_the_whole(some, others):
    whole, parts = filled(some + others), filled(some)
    parts.add(filled(others))
    assert list(parts) == list(whole)
    assert (parts.count, parts.max, parts.mean) == (whole.count, whole.max, np.mean(some + others))


def test_percentiles_of_nothing_are_nan_and_other_bits_do_not_add_up():
    assert math.isnan(Histogram().percentile(99))
    with pytest.raises(ValueError, match="5 bits are added to 10"):
        filled([1]).add(filled([1], bits=5))


def test_the_plotted_tail_has_the_share_of_slower_requests():
    x, milliseconds = tail(filled([1000] * 90 + [2000] * 9 + [50_000]))
    assert np.allclose(x, [1 / 0.10, 1 / 0.01, 1 / 0.005])
    assert np.allclose(milliseconds, [1, 2, 50], rtol=1e-3)


def test_the_version_is_read_as_the_whole_message_has_it():
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = 1234
    response.outputs["scores"].CopyFrom(tf.make_tensor_proto([1.0] * 50))
    assert answered_version(response.SerializeToString()) == 1234
    assert answered_version(b"") == 0


def test_the_table_shows_every_figure_where_there_are_80_columns():
    outcome = Outcome(1.0)
    for milliseconds in (0.5, 7.25, 13.21, 1391.2):
        outcome.record(0.0, 0.0, milliseconds / 1e3, None, "m/1")
    outcome.failures["UNAVAILABLE"] = 12_345
    shown = io.StringIO()
    Console(file=shown, width=80).print(table_of([(Stage("t", 1.0, 0.0, 1.0, concurrency=1000), outcome)]))
    assert "…" not in shown.getvalue()
    assert {"1000", "callers", "answers/s", "7.25", "1391", "12345", "(99.97%)"} <= set(shown.getvalue().split())


def test_a_request_that_is_sent_late_is_charged_from_when_it_was_due():
    outcome = Outcome(1.0)
    outcome.record(start=0.25, sent=1.25, end=1.75, failure=None, version="m/1")
    found = [one.percentile(100) / 1e6 for one in (outcome.response, outcome.service, outcome.lateness)]
    assert found == pytest.approx([1.5, 0.5, 1.0], rel=2**-FINE_BITS)


def test_a_generator_at_its_limit_says_so():
    outcome = Outcome(1.0)
    for i in range(100):
        outcome.record(i / 100, i / 100 + (0.05 if i > 90 else 0), i / 100 + 0.06, None, "m/1")
    (warning,) = warnings_of([(Stage("t", 1.0, 0.0, 1.0, rate=100.0), outcome)])
    assert warning.startswith("100/s: one request in a hundred was sent 50 ms late")
