"""Warm start against dictionaries from token to vector, built with plain loops over the files of both sides."""

import io
import itertools
import shutil

import numpy as np
import pytest
import tensorflow as tf
from rich.console import Console
from tensorflow.python.distribute.sharded_variable import ShardedVariable

from tests.trainer.grown_world import (
    SHORT,
    earlier_job,
    grown_data,
    ids_by_token,
    lines_of,
    rows_of,
    started,
    tables_of,
    tokens_of,
    vector,
)
from tfrec.layers.tables import main_row
from trainer.job import JobDirectory
from trainer.model import build_model, load_model
from trainer.warm_start.report import print_warm_start
from trainer.warm_start.start import warm_start
from trainer.warm_start.stored_weights import pieces, variable_paths

FEATURES = "model.features=[user_id, item_id, history, age, age_in_years, country, country_hash, genres]"


@pytest.fixture(scope="module")
def grown(world):
    return grown_data(world)


@pytest.mark.parametrize("model", ["deepfm", "wide_deep"])
def test_rows_follow_their_tokens_into_another_order(world, grown, model):
    job = earlier_job(world, model, FEATURES)
    old, old_data, _ = load_model(job)
    new, fresh, start = started(world, grown, job, model, FEATURES)
    before, after, untouched = tables_of(old), tables_of(new), tables_of(fresh)
    moved = 0
    for feature, source in (
        ("user_id",) * 2,
        ("item_id",) * 2,
        ("history", "item_id"),
        ("country",) * 2,
        ("genres",) * 2,
    ):
        was, now = ids_by_token(old_data, source), ids_by_token(grown, source)
        for path in ("embedding/_tables/embedding", "embedding/_first_order/embedding"):
            key = (path, feature, False)
            rows = rows_of(before[key])
            beginning = tables_of(build_model(world.config(model, *SHORT, FEATURES), old_data))[key]
            unknown_is_trained = not np.allclose(vector(beginning, 1), rows[1], rtol=1e-4)
            expected_new = rows[1] if unknown_is_trained else rows[2:].mean(axis=0)
            for token, number in now.items():
                expected = rows[was[token]] if token in was else expected_new
                np.testing.assert_allclose(vector(after[key], number), expected, rtol=1e-5, atol=1e-7)
                moved += token in was and was[token] != number
            new_tokens = len(now.keys() - was.keys())
            counts = lines_of(start)[path, feature].counts
            assert counts.copied == len(now.keys() & was.keys())
            assert (counts.from_unknown, counts.from_mean) == (
                (new_tokens, 0) if unknown_is_trained else (0, new_tokens)
            )
            assert counts.gone == len(was.keys() - now.keys())
            for reserved in (0, 1):
                changed = not np.allclose(vector(beginning, reserved), rows[reserved], rtol=1e-4)
                expected = rows[reserved] if changed else vector(untouched[key], reserved)
                assert np.array_equal(vector(after[key], reserved), expected)
    assert moved > 400  # the order did change
    assert lines_of(start)["embedding/_tables/embedding", "user_id"].counts.gone >= 40


