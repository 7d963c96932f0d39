"""The feature transform against plain Python: what each raw value is encoded to."""

import math

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tfrec.config_file import parse_config
from tfrec.errors import ArtifactError
from tfrec.feature_transform import FeatureAnalysis, FeatureTransform, NumericAnalysis, build_transform, raw_specs
from tfrec.schema import Schema

SCHEMA = """
name: encodings
features:
  user_id: {role: user, kind: categorical, id: true}
  item_id: {role: item, kind: categorical, id: true, num_oov_indices: 3}
  title: {role: item, kind: text}
  tags: {role: item, kind: categorical, separator: "|", max_values: 3}
  hashed_tags: {role: item, kind: categorical, separator: "|", max_values: 4, hash_buckets: 7}
  past: {role: user, kind: sequence, length: 4}
  hashed: {role: context, kind: categorical, hash_buckets: 11}
  hashed_default: {role: context, kind: categorical, hash_buckets: 11, default: nothing}
  colour: {role: item, kind: categorical, default: red}
  unknown_default: {role: item, kind: categorical, default: never_seen}
  empty: {role: item, kind: categorical, num_oov_indices: 2}
  plain: {role: user, kind: numeric, standardize: false}
  scaled: {role: user, kind: numeric}
  scaled_default: {role: user, kind: numeric, default: 10}
  logged: {role: user, kind: numeric, log: true}
  logged_default: {role: user, kind: numeric, log: true, standardize: false, default: 3}
  bucket: {role: user, kind: numeric, buckets: 4}
  bucket_default: {role: user, kind: numeric, buckets: 4, default: 0}
  one_bucket: {role: user, kind: numeric, buckets: 2}
split: {strategy: leave_one_out}
"""
VOCABULARY = {
    "user_id": ["u1", "u2"],
    "item_id": ["b", "a", "ü", "two words"],
    "tags": ["x", "y"],
    "colour": ["blue", "red"],
    "unknown_default": ["one"],
    "empty": [],
}
MEAN, DEVIATION = 2.5, 0.5
BOUNDARIES = (1.0, 2.5, 10.0)
INT64_LISTS = ("tags", "hashed_tags", "past")


@pytest.fixture(scope="module")
def schema():
    return parse_config(SCHEMA, Schema)


@pytest.fixture(scope="module")
def directory(schema, tmp_path_factory):
    root = tmp_path_factory.mktemp("transform")
    files = {}
    for name, tokens in VOCABULARY.items():
        files[name] = root / f"{name}.txt"
        files[name].write_text("".join(f"{token}\n" for token in tokens), encoding="utf-8")
    moments = NumericAnalysis(mean=MEAN, standard_deviation=DEVIATION, boundaries=BOUNDARIES)
    numeric = {name: moments for name, feature in schema.features.items() if feature.kind == "numeric"}
    numeric["one_bucket"] = NumericAnalysis()
    sizes = {name: len(tokens) for name, tokens in VOCABULARY.items()}
    build_transform(schema, FeatureAnalysis(files, sizes, numeric), root / "saved")
    for path in files.values():
        path.unlink()  # what is saved must not lean on them
    return root / "saved"


@pytest.fixture(scope="module")
def transform(schema, directory):
    return FeatureTransform(schema, directory)


def encode(transform, name, values):
    return transform({name: tf.constant(values)})[name].numpy()


def bucket_of(token, buckets):
    return int(tf.strings.to_hash_bucket_fast([token], buckets)[0])


def test_tokens_become_their_place_in_the_vocabulary_behind_padding_and_unknown(transform):
    first = 1 + 3  # padding, then three slots for the unknown
    assert encode(transform, "item_id", ["b", "a", "ü", "two words"]).tolist() == [
        first,
        first + 1,
        first + 2,
        first + 3,
    ]


def test_a_missing_token_is_padding(transform):
    assert encode(transform, "item_id", [""]).tolist() == [0]


@settings(max_examples=50, deadline=None)
@given(tokens=st.lists(st.text(min_size=1, max_size=8).filter(lambda t: t not in VOCABULARY["item_id"]), min_size=1))
def test_unknown_tokens_are_spread_over_the_slots_between_padding_and_vocabulary(transform, tokens):
    tokens = [token.encode("utf-8", "surrogatepass") for token in tokens]
    assert encode(transform, "item_id", tokens).tolist() == [1 + bucket_of(token, 3) for token in tokens]


def test_one_slot_takes_all_unknown_tokens(transform):
    assert encode(transform, "user_id", ["u1", "nobody", "u2", "u3"]).tolist() == [2, 1, 3, 1]


def test_a_default_stands_for_a_missing_token(transform):
    assert encode(transform, "colour", ["", "red", "blue", "green"]).tolist() == [3, 3, 2, 1]


def test_a_default_out_of_vocabulary_is_unknown_not_padding(transform):
    assert encode(transform, "unknown_default", ["", "one"]).tolist() == [1, 2]


def test_with_an_empty_vocabulary_all_tokens_are_unknown(transform):
    assert encode(transform, "empty", ["a", "", "b"]).tolist() == [1 + bucket_of("a", 2), 0, 1 + bucket_of("b", 2)]


@settings(max_examples=50, deadline=None)
@given(tokens=st.lists(st.text(max_size=8), min_size=1))
def test_hashed_tokens_lie_in_1_to_buckets_and_missing_is_0(transform, tokens):
    tokens = [token.encode("utf-8", "surrogatepass") for token in tokens]
    found = encode(transform, "hashed", tokens)
    assert found.tolist() == [1 + bucket_of(token, 11) if token else 0 for token in tokens]
    assert found.max() <= 11


def test_a_missing_hashed_token_is_its_default(transform):
    expected = 1 + bucket_of("nothing", 11)
    assert encode(transform, "hashed_default", ["", "nothing"]).tolist() == [expected, expected]


