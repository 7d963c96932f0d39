"""Labels, weights, propensities and requests: from the log's cells to the records."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.dataset.records import record_dataset
from tfrec.errors import ConfigError, DataError
from tfrec.schema import SPLITS, Schema
from transforms.dataset_config import DatasetConfig
from transforms.filters import TimeLimits
from transforms.read.reasons import Reasons
from transforms.read.signals import EventSignals

IMPRESSIONS_YAML = """\
name: impressions
events: {files: "events*"}
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true}
  clicked: {role: user, kind: sequence, length: 3, labels: positive}
  stars: {role: user, kind: sequence, length: 3, of: label}
label: {column: event, values: [click, buy]}
weight:
  by_type: {column: event, weights: {view: 1, click: 2, buy: 5}}
  by_signal: {column: seconds, formula: log, alpha: 0.5, scale: 10, cap: 600}
propensity: {column: shown}
request: {column: request}
timestamp: {column: time, unit: s}
sessions: {gap_minutes: 30}
split: {strategy: temporal, validation: 0, test: 0.2}
"""
COLUMNS = "user_id,item_id,event,seconds,shown,request,time"


def events_csv(rows) -> str:
    return COLUMNS + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows)


def features_of(record: bytes) -> dict[str, list]:
    example = tf.train.Example.FromString(record)
    return {
        name: list(getattr(value, value.WhichOneof("kind") or "bytes_list").value)
        for name, value in example.features.feature.items()
    }


def records_of(dataset) -> list[dict[str, list]]:
    files = [file for split in SPLITS for file in dataset.files(split)]
    return [features_of(record) for record in record_dataset(files).as_numpy_iterator()]


def test_what_the_config_asks_for_stands_in_each_record(workshop):
    rows = [
        ("u1", "i1", "view", 0, 0.5, "r1", 1_600_000_000),
        ("u1", "i2", "click", 20, 0.25, "r1", 1_600_000_010),
        ("u1", "i3", "buy", 9999, 1, "r2", 1_600_007_200),
        ("u1", "i4", "click", "", 0.125, "", 1_600_007_260),
        ("u2", "i1", "scroll", 5, 0.5, "r3", 1_600_000_000),
    ]
    manifest = workshop.log(events=events_csv(rows)).run(IMPRESSIONS_YAML)
    assert manifest["rows"]["events"]["reasons"] == {"event is of a type without a weight": 1}
    assert manifest["rows"]["events"]["unusable"] == 0
    records = sorted(records_of(workshop.dataset), key=lambda record: record["event_position"])
    assert [record["label"] for record in records] == [[0], [1], [1], [1]]
    weights = [1 * 1, 2 * (1 + 0.5 * math.log(1 + 2)), 5 * (1 + 0.5 * math.log(1 + 60)), 2 * 1]
    np.testing.assert_allclose([record["weight"][0] for record in records], weights, rtol=1e-6)
    assert [record["propensity"] for record in records] == [[0.5], [0.25], [1], [0.125]]
    assert [record["request_id"] for record in records] == [[b"r1"], [b"r1"], [b"r2"], [b""]]
    assert [record["session_index"] for record in records] == [[0], [0], [1], [1]]
    assert [record["session_position"] for record in records] == [[0], [1], [0], [1]]
    tokens = (workshop.output / "vocabulary" / "item_id.txt").read_text().split()
    ids = [[tokens[i - 2] for i in record["clicked"]] for record in records]
    assert ids == [[], [], ["i2"], ["i2", "i3"]]
    assert [record["stars"] for record in records] == [[], [0], [0, 1], [0, 1, 1]]


WEIGHTS = st.lists(
    st.tuples(
        st.sampled_from(["view", "buy", "other", ""]),
        st.one_of(st.just(""), st.floats(0, 1e6).map(str)),
        st.one_of(st.just(""), st.just("0"), st.floats(0.01, 1e3).map(str)),
        st.floats(0, 50).map(str),
    ),
    min_size=1,
    max_size=20,
)
SIGNALS = {
    "{by_type: {column: kind, weights: {view: 1, buy: 5.5}, other: 0.25}}": lambda kind, x, of, w: {
        "view": 1,
        "buy": 5.5,
    }.get(kind, 0.25),
    "{by_signal: {column: x, alpha: 2, base: 0.5}}": lambda kind, x, of, w: 0.5 + 2 * x,
    "{by_signal: {column: x, cap: 30, base: 0}}": lambda kind, x, of, w: min(x, 30),
    "{by_signal: {column: x, of: of, cap: 1}}": lambda kind, x, of, w: 1 + min(x / of if of else 0, 1),
    "{by_signal: {column: x, formula: log, alpha: 3, scale: 4}}": lambda kind, x, of, w: 1 + 3 * math.log(1 + x / 4),
    "{column: w}": lambda kind, x, of, w: w,
    "{column: w, by_signal: {column: x}, by_type: {column: kind, weights: {view: 2}, other: 1}}": (
        lambda kind, x, of, w: w * (1 + x) * (2 if kind == "view" else 1)
    ),
}


@pytest.mark.parametrize("text", SIGNALS)
@settings(max_examples=60, deadline=None)
@given(rows=WEIGHTS)
def test_a_weight_is_the_product_of_its_parts_by_their_formulas(text, rows):
    import pyarrow as pa

    schema = parse_config(
        "name: w\nfeatures: {u: {role: user, id: true}, i: {role: item, id: true}}\nsplit: {strategy: random}\n"
        f"weight: {text}\n".replace("{role: user,", "{kind: categorical, role: user,").replace(
            "{role: item,", "{kind: categorical, role: item,"
        ),
        Schema,
    )
    table = pa.table(dict(zip(("kind", "x", "of", "w"), map(list, zip(*rows, strict=True)), strict=True)))
    columns: dict[str, pa.Array] = {}
    reasons = Reasons(len(rows))
    EventSignals(schema, TimeLimits()).add(table, columns, reasons)
    expected = [SIGNALS[text](kind, float(x or 0), float(of or 0), float(w)) for kind, x, of, w in rows]
    assert not reasons.any()
    np.testing.assert_allclose(columns["weight"].to_numpy(), expected, rtol=1e-5, atol=1e-30)


def test_weights_and_propensities_that_cannot_be_are_rejected(workshop):
    good = [(f"u{n}", "i1", "click", 1, 0.5, "r", 1_600_000_000 + n) for n in range(10)]
    bad = [("u", "i", "view", -1, 0.5, "r", 1_600_000_000), ("u", "i", "view", 1, 0, "r", 1_600_000_000)]
    bad += [("u", "i", "view", 1, 1.5, "r", 1_600_000_000), ("u", "i", "view", 1, "", "r", 1_600_000_000)]
    workshop.log(events=events_csv(good + bad)).run(IMPRESSIONS_YAML, ["max_rejected_share=0.5"])
    listed = [json.loads(line)["reason"] for line in (workshop.output / "rejected" / "events.jsonl").open()]
    assert listed == [
        "seconds is negative: -1",
        "shown is not a probability above 0 and up to 1: 0",
        "shown is not a probability above 0 and up to 1: 1.5",
        "shown is missing",
    ]


def test_label_values_that_no_row_has_stop_the_run(workshop):
    rows = [(f"u{n}", "i1", "view", 1, 0.5, "r", 1_600_000_000 + n) for n in range(10)]
    with pytest.raises(DataError, match=r"event is none of label.values \['Click'\] in any row, so all labels are 0"):
        workshop.log(events=events_csv(rows)).run(IMPRESSIONS_YAML, ["label.values=[Click]"])
    assert workshop.names() == set()


def test_seconds_taken_for_milliseconds_stop_the_run(workshop):
    rows = [(f"u{n}", "i1", "view", 1, 0.5, "r", 1_600_000_000 + n) for n in range(10)]
    with pytest.raises(DataError, match=r"18.5 days after 1 January 1970; time is not in ms: set timestamp.unit"):
        workshop.log(events=events_csv(rows)).run(IMPRESSIONS_YAML, ["timestamp.unit=ms"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("label={column: event, threshold: 1, values: [a]}", "has both 'threshold' and 'values'"),
        ("weight={}", "needs 'column', 'by_type' or 'by_signal'"),
        ("weight={by_type: {column: e, weights: {a: -1}}}", "the weight of 'a' is -1.0; weights are 0 or more"),
        ("sessions=null\nfeatures.clicked.within=session", "'within: session' needs 'sessions"),
        ("features.clicked.of=user_id", "is not a single-valued categorical feature of role item or context"),
        ("timestamp=null\nsplit={strategy: random}\nsessions={gap_minutes: 1}", "sessions need a 'timestamp'"),
        ("features.n={role: item, kind: numeric, so_far: user_events}", "so_far: user_events needs role user"),
        ("features.n={role: user, kind: numeric, so_far: user_events, column: a}", "has both 'column' and 'so_far'"),
        ("split={strategy: temporal, test_from: 2024-01-01}", "'validation_from' and 'test_from' go together"),
        ("split={strategy: given}", "strategy 'given' needs a 'split' in each part of 'events'"),
    ],
)
def test_a_config_that_cannot_be_meant_is_one_line(override, message):
    with pytest.raises(ConfigError) as caught:
        parse_config(IMPRESSIONS_YAML, DatasetConfig, override.split("\n"))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
