"""Limits of a request against a loop over the catalogue, and filters by attributes through an exported model."""

import math
import random

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.tfrec.export.conftest import Served
from tests.trainer.planted_world import TWO_TOWER_WITH_FEATURES
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError, DataError
from tfrec.export.attribute_filters import (
    AttributeFilter,
    AttributeFilters,
    TokenColumns,
    TokenRows,
    number_tokens,
    parse_filters,
)
from tfrec.export.filters import cut, widest
from tfrec.export.id_lookup import IdLookup
from tfrec.export.request_limits import RequestLimits
from tfrec.export.tables import ExportTables
from tfrec.models.inputs import Catalogue
from tfrec.schema import CategoricalFeature, NumericFeature, Schema
from trainer.export import export_job

ITEMS = [f"i{n}" for n in range(9)]
GENRES = [["a"], ["a", "b"], [], ["c"], ["b", "c", "rare"], ["a"], ["c", "a"], ["b"], []]
BRANDS = ["x", "y", "", "z", "x", "v", "w", "u", "y"]
AGES = [0.0, 12.0, math.nan, 18.0, 6.0, 12.5, 0.0, 99.0, 16.0]
SEEN = [[0, 3], [], [8, 1, 1]]  # of users u0, u1 and u2
USERS = ["u0", "u1", "u2", "nobody"]
SCHEMA = Schema(
    name="shop",
    split={"strategy": "random"},
    timestamp={"column": "t", "unit": "s"},
    features={
        "user": CategoricalFeature(role="user", id=True),
        "item": CategoricalFeature(role="item", id=True),
        "genres": CategoricalFeature(role="item", list=True, min_count=2),
        "brand": CategoricalFeature(role="item"),
        "origin": CategoricalFeature(role="item", default="y"),
        "min_age": NumericFeature(role="item"),
        "age_with_default": NumericFeature(role="item", default=13.0),
        "shown": NumericFeature(role="item", so_far="item_events"),
        "country": CategoricalFeature(role="user"),
    },
)
DECLARED = ("genres", "brand", "origin", "min_age<=", "age_with_default")


def encoded(values):
    return np.array([value.encode() for value in values], object)


RAW_ITEMS = {
    "genres": np.stack([encoded([*row, *[""] * (3 - len(row))]) for row in GENRES]),
    "brand": encoded(BRANDS),
    "origin": encoded(BRANDS),
    "min_age": np.float32(AGES),
    "age_with_default": np.float32(AGES),
}


