"""Sequences of something else than items: raw requests are encoded as the transforms encode the log."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from tests.transforms.conftest import Workshop
from tfrec.dataset.records import read_part
from tfrec.feature_transform import FeatureTransform, raw_specs
from tfrec.schema import SPLITS

YAML = """\
name: sequences
events: {files: "events*"}
features:
  user: {role: user, kind: categorical, id: true}
  item: {role: item, kind: categorical, id: true}
  device: {role: context, kind: categorical}
  past: {role: user, kind: sequence, length: 3}
  past_devices: {role: user, kind: sequence, length: 3, of: device}
  past_stars: {role: user, kind: sequence, length: 3, of: label}
  past_times: {role: user, kind: sequence, length: 3, of: event_time_ms}
  past_gaps: {role: user, kind: sequence, length: 3, of: gap_seconds}
label: {column: stars, threshold: 4}
timestamp: {column: time}
split: {strategy: leave_one_out}
"""
ROWS = [
    (f"u{n % 3}", f"i{n * 5 % 7}", ["tv", "", "pc"][n * 2 % 3], n % 5 + 1, 1_600_000_000 + 60 * n) for n in range(24)
]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    shop = Workshop(tmp_path_factory.mktemp("sequences") / "w")
    text = "user,item,device,stars,time\n" + "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    shop.log(events=text).run(YAML)
    return shop.dataset


def raw_past(user: str, time: int) -> dict[str, list]:
    mine = [row for row in ROWS if row[0] == user and row[4] < time]
    gaps = [0.0, *(float(b[4] - a[4]) for a, b in itertools.pairwise(mine))]
    return {
        "past": [row[1] for row in mine],
        "past_devices": [row[2] for row in mine],
        "past_stars": [float(row[3]) for row in mine],
        "past_times": [row[4] * 1000 for row in mine],
        "past_gaps": gaps,
    }


def padded(values: list[list], dtype: tf.DType) -> tf.Tensor:
    missing = {tf.string: "", tf.float32: float("nan"), tf.int64: 0}[dtype]
    width = max(map(len, values), default=0) + 2
    return tf.constant([row + [missing] * (width - len(row)) for row in values], dtype)


def test_a_raw_request_is_encoded_as_the_log_was(dataset):
    transform = FeatureTransform(dataset.schema, dataset.transform)
    specs = raw_specs({name: dataset.schema.features[name] for name in raw_past("u0", 0)})
    assert specs["past_times"].dtype == tf.int64
    assert specs["past_stars"].dtype == specs["past_gaps"].dtype == tf.float32
    users = [user.decode() for user in read_part(dataset, "users")["raw/user"]]
    checked = 0
    for split in SPLITS:
        part = read_part(dataset, split)
        pasts = [
            raw_past(users[user], time // 1000)
            for user, time in zip(part["user_index"], part["event_time_ms"].tolist(), strict=True)
        ]
        raw = {name: padded([past[name] for past in pasts], spec.dtype) for name, spec in specs.items()}
        for name, values in transform(raw).items():
            assert values.dtype.as_numpy_dtype == part[name].dtype
            np.testing.assert_array_equal(values.numpy(), part[name], err_msg=name)
            checked += np.count_nonzero(part[name])
    assert checked > 100


def test_sequences_stand_side_by_side(dataset):
    part = read_part(dataset, "train")
    there = part["past"] != 0
    assert (part["past_times"] != 0).tolist() == there.tolist()
    assert (part["past_stars"] != 0).tolist() == there.tolist()
    assert not (part["past_devices"][~there]).any()


def test_unknown_users_get_empty_sequences_of_every_type(dataset):
    transform = FeatureTransform(dataset.schema, dataset.transform)
    raw = {"past_times": tf.zeros([1, 0], tf.int64), "past_stars": tf.fill([2, 4], float("nan"))}
    encoded = transform(raw)
    assert encoded["past_times"].numpy().tolist() == [[0, 0, 0]]
    assert encoded["past_stars"].numpy().tolist() == [[0.0] * 3] * 2
