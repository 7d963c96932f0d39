"""Strings → typed values; what is no value of its kind is rejected with the reason, and only that row."""

from __future__ import annotations

import json

import pytest

from tfrec.config_file import parse_config
from tfrec.schema import EVENT_TIME_MS, LABEL
from transforms.dataset_config import DatasetConfig
from transforms.read.blocks import Block
from transforms.read.formats import parser_of
from transforms.read.sources import InputSource, InputTable
from transforms.read.typed import SOURCE, TypedRows

YAML = """\
name: typed
events: {files: e, header: false, columns: [user, item, stars, when, price, tags, x, y]}
features:
  user: {role: user, kind: categorical, id: true}
  item: {role: item, kind: categorical, id: true}
  price: {role: context, kind: numeric}
  tags: {role: context, kind: categorical, separator: "|"}
  marks: {role: context, kind: categorical, flags: [x, y]}
label: {column: stars}
timestamp: {column: when, unit: s}
"""
GOOD = {"user": "u", "item": "i", "stars": "3", "when": "1600000000", "price": "2.5", "tags": "a", "x": "0", "y": "1"}


def convert(*changes: dict[str, str], overrides: tuple[str, ...] = ()):
    """Typed rows and (line, reason) of rows that differ from a good one."""
    config = parse_config(YAML, DatasetConfig, overrides)
    table = InputTable("events", (InputSource(config.table("events"), ("e",), config.table("events").columns),), 1)
    rows = TypedRows(config, {"events": table}, "events")
    text = "".join(",".join((GOOD | change).values()) + "\n" for change in changes)
    block = Block(3, "e", 1, text.encode())
    parsed, malformed = parser_of("events", table.sources[0], rows.wanted).parse(block)
    assert malformed == []
    typed, rejected, _ = rows.convert(block, parsed)
    return typed, [(row.line, row.reason) for row in rejected]


NUMBERS = {"5": 5, " 5 ": 5, "+5": 5, "-0.25": -0.25, ".5": 0.5, "5.": 5, "1e3": 1000, "1E-2": 0.01, "007": 7}


@pytest.mark.parametrize("has_bad_neighbour", [False, True])
@pytest.mark.parametrize("text", NUMBERS)
def test_numbers_are_read_as_people_write_them(text, has_bad_neighbour):
    neighbours = [{"price": "no"}] if has_bad_neighbour else []
    typed, rejected = convert({"price": text, "stars": text}, *neighbours)
    assert typed.column("price").to_pylist() == pytest.approx([NUMBERS[text]])
    assert typed.column(LABEL).to_pylist() == pytest.approx([NUMBERS[text]])
    assert rejected == [(2, "price is not a number: 'no'")] * has_bad_neighbour


NOT_FINITE = ["nan", "NaN", "inf", "-inf", "Infinity", "1e400", "-1e39"]
NOT_NUMBERS = ["x", "1,5".replace(",", ";"), "0x10", "1_000", "--5", "5 5", "١", "1e", "."]


@pytest.mark.parametrize("has_bad_neighbour", [False, True])
@pytest.mark.parametrize("column", ["price", "stars"])
@pytest.mark.parametrize("text", NOT_FINITE + NOT_NUMBERS)
def test_what_is_no_finite_number_is_rejected_for_the_same_reason_beside_any_row(text, column, has_bad_neighbour):
    kind = "a finite number" if text in NOT_FINITE else "a number"
    neighbours = [{column: "zzz"}] if has_bad_neighbour else []
    typed, rejected = convert({}, {column: text}, {}, *neighbours)
    assert typed.num_rows == 2
    assert rejected[0] == (2, f"{column} is not {kind}: {text!r}")


def test_a_missing_number_is_nan_but_a_missing_label_or_time_rejects_the_row():
    typed, rejected = convert({"price": ""}, {"stars": ""}, {"when": ""})
    assert str(typed.column("price").to_pylist()) == "[nan]"
    assert rejected == [(2, "stars is missing"), (3, "when is missing")]


@pytest.mark.parametrize("column", ["user", "item"])
def test_an_empty_id_rejects_the_row(column):
    typed, rejected = convert({column: ""}, {})
    assert typed.num_rows == 1
    assert rejected == [(1, f"{column} is empty")]


def test_a_row_with_several_faults_is_rejected_once():
    _, rejected = convert({"user": "", "stars": "x", "x": "7"})
    assert rejected == [(1, "user is empty")]


@pytest.mark.parametrize(
    ("unit", "text", "milliseconds"),
    [
        ("s", "1600000000", 1_600_000_000_000),
        ("s", "1600000000.5", 1_600_000_000_500),
        ("ms", "1600000000123", 1_600_000_000_123),
        ("us", "1600000000123456", 1_600_000_000_123),
        ("s", "-86400", -86_400_000),
        ("s", "0", 0),
    ],
)
def test_times_become_milliseconds(unit, text, milliseconds):
    typed, rejected = convert({"when": text}, overrides=(f"timestamp.unit={unit}",))
    assert typed.column(EVENT_TIME_MS).to_pylist() == [milliseconds]
    assert rejected == []