@pytest.fixture(scope="module")
def limits(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("scratch")
    seen = Interactions(
        np.cumsum([0, *map(len, SEEN)]), np.concatenate([np.array(row, np.int64) for row in SEEN]), len(ITEMS)
    )
    catalogue = Catalogue(encoded(ITEMS), {}, {})
    filters = parse_filters(DECLARED, SCHEMA)
    tables = ExportTables(encoded(USERS[:3]), {}, seen, catalogue, filters, RAW_ITEMS)
    found = RequestLimits(tables, SCHEMA, IdLookup(catalogue.ids, scratch / "items.txt"), scratch)
    specs = {name: one.spec for name, one in found.inputs().items()}

    of_call = [tf.TensorSpec(shape, dtype) for shape, dtype in (([None], "int64"), ([None, None], "float32"))]

    @tf.function(input_signature=[specs, *of_call, tf.TensorSpec([None], tf.int32)])
    def best(request, users, scores, k):
        width = widest(k, len(ITEMS))
        top, items = tf.math.top_k(found(request, users).apply(scores), width)
        return cut(top, items, k, tf.constant(ITEMS))

    return best, specs


def is_left(item, user, asked):
    """Whether a user may get an item: what the graph computes, said plainly."""
    brand, age = BRANDS[item], AGES[item]
    if ITEMS[item] in asked["exclude_ids"]:
        return False
    if asked["exclude_seen"] and user < len(SEEN) and item in SEEN[user]:
        return False
    if any(asked["allow_ids"]) and ITEMS[item] not in asked["allow_ids"]:
        return False
    for name, values in (("genres", GENRES[item]), ("brand", [brand]), ("origin", [brand or "y"])):
        wanted = [value for value in asked[f"filter_{name}"] if value]
        if wanted and not set(wanted) & set(values):
            return False
    if not math.isnan(asked["filter_min_age_at_most"]) and not age <= asked["filter_min_age_at_most"]:
        return False
    known = 13.0 if math.isnan(age) else age
    most, least = (asked[f"filter_age_with_default_{side}"] for side in ("at_most", "at_least"))
    return not known > most and not known < least  # a bound that is not given is NaN


def lists_of(values):
    return st.lists(st.sampled_from(["", "no such", *values]), max_size=4)


ASKED = st.fixed_dictionaries(
    {
        "exclude_ids": st.lists(st.sampled_from(["", "no such", *ITEMS]), max_size=12),
        "exclude_seen": st.booleans(),
        "allow_ids": st.one_of(st.just([]), lists_of(ITEMS)),
        "filter_genres": st.one_of(st.just([]), lists_of(["a", "b", "c", "rare"])),
        "filter_brand": st.one_of(st.just([]), lists_of(sorted(set(BRANDS)))),
        "filter_origin": st.one_of(st.just([]), lists_of(sorted(set(BRANDS)))),
        "filter_min_age_at_most": st.sampled_from([math.nan, -1.0, 0.0, 12.0, 12.25, 100.0]),
        "filter_age_with_default_at_most": st.sampled_from([math.nan, math.nan, 12.5, 13.0]),
        "filter_age_with_default_at_least": st.sampled_from([math.nan, math.nan, 6.0, 13.0]),
        "user": st.integers(0, 3),
        "k": st.integers(0, 12),
    }
)


def tensors(rows, specs):
    found = {}
    for name, spec in specs.items():
        values = [row[name] for row in rows]
        if spec.shape.rank == 2:
            width = max(1, *map(len, values))
            values = [[*value, *[""] * (width - len(value))] for value in values]
        found[name] = tf.constant(values, spec.dtype)
    return found


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(ASKED, min_size=1, max_size=3), seed=st.integers(0, 2**16))
def test_what_is_left_is_what_a_loop_over_the_catalogue_leaves(limits, rows, seed):
    best, specs = limits
    rng = random.Random(seed)
    scores = [[rng.gauss(0, 1) for _ in ITEMS] for _ in rows]
    users = [row["user"] for row in rows]
    ids, found = best(tensors(rows, specs), tf.constant(users, tf.int64), tf.constant(scores), [r["k"] for r in rows])
    width = min(len(ITEMS), max(row["k"] for row in rows))
    for row, of_row, got, got_scores in zip(rows, scores, ids.numpy(), found.numpy(), strict=True):
        left = [item for item in range(len(ITEMS)) if is_left(item, row["user"], row)]
        ordered = sorted(left, key=lambda item: -of_row[item])[: row["k"]]
        padding = width - len(ordered)
        assert [one.decode() for one in got] == [ITEMS[item] for item in ordered] + [""] * padding
        np.testing.assert_array_equal(got_scores, np.float32([of_row[i] for i in ordered] + [-math.inf] * padding))


def test_one_row_of_limits_serves_the_batch(limits):
    best, specs = limits
    row = {"exclude_ids": ["i3"], "exclude_seen": False, "allow_ids": [], "filter_genres": ["c"]}
    row |= {name: [] if spec.shape.rank == 2 else math.nan for name, spec in specs.items() if name not in row}
    scores = [[float(n) for n in range(9)], [-float(n) for n in range(9)]]
    ids, _ = best(tensors([row], specs), tf.constant([0, 1], tf.int64), tf.constant(scores), [9, 2])
    assert [[i.decode() for i in row if i] for row in ids.numpy()] == [["i6", "i4"], ["i4", "i6"]]


