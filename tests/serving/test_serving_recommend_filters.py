"""`python -m serving.recommend --filter`: what is asked of a model that has filters by attributes."""

import json

import pytest
import tensorflow as tf

from serving import recommend

GENRES = {"a": {"Comedy"}, "b": {"Crime", "Comedy"}, "c": {"Drama"}, "d": {"Crime"}}
AGES = {"a": 6.0, "b": 12.0, "c": 12.0, "d": 18.0}


class Filtered(tf.Module):
    """Lists the items a to d, of the given genres and ages; every item because of popularity."""

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="filter_genres"),
            tf.TensorSpec([None], tf.float32, name="filter_min_age_at_most"),
            tf.TensorSpec([None], tf.float32, name="filter_min_age_at_least"),
            tf.TensorSpec([None], tf.int32, name="k"),
            tf.TensorSpec([None, None], tf.string, name="exclude_ids"),
            tf.TensorSpec([None, None], tf.string, name="allow_ids"),
            tf.TensorSpec([None], tf.bool, name="exclude_seen"),
        ]
    )
    def recommend(
        self,
        user_id,
        filter_genres=tf.constant([[""]]),  # noqa: B008
        filter_min_age_at_most=tf.constant([float("nan")]),  # noqa: B008
        filter_min_age_at_least=tf.constant([float("nan")]),  # noqa: B008
        k=tf.constant([10]),  # noqa: B008
        exclude_ids=tf.constant([[""]]),  # noqa: B008
        allow_ids=tf.constant([[""]]),  # noqa: B008
        exclude_seen=tf.constant([True]),  # noqa: B008
    ):
        """One user at a time."""
        passes = []
        for name, genres in GENRES.items():
            wanted = tf.reduce_any([tf.reduce_any(filter_genres == genre) for genre in genres])
            wanted |= tf.reduce_all(filter_genres == "")
            wanted &= tf.math.is_nan(filter_min_age_at_most[0]) | (AGES[name] <= filter_min_age_at_most[0])
            wanted &= tf.math.is_nan(filter_min_age_at_least[0]) | (AGES[name] >= filter_min_age_at_least[0])
            passes.append(wanted)
        ids = tf.boolean_mask(tf.constant(list(GENRES)), tf.stack(passes))[None]
        unused = [tf.size(one) for one in (k, exclude_ids, allow_ids, exclude_seen, user_id)]
        return {"ids": ids, "scores": tf.zeros(tf.shape(ids)) + 0 * tf.cast(tf.add_n(unused), tf.float32)}

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None, None], tf.string, name="candidate_ids"),
        ]
    )
    def explain(self, user_id, candidate_ids):
        weights = tf.ones_like(candidate_ids, tf.float32)[..., None] + 0 * tf.cast(tf.size(user_id), tf.float32)
        return {"reasons": tf.where(weights > 0, "popularity", ""), "weights": weights}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="item_ids")])
    def items(self, item_ids):
        return {"title": "Title of " + item_ids}


@pytest.fixture(scope="module")
def base_path(tmp_path_factory):
    path, module = tmp_path_factory.mktemp("filtered"), Filtered()
    signatures = {"recommend": module.recommend, "explain": module.explain, "items": module.items}
    tf.saved_model.save(module, str(path / "1"), signatures=signatures)
    return path


@pytest.fixture
def ask(base_path, serve, model, capsys):
    target = serve(model("filtered", base_path)).target

    def run(*flags):
        patient = ["--timeout-seconds", "60"]
        code = recommend.main(["--server", target, "--model", "filtered", "--user", "u", "--json", *patient, *flags])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_conditions_leave_the_items_that_have_it(ask):
    for flags, expected in (
        ((), "abcd"),
        (("--filter", "genres=Crime"), "bd"),
        (("--filter", "genres=Crime", "--filter", "genres=Drama"), "bcd"),
        (("--filter", "min_age<=12"), "abc"),
        (("--filter", "min_age>=12", "--filter", "min_age<=12", "--why"), "bc"),
        (("--filter", "genres=Comedy", "--filter", "min_age>=7"), "b"),
    ):
        code, out, err = ask(*flags)
        assert (code, err) == (0, "")
        assert "".join(one["id"] for one in json.loads(out)["items"]) == expected


def test_a_condition_that_cannot_be_meant_is_one_line_and_exit_code_2(ask):
    for flags, message in (
        (("--filter", "genres"), "--filter: got 'genres'; expected NAME=VALUE, NAME<=NUMBER or NAME>=NUMBER"),
        (("--filter", "min_age<=7", "--filter", "min_age<=9"), "--filter: 'min_age<=9' is a second bound; keep one"),
        (("--filter", "min_age<=old"), "feature 'filter_min_age_at_most': got 'old'; expected float32 numbers"),
        (("--filter", "genre=Crime"), "unknown feature 'filter_genre'; did you mean 'filter_genres'?"),
    ):
        code, out, err = ask(*flags)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
