"""A native cell means what its text means in a CSV; times are exact in every unit, ISO texts read as Python reads."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, timezone

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.schema import Timestamp
from transforms.read import cells
from transforms.read.reasons import Reasons
from transforms.read.texts import texts

MANY = settings(max_examples=200, deadline=None)
COLUMNS = st.one_of(
    st.lists(st.none() | st.integers(-(2**63), 2**63 - 1), min_size=1, max_size=6).map(
        lambda v: pa.array(v, pa.int64())
    ),
    st.lists(st.none() | st.floats(), min_size=1, max_size=6).map(lambda v: pa.array(v, pa.float64())),
    st.lists(st.none() | st.floats(width=32), min_size=1, max_size=6).map(lambda v: pa.array(v, pa.float32())),
    st.lists(st.none() | st.integers(0, 2**64 - 1), min_size=1, max_size=6).map(lambda v: pa.array(v, pa.uint64())),
    st.lists(st.none() | st.booleans(), min_size=1, max_size=6).map(lambda v: pa.array(v, pa.bool_())),
    st.lists(st.none() | st.decimals(-1000, 1000, places=2), min_size=1, max_size=6).map(
        lambda v: pa.array(v, pa.decimal128(10, 2))
    ),
)


@MANY
@given(values=COLUMNS, is_required=st.booleans())
def test_a_native_number_is_the_number_that_its_text_is(values, is_required):
    native, text = Reasons(len(values)), Reasons(len(values))
    found = cells.numbers(values, "n", native, is_required=is_required)
    expected = cells.numbers(texts(values), "n", text, is_required=is_required)
    np.testing.assert_array_equal(found, expected)
    assert native.found() == text.found()


@MANY
@given(values=COLUMNS, unit=st.sampled_from(["s", "ms", "us", "ns", "iso"]))
def test_a_native_number_is_the_time_that_its_text_is(values, unit):
    native, text = Reasons(len(values)), Reasons(len(values))
    timestamp = Timestamp(column="t", unit=unit)
    found = cells.times(pa.table({"t": values}), timestamp, native)
    expected = cells.times(pa.table({"t": texts(values)}), timestamp, text)
    assert found.tolist() == expected.tolist()
    assert native.found() == text.found()


def times(values, unit):
    """Times in ms and the reasons of a column."""
    values = values if isinstance(values, pa.Array) else pa.array(values)
    reasons = Reasons(len(values))
    return cells.times(pa.table({"t": values}), Timestamp(column="t", unit=unit), reasons).tolist(), reasons.found()


PER_SECOND = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}


@MANY
@given(
    numbers=st.lists(st.integers(-2 * 10**18, 7 * 10**18), min_size=1, max_size=5),
    unit=st.sampled_from(sorted(PER_SECOND)),
    is_native=st.booleans(),
    has_bad_neighbour=st.booleans(),
)
def test_whole_numbers_are_exact_and_cut_to_the_millisecond(numbers, unit, is_native, has_bad_neighbour):
    numbers = [number * PER_SECOND[unit] // 10**9 for number in numbers]
    written = numbers if is_native else [str(number) for number in numbers]
    if has_bad_neighbour:
        written = [*written, None if is_native else "x"]
    found, rejected = times(written, unit)
    assert found[: len(numbers)] == [number * 1000 // PER_SECOND[unit] for number in numbers]
    assert [row for row, _ in rejected] == [len(numbers)] * has_bad_neighbour


@MANY
@given(milliseconds=st.integers(-(10**12), 7 * 10**12))
def test_seconds_with_three_decimals_lose_no_millisecond(milliseconds):
    seconds, rest = divmod(abs(milliseconds), 1000)
    text = f"{'-' if milliseconds < 0 else ''}{seconds}.{rest:03}"
    assert times([text, "x"], "s")[0] == [milliseconds, 0]
    assert times([float(text)], "s")[0] == [milliseconds]


def test_hexadecimal_is_no_time():
    assert times(["0x5F5E1000", "1600000000"], "s") == (
        [0, 1_600_000_000_000],
        [(0, "t is not a number: '0x5F5E1000'")],
    )


def test_a_missing_time_is_called_missing_in_every_form():
    for values, unit in [
        (["", "1600000000"], "s"),
        (["", "2024-01-31"], "iso"),
        ([None, 1_600_000_000], "s"),
        (pa.array([None, datetime(2024, 1, 1)], pa.timestamp("us")), "s"),
        (pa.array([None, date(2024, 1, 1)]), "s"),
    ]:
        assert times(values, unit)[1] == [(0, "t is missing")]


def milliseconds_of(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


MOMENTS = st.datetimes(datetime(1900, 1, 2), datetime(2199, 12, 30))
ZONES = st.none() | st.integers(-14 * 60, 14 * 60).map(lambda minutes: timezone(timedelta(minutes=minutes)))


@MANY
@given(moments=st.lists(st.tuples(MOMENTS, ZONES), min_size=1, max_size=6), blank=st.booleans())
def test_iso_texts_are_read_as_python_reads_them_and_as_utc_without_an_offset(moments, blank):
    aware = [moment.replace(tzinfo=zone) for moment, zone in moments]
    found, rejected = times([moment.isoformat(sep=" " if blank else "T") for moment in aware], "iso")
    assert found == [
        milliseconds_of(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)) for moment in aware
    ]
    assert rejected == []


NOON = 1_706_702_400_000
ISO = {
    "2024-01-31": NOON - 12 * 3_600_000,
    "2024-01-31 12:00": NOON,
    "2024-01-31T12:00:00": NOON,
    "2024-01-31 12:00:00.9999": NOON + 999,
    "2024-01-31T12:00:00.123456789Z": NOON + 123,
    "2024-01-31T14:00:00+02:00": NOON,
    "2024-01-31T14:00:00+0200": NOON,
    "2024-01-31 12:00:00 UTC": NOON,
    "2024-01-31 14:00:00 +02:00": NOON,
    " 2024-01-31T12:00:00z ": NOON,
}
NOT_ISO = ["2024-02-31", "31.01.2024", "1706702400", "2024-01-31T25:00:00", "yesterday", "0001-01-01", "2024-1-31"]


@pytest.mark.parametrize("neighbours", [[], ["2024-01-31"], ["2024-01-31T12:00:00Z"], ["no time"]])
@pytest.mark.parametrize("text", ISO)
def test_iso_texts_are_read_beside_any_neighbour(text, neighbours):
    found, rejected = times([text, *neighbours], "iso")
    assert found[0] == ISO[text]
    assert [row for row, _ in rejected] == [1] * (neighbours == ["no time"])


@pytest.mark.parametrize("text", NOT_ISO)
def test_what_is_no_iso_time_is_rejected_alone(text):
    found, rejected = times(["2024-01-31", text, "2024-01-31T12:00:00Z"], "iso")
    assert found == [NOON - 12 * 3_600_000, 0, NOON]
    assert rejected == [(1, f"t is no ISO time such as 2024-01-31 12:00Z: {text!r}")]


def test_years_outside_1900_to_2200_are_rejected():
    assert times(["1850-01-01", "2024-01-31"], "iso")[1] == [(0, "t lies outside the years 1900 to 2200")]


@pytest.mark.parametrize("declared", ["s", "ns", "iso"])
@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("zone", [None, "UTC", "Europe/Oslo"])
def test_native_times_need_no_unit(unit, zone, declared):
    moment = datetime(2024, 1, 31, 12, tzinfo=UTC)
    values = pa.array([moment if zone else moment.replace(tzinfo=None)], pa.timestamp(unit, zone))
    assert times(values, declared) == ([NOON], [])
    assert times(pa.array([date(2024, 1, 31)]), declared)[0] == [NOON - 12 * 3_600_000]
    assert times(pa.array([date(2024, 1, 31)], pa.date64()), declared)[0] == [NOON - 12 * 3_600_000]


@pytest.mark.parametrize(
    "values", [pa.array([1, 0, None, 2]), pa.array(["1", "0", "", "2"]), pa.array(["true", "false", "", "x"])]
)
def test_flags_are_set_by_1_or_true(values):
    reasons = Reasons(4)
    found = cells.flags(pa.table({"f": values}), ("f",), reasons)
    assert found.to_pylist() == [["f"], [], [], []]
    assert [row for row, _ in reasons.found()] == [3]
    assert cells.flags(pa.table({"f": [True, False]}), ("f",), Reasons(2)).to_pylist() == [["f"], []]