NUMBERS = [0.0, 1.0, -3.5, 2.5, 1e6, math.nan]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("plain", lambda x: MEAN if math.isnan(x) else x),
        ("scaled", lambda x: 0.0 if math.isnan(x) else (x - MEAN) / DEVIATION),
        ("scaled_default", lambda x: ((10 if math.isnan(x) else x) - MEAN) / DEVIATION),
        ("logged", lambda x: 0.0 if math.isnan(x) else (math.log(1 + max(x, 0)) - MEAN) / DEVIATION),
        ("logged_default", lambda x: math.log(1 + max(3 if math.isnan(x) else x, 0))),
    ],
)
def test_numbers_are_standardised_logged_and_filled(transform, name, expected):
    found = encode(transform, name, np.float32(NUMBERS))
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [expected(x) for x in NUMBERS], rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    values=st.lists(
        st.sampled_from([*BOUNDARIES, math.nan, math.inf, -math.inf]) | st.floats(width=32), min_size=1, max_size=20
    )
)
def test_a_bucket_counts_the_boundaries_at_or_below(transform, values):
    def oracle(value, default):
        value = default if math.isnan(value) else value
        return 0 if math.isnan(value) else 1 + sum(boundary <= value for boundary in BOUNDARIES)

    values = np.float32(values)
    assert encode(transform, "bucket", values).tolist() == [oracle(value, math.nan) for value in values.tolist()]
    assert encode(transform, "bucket_default", values).tolist() == [oracle(value, 0.0) for value in values.tolist()]


def test_a_true_zero_is_not_missing(transform):
    assert encode(transform, "bucket", np.float32([0.0, math.nan])).tolist() == [1, 0]


def test_without_boundaries_every_number_is_in_bucket_1(transform):
    assert encode(transform, "one_bucket", np.float32([-1, 5, math.nan])).tolist() == [1, 1, 0]


TOKEN_ROWS = st.lists(
    st.lists(st.sampled_from(["", "x", "y", "z", "a", "b", "ü", "q"]), min_size=6, max_size=6), min_size=1, max_size=5
)


@settings(max_examples=60, deadline=None)
@given(rows=TOKEN_ROWS)
def test_of_several_values_the_first_are_kept_and_gaps_closed(transform, rows):
    expected = []
    for row in rows:
        ids = [2 + VOCABULARY["tags"].index(t) if t in VOCABULARY["tags"] else 1 for t in row if t != ""][:3]
        expected.append(ids + [0] * (3 - len(ids)))
    assert encode(transform, "tags", rows).tolist() == expected


@settings(max_examples=60, deadline=None)
@given(rows=TOKEN_ROWS)
def test_of_a_history_the_last_are_kept_and_gaps_closed_with_the_ids_of_items(transform, rows):
    vocabulary = VOCABULARY["item_id"]
    expected = []
    for row in rows:
        ids = [4 + vocabulary.index(t) if t in vocabulary else 1 + bucket_of(t, 3) for t in row if t != ""][-4:]
        expected.append(ids + [0] * (4 - len(ids)))
    assert encode(transform, "past", rows).tolist() == expected


def test_lists_shorter_than_the_width_are_padded_and_empty_ones_are_all_padding(transform):
    assert encode(transform, "tags", [["y"], [""]]).tolist() == [[3, 0, 0], [0, 0, 0]]
    assert encode(transform, "tags", np.zeros((2, 0), dtype=str).astype(object)).tolist() == [[0, 0, 0]] * 2


def test_hashed_lists_are_encoded_value_by_value(transform):
    assert encode(transform, "hashed_tags", [["p", "", "q"]]).tolist() == [
        [1 + bucket_of("p", 7), 1 + bucket_of("q", 7), 0, 0]
    ]


def test_an_empty_batch_keeps_dtype_and_width(transform):
    raw = {
        "user_id": tf.zeros([0], tf.string),
        "scaled": tf.zeros([0], tf.float32),
        "bucket": tf.zeros([0], tf.float32),
        "past": tf.zeros([0, 5], tf.string),
    }
    found = {name: (value.dtype, tuple(value.shape)) for name, value in transform(raw).items()}
    assert found == {
        "user_id": (tf.int64, (0,)),
        "scaled": (tf.float32, (0,)),
        "bucket": (tf.int64, (0,)),
        "past": (tf.int64, (0, 4)),
    }


def test_text_is_left_out_and_lists_have_a_second_dimension(transform, schema):
    assert transform({"title": tf.constant(["x"]), "user_id": tf.constant(["u1"])}).keys() == {"user_id"}
    ranks = {name: spec.shape.rank for name, spec in raw_specs(schema.encoded).items()}
    assert {name for name, rank in ranks.items() if rank == 2} == set(INT64_LISTS)


def test_the_transform_works_inside_a_compiled_function(transform):
    compiled = tf.function(lambda raw: transform(raw))
    raw = {"past": tf.constant([["a", "", "b"]]), "scaled": tf.constant([3.0])}
    found = compiled(raw)
    assert found["past"].numpy().tolist() == [[5, 4, 0, 0]]
    assert found["scaled"].numpy().tolist() == [1.0]


def test_a_directory_without_a_transform_is_an_artifact_error(schema, tmp_path):
    with pytest.raises(ArtifactError, match="no feature transform here"):
        FeatureTransform(schema, tmp_path)


def test_a_transform_of_another_schema_is_an_artifact_error(schema, directory):
    features = {name: feature for name, feature in schema.features.items() if name != "scaled"}
    with pytest.raises(ArtifactError, match=r"encodes .*'scaled'.* but the schema has"):
        FeatureTransform(Schema(**{**schema.model_dump(), "features": features}), directory)