@pytest.mark.parametrize("table", [TokenRows, TokenColumns])
def test_both_tables_of_values_pass_the_same_items(tmp_path, table):
    tokens, numbers = number_tokens(RAW_ITEMS["genres"])
    assert tokens.tolist() == [b"a", b"b", b"c", b"rare"]
    found = table(IdLookup(tokens, tmp_path / "tokens.txt"), numbers).passes(tf.constant([["a", ""], ["rare", "b"]]))
    assert found.numpy().tolist() == [["a" in row for row in GENRES], [bool({"rare", "b"} & {*row}) for row in GENRES]]


@pytest.mark.parametrize(
    ("declared", "values"),
    [("brand", encoded([""] * 3)), ("genres", np.full((3, 0), b"")), ("min_age", [math.nan] * 3)],
)
def test_a_filter_by_what_no_item_has_is_refused(tmp_path, declared, values):
    raw = np.asarray(values, np.float32 if declared == "min_age" else object)
    with pytest.raises(ConfigError, match=f"--filter {declared}: the dataset keeps no raw value of any item"):
        AttributeFilters(parse_filters([declared], SCHEMA), {declared: raw}, SCHEMA, tmp_path)


def test_a_number_without_a_sign_is_limited_from_both_sides():
    assert parse_filters(["min_age", "brand"], SCHEMA) == (
        AttributeFilter(feature="min_age", kind="at_most"),
        AttributeFilter(feature="min_age", kind="at_least"),
        AttributeFilter(feature="brand", kind="any_of"),
    )


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (["genre"], "did you mean 'genres'"),
        (["country"], "'country' is no categorical or numeric item feature"),
        (["shown<="], "'shown' is no categorical or numeric item feature"),
        (["brand<="], "values without an order; write --filter brand"),
        (["min_age=12"], "write a feature's name, or NAME<= or NAME>="),
        (["min_age<=", "min_age"], "stands twice"),
    ],
)
def test_a_filter_that_cannot_be_is_refused_with_a_way_out(declared, message):
    with pytest.raises(ConfigError, match=message):
        parse_filters(declared, SCHEMA)


def test_an_id_that_a_table_cannot_hold_is_refused_rather_than_moved(tmp_path):
    with pytest.raises(DataError, match=r"items: b'two\\nlines' holds an end of line"):
        IdLookup(np.array([b"one", b"two\nlines"], object), tmp_path / "items.txt")


# --- Through an export ---


@pytest.fixture(scope="module")
def filtered(world, tmp_path_factory):
    job = world.job("two_tower", *TWO_TOWER_WITH_FEATURES)
    found = Served.__new__(Served)
    found.path = export_job(job, str(tmp_path_factory.mktemp("filtered")), ["genres"])
    found.saved = tf.saved_model.load(str(found.path))
    return found


def test_an_export_filters_by_what_the_log_says_of_items(filtered, retrieval, log):
    users = ["u00001", "u00200", "nobody"]
    everything = retrieval.ask("recommend", user_id=users, k=[121])["ids"]
    wanted = [["Comedy", "Crime"], ["", ""], ["none", "none"]]
    found = filtered.ask("recommend", user_id=users, k=[121], filter_genres=wanted)
    first, second = ([i.decode() for i in row if i] for row in everything[:2])
    expected = [[i for i in first if {*log.items[i]["genres"].split("|")} & {"Comedy", "Crime"}], second, []]
    assert 0 < len(expected[0]) < len(expected[1])
    assert [[i.decode() for i in row if i] for row in found["ids"]] == expected


def test_a_ranking_model_takes_no_filters(ranking, tmp_path):
    with pytest.raises(ConfigError, match="deepfm orders what it is given"):
        export_job(ranking.job, str(tmp_path), ["genres"])