@pytest.mark.parametrize(
    ("unit", "text"), [("s", "1600000000000"), ("ms", "1600000000000000"), ("s", "-99999999999"), ("s", "1e30")]
)
def test_a_time_of_another_unit_is_rejected(unit, text):
    _, rejected = convert({"when": text}, overrides=(f"timestamp.unit={unit}",))
    [(line, reason)] = rejected
    assert line == 1
    assert reason == f"when is not a Unix time in {unit}; set timestamp.unit to s, ms, us, ns or iso"


def test_a_label_with_a_threshold_is_1_from_the_threshold_on():
    typed, _ = convert({"stars": "3.9"}, {"stars": "4"}, {"stars": "4.5"}, overrides=("label.threshold=4",))
    assert typed.column(LABEL).to_pylist() == [0, 1, 1]


def test_without_label_and_timestamp_every_event_is_positive_at_time_0():
    typed, _ = convert({}, overrides=("label=null", "timestamp=null", "split.strategy=leave_one_out"))
    assert typed.column(LABEL).to_pylist() == [1]
    assert typed.column(EVENT_TIME_MS).to_pylist() == [0]


def test_several_values_are_split_and_empty_parts_left_out():
    typed, _ = convert({"tags": "a|b"}, {"tags": ""}, {"tags": "|c||a|"}, {"tags": "||"})
    assert typed.column("tags").to_pylist() == [["a", "b"], [], ["c", "a"], []]


def test_flags_are_the_names_of_the_columns_that_are_1():
    typed, rejected = convert(
        {"x": "1", "y": "1"}, {"x": "", "y": "0"}, {"x": "yes"}, {"y": "1.0"}, {"x": "1", "y": ""}
    )
    assert typed.column("marks").to_pylist() == [["x", "y"], [], ["x"]]
    assert rejected == [(3, "flag x is neither 0 nor 1: 'yes'"), (4, "flag y is neither 0 nor 1: '1.0'")]


def test_a_row_is_known_by_its_file_and_line():
    typed, _ = convert({}, {"user": ""}, {})
    assert typed.column(SOURCE).to_pylist() == [3 * 2**40 + 1, 3 * 2**40 + 3]


FAULTY_USERS = """\
user_id,age
u1,20
u2,abc
u1,30

u3,40
u1,x
"""


def test_rejected_rows_are_listed_with_file_line_reason_and_text_and_counted_in_the_manifest(workshop, pairs_yaml):
    events = 'user_id,item_id\nu1,i1\nu1\nu2,i2\n"u3,i1\n,i1\n'
    yaml = pairs_yaml.replace("features:", "users: {files: users.csv}\nfeatures:\n  age: {role: user, kind: numeric}")
    manifest = workshop.log(events=events, users=FAULTY_USERS).run(yaml, ["max_rejected_share=0.9"])
    assert manifest["rows"] == {
        "events": {
            "rows": 5,
            "accepted": 2,
            "rejected": 3,
            "unusable": 3,
            "reasons": {
                "a quote is not closed on its line; set 'quote' to null if quotes are ordinary characters": 1,
                "expected 2 columns, got 1": 1,
                "user_id is empty": 1,
            },
        },
        "users": {
            "rows": 5,
            "accepted": 2,
            "rejected": 3,
            "unusable": 3,
            "reasons": {"age is not a number": 2, "repeated id": 1},
        },
    }
    assert manifest["rejected"] == 6
    assert manifest == workshop.dataset.manifest
    listed = {
        path.stem: [json.loads(line) for line in path.read_text().split("\n")[:-1]]
        for path in (workshop.output / "rejected").iterdir()
    }
    assert [(row["line"], row["text"]) for row in listed["events"]] == [(3, "u1"), (5, '"u3,i1'), (6, " | i1")]
    assert [(row["line"], row["reason"]) for row in listed["users"]] == [
        (3, "age is not a number: 'abc'"),
        (4, "repeated id"),
        (7, "age is not a number: 'x'"),
    ]
    for table, rows in listed.items():
        assert {row["table"] for row in rows} == {table}
        assert {row["file"] for row in rows} == {str(workshop.input / f"{table}.csv")}


@pytest.mark.parametrize("column", ["user", "item"])
def test_an_id_longer_than_anybody_s_rejects_the_row(column):
    typed, rejected = convert({column: "x" * 1024}, {column: "é" * 513})
    assert typed.num_rows == 1
    assert rejected == [(2, f"{column} is longer than 1024 bytes")]