def test_missing_values_that_were_trained_keep_their_row(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    old, _, _ = load_model(job)
    new, fresh, _ = started(world, grown, job, "deepfm", FEATURES)
    key = ("embedding/_tables/embedding", "country", False)
    assert np.array_equal(vector(tables_of(new)[key], 0), vector(tables_of(old)[key], 0))
    assert not np.array_equal(vector(tables_of(new)[key], 0), vector(tables_of(fresh)[key], 0))


def test_hash_buckets_stay_and_quantile_buckets_go_by_value(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    old, old_data, _ = load_model(job)
    new, _, start = started(world, grown, job, "deepfm", FEATURES)
    key = ("embedding/_tables/embedding", "country_hash", False)
    before, after = tables_of(old)[key], tables_of(new)[key]
    assert all(np.array_equal(vector(after, number), vector(before, number)) for number in range(51))
    assert lines_of(start)[key[:2]].counts.copied == 50
    key = ("embedding/_tables/embedding", "age", False)
    before, after = tables_of(old)[key], tables_of(new)[key]
    old_bounds, bounds = (
        data.dataset.statistics["features"]["age"]["encoding"]["boundaries"] for data in (old_data, grown)
    )
    middles = [bounds[0] - 1e-3, *((a + b) / 2 for a, b in itertools.pairwise(bounds)), bounds[-1]]
    for bucket, middle in enumerate(middles, start=1):
        was = 1 + sum(bound <= middle for bound in old_bounds)
        assert np.array_equal(vector(after, bucket), vector(before, was))


def test_the_network_comes_over_with_the_places_of_its_fields(world, grown):
    """The new job has one feature more and one less: the others find their place in the first matrix."""
    job = earlier_job(world, "deepfm", FEATURES)
    old, _, _ = load_model(job)
    features = "model.features=[age_in_years, genres, user_id, item_id, age]"
    _assert_network(world, grown, job, old, features)
    new, _, start = started(world, grown, job, "deepfm", "model.features=[age_in_years, user_id, item_id]")
    assert set(start.copied) == {p for p in variable_paths(new) if "bias" in p or "kernels/1" in p or "kernels/2" in p}
    assert start.fresh == {}


def _assert_network(world, grown, job, old, features):
    new, _, _ = started(world, grown, job, "deepfm", features)
    was, now = list(old.embedding.plan.fields), list(new.embedding.plan.fields)
    assert was[: len(now)] != now
    for place, field in enumerate(now):
        there = was.index(field)
        assert np.array_equal(
            new._mlp.kernels[0][4 * place : 4 * place + 4], old._mlp.kernels[0][4 * there : 4 * there + 4]
        )
    for one, other in zip(new._mlp.kernels[1:], old._mlp.kernels[1:], strict=True):
        assert np.array_equal(one, other)
    assert float(new._bias) == float(old._bias)
    assert np.array_equal(new.embedding._tables["numbers"], old.embedding._tables["numbers"])


def test_a_field_that_is_new_and_a_matrix_of_another_shape_stay_fresh_and_are_named(world, grown):
    job = earlier_job(world, "deepfm", "model.features=[user_id, item_id]")
    new, fresh, start = started(
        world, grown, job, "deepfm", "model.features=[user_id, item_id, genres]", "model.hidden_units=[64, 8]"
    )
    genres = ("embedding/_tables/embedding", "genres", False)
    first = tables_of(new)[genres].first_row
    assert np.array_equal(
        tables_of(new)[genres].variable[first : first + 5], tables_of(fresh)[genres].variable[first : first + 5]
    )
    assert lines_of(start)[genres[:2]].note == "not in the earlier job"
    assert start.fresh["_mlp/kernels/1"] == "shape (64, 32) there, (64, 8) here"
    assert np.array_equal(new._mlp.kernels[1], fresh._mlp.kernels[1])


def test_the_report_says_how_many_of_each(world, grown):
    job = earlier_job(world, "deepfm", "model.features=[user_id, item_id]")
    _, _, start = started(
        world, grown, job, "deepfm", "model.features=[user_id, item_id, genres]", "model.hidden_units=[64, 8]"
    )
    console = Console(file=io.StringIO(), width=80)
    print_warm_start(console, start)
    lines = console.file.getvalue().splitlines()
    was, now = (set(tokens_of(data, "item_id")) for data in (world.data(), grown))
    both, new, gone = len(now & was), len(now - was), len(was - now)
    assert min(both, new, gone) > 0
    table, weights = "embedding/_tables/embedding", "embedding/_first_order/embedding"
    assert lines[0] == f"warm start from {job.path}"
    assert f"  item_id: {both} copied, {new} new from the mean, {gone} gone [{table}, {weights}]" in lines
    rows = lines_of(start)[table, "genres"].counts.fresh
    assert f"  genres: {rows} fresh (not in the earlier job) [{table}, {weights}]" in lines
    assert "  _mlp/kernels/0: rows of user_id, item_id copied; fresh: genres (not in the earlier job)" in lines
    assert "  fresh: _mlp/kernels/1 (shape (64, 32) there, (64, 8) here)" in lines


def test_a_hashed_row_starts_as_the_mean_of_the_known_tokens_that_share_it(world, grown):
    hashed = "model.tables.user_id={kind: hashed, rows: 60}"
    job = earlier_job(world, "deepfm", FEATURES, hashed)
    old, old_data, _ = load_model(job)
    new, _, _ = started(world, grown, job, "deepfm", FEATURES, hashed.replace("60", "90"))
    key = ("embedding/_tables/embedding", "user_id", False)
    before, after = tables_of(old)[key], tables_of(new)[key]
    was, now = ids_by_token(old_data, "user_id"), ids_by_token(grown, "user_id")
    sharing = {}
    for token, number in now.items():
        if token in was:
            row = int(main_row(tf.constant(number, tf.int64), after.plan))
            sharing.setdefault(row, []).append(vector(before, was[token]))
    assert len(sharing) > 60
    for row, vectors in sharing.items():
        found = after.variable.numpy()[after.first_row + row]
        np.testing.assert_allclose(found, np.mean(vectors, axis=0), rtol=1e-4, atol=1e-6)


def test_quotients_and_remainders_are_copied_while_tokens_keep_their_ids_only(world, grown):
    composed = "model.tables.item_id={kind: quotient_remainder, rows: 16}"
    job = earlier_job(world, "deepfm", FEATURES, composed)
    old, old_data, _ = load_model(job)
    keys = [("embedding/_tables/embedding", "item_id", False), ("embedding/_tables/quotients", "item_id", True)]
    same, _, start = started(world, old_data, job, "deepfm", FEATURES, composed)
    moved, fresh, start_moved = started(world, grown, job, "deepfm", FEATURES, composed)
    for key in keys:
        was, kept, new, untouched = (rows_of(tables_of(model)[key]) for model in (old, same, moved, fresh))
        assert np.array_equal(was, kept)
        assert np.array_equal(new, untouched)
        assert lines_of(start)[key[:2]].counts.copied == len(tokens_of(old_data, "item_id"))
        line = lines_of(start_moved)[key[:2]]
        assert line.note == "tokens have other ids now, and rows of a quotient_remainder table belong to several"


def test_the_old_dataset_is_not_needed_and_a_job_on_the_same_data_predicts_the_same(world, grown, tmp_path):
    job = earlier_job(world, "deepfm", FEATURES)
    old, data, _ = load_model(job)
    config = job.config.read_text()
    moved = JobDirectory(tmp_path / "moved")
    shutil.copytree(job.path, moved.path)
    moved.config.write_text(config.replace(str(data.dataset.path), "/nowhere"))
    new, _, start = started(world, data, moved, "deepfm", FEATURES)
    rows = {name: tf.constant(data.train[name][:500]) for name in old.train_columns()}
    np.testing.assert_allclose(new.logits(rows), old.logits(rows), rtol=1e-6)
    assert start.fresh == {}


@pytest.mark.parametrize("cuts", [(0, 100, 431), (0, 1, 2, 200, 431)])
def test_shards_get_the_rows_of_the_whole_table(world, grown, cuts):
    job = earlier_job(world, "deepfm", FEATURES)
    config = world.config("deepfm", *SHORT, FEATURES, seed=9)
    whole, sharded = build_model(config, grown), build_model(config, grown)
    table = sharded.embedding._tables["embedding"]
    ends = (*cuts[1:-1], table.shape[0])
    shards = [
        tf.Variable(table[begin:end], name=f"embedding/part_{part}")
        for part, (begin, end) in enumerate(zip(cuts, ends, strict=False))
    ]
    sharded.embedding._tables["embedding"] = ShardedVariable(shards)
    for model in (whole, sharded):
        warm_start(model, config, grown, job.path)
    assert np.array_equal(np.concatenate(shards), whole.embedding._tables["embedding"])
    assert [first for first, _ in pieces(sharded.embedding._tables["embedding"])] == list(cuts[:-1])


def test_replicas_get_the_same_rows(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    config = world.config("deepfm", *SHORT, FEATURES, seed=9)
    with tf.distribute.MirroredStrategy(["/cpu:0"]).scope():
        replicated = build_model(config, grown)
        warm_start(replicated, config, grown, job.path)
    plain = build_model(config, grown)
    warm_start(plain, config, grown, job.path)
    for one, other in zip(replicated.trainable_variables, plain.trainable_variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())


def test_a_warm_started_model_knows_the_new_data_better_than_a_fresh_one(world, grown):
    job = earlier_job(world, "deepfm", FEATURES)
    new, fresh, _ = started(world, grown, job, "deepfm", FEATURES)
    rows = {name: tf.constant(grown.train[name]) for name in new.train_columns()}
    logits, labels = (model.logits(rows).numpy() for model in (new, fresh)), rows["label"].numpy()
    warm, cold = (np.mean(np.log1p(np.exp(-np.where(labels > 0, z, -z)))) for z in logits)
    assert warm < 0.95 * cold
