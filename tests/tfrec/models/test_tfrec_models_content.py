"""Content-based recommendation against plain loops, on the planted world, and on items that nobody took."""

import math
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.contracts import PersonalContract
from tests.tfrec.models.known_items import rated_inputs, with_content, with_schema
from tests.tfrec.models.taken_items import inputs_of, profile_by_hand, request
from tests.trainer.planted_world import read_csv
from tfrec.dataset.interactions import Interactions
from tfrec.errors import ConfigError
from tfrec.models.content import MEAN_RATINGS, Content, ContentConfig
from tfrec.models.neighbours.item_content import item_content, truncated_svd
from tfrec.models.profiles.reasons import POPULARITY

NON_DEFAULT = {
    "profile": "training",
    "half_life": 2.5,
    "features": ["genres"],
    "feature_weights": {"genres": 2.0},
    "item_profile": "embedding",
    "embedding_dim": 3,
    "ratings": "ignored",
    "popularity": 0.25,
}
ITEMS = 6


class TestContent(PersonalContract):
    model = "content"
    non_default = NON_DEFAULT
    has_content = True
    favourite_genre_share, favourite_genre_gain = 0.45, 3.4

    def test_a_reason_of_a_recommended_item_is_a_genre_that_it_has(self, exported, log):
        users = [event.user_id for event in log.of_split("test")[:30]]
        lists = self.recommend(exported, {"user_id": tf.constant(users)})["ids"]
        reasons, _ = self.explain(exported, {"user_id": tf.constant(users)}, lists)
        found = [label.decode() for label in reasons[:, :, 0].ravel()]
        assert all(label.startswith("genres=") for label in found)


class TestContentOfLateItemsInASpaceOfSingularVectors(PersonalContract):
    model = "content"
    overrides = ("model.item_profile=embedding", "model.embedding_dim=6", "model.half_life=3", "model.popularity=0.1")
    non_default = NON_DEFAULT
    has_content = True
    favourite_genre_share, favourite_genre_gain = 0.6, 4.5


def test_items_that_nobody_took_in_training_are_found_by_what_is_known_of_them(world):
    """A tenth of the items is taken out of training; the model ranks each held-out item over most of the catalogue."""
    data = world.data()
    train = data.model_inputs.train
    held_out = np.arange(data.catalogue.size) % 10 == 3
    is_kept = ~held_out[train.items]
    kept = Interactions(
        np.concatenate([[0], np.cumsum(is_kept)])[train.row_splits],
        train.items[is_kept],
        train.num_items,
        train.labels[is_kept],
    )
    inputs = replace(data.model_inputs, train=kept)
    model = Content(ContentConfig(profile="training"), inputs)
    model.fit(inputs)
    assert kept.item_counts()[held_out].max() == 0
    scores = model.scores({"user_id": tf.range(2, 2 + 300, dtype=tf.int64)}).numpy()
    # Of the held-out items alone, those that the user took before the others: 0.5 is chance.
    areas, shares = [], []
    truth = {row["user_id"]: row["favourite_genre"] for row in read_csv(world.logs / "truth.csv")}
    assert len(truth) == 300
    for user in range(300):
        took = np.isin(np.arange(train.num_items), train.of_user(user)) & held_out
        others = held_out & ~took
        if took.any() and others.any():
            areas.append(np.mean(scores[user][took][:, None] > scores[user][others][None, :]))
        # In the full catalogue, what the user has left out, held-out items fill their share of the top 10.
        unseen = np.where(np.isin(np.arange(train.num_items), kept.of_user(user)), -np.inf, scores[user])
        shares.append(held_out[np.argsort(-unseen, kind="stable")[:10]].mean())
    print(f"AUC among held-out items {np.mean(areas):.3f}; their share of the top 10 {np.mean(shares):.3f}")
    assert np.mean(areas) > 0.7
    assert np.mean(shares) > 0.5 * held_out.mean()


# --- Against loops ---


def vectors_by_hand(genres, words, ages, weights):
    """{label: value} of each item."""
    found = [{} for _ in genres]
    for name, rows in (("genres", genres), ("title", words)):
        having = Counter(token for row in rows for token in set(row))
        for vector, row in zip(found, rows, strict=True):
            parts = {
                f"{name}={name}{token}": (1 + math.log(n)) * (1 + math.log((1 + len(rows)) / (1 + having[token])))
                for token, n in Counter(row).items()
            }
            length = math.sqrt(sum(value**2 for value in parts.values())) or 1
            vector |= {label: weights.get(name, 1) * value / length for label, value in parts.items()}
    for vector, age in zip(found, ages, strict=True):
        share = min(max(age / 3, -1), 1)
        if share:
            vector[f"age={'above' if share > 0 else 'below'} the mean"] = abs(share)
    for vector in found:
        length = math.sqrt(sum(value**2 for value in vector.values())) or 1
        vector |= {label: value / length for label, value in vector.items()}
    return found


def weights_by_hand(row, ratings, half_life, uses_ratings):
    """Item → weight, of one user's (item, rating) pairs."""
    latest, mean = dict(row), sum(ratings) / len(ratings)
    recency = profile_by_hand([item for item, _ in row], half_life)
    if not uses_ratings or len(set(ratings)) == 1:
        return recency
    own = mean + sum(rating - mean for rating in latest.values()) / (len(latest) + MEAN_RATINGS)
    return {item: weight * (latest[item] - own) for item, weight in recency.items()}


def scores_by_hand(vectors, weights):
    profile = Counter()
    for item, weight in weights.items():
        for label, value in vectors[item].items():
            profile[label] += weight * value
    length = math.sqrt(sum(value**2 for value in profile.values()))
    if length < 1e-7:  # nothing but rounding is left of it
        return None
    return [sum(profile[label] * value / length for label, value in vector.items()) for vector in vectors]


tokens = st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=ITEMS, max_size=ITEMS)
rated_rows = st.lists(
    st.lists(st.tuples(st.integers(0, ITEMS - 1), st.sampled_from([1.0, 2.0, 4.0, 5.0])), max_size=7),
    min_size=1,
    max_size=4,
).filter(any)


@settings(max_examples=25, deadline=None)
@given(
    rated=rated_rows,
    genres=tokens.map(lambda rows: [sorted(set(row)) for row in rows]),
    words=tokens,
    ages=st.lists(st.sampled_from([-7.0, -1.5, 0.0, 0.5, 3.0]), min_size=ITEMS, max_size=ITEMS),
    half_life=st.sampled_from([None, 2.0]),
    ratings=st.sampled_from(["deviation", "ignored"]),
    weights=st.sampled_from([{}, {"title": 0.5}]),
)
def test_scores_are_the_cosines_of_plain_loops(rated, genres, words, ages, half_life, ratings, weights):
    inputs = with_content(rated_inputs(rated, ITEMS), genres, words, ages)
    model = Content(ContentConfig(half_life=half_life, ratings=ratings, feature_weights=weights), inputs)
    model.fit(inputs)
    found = model.scores(request(range(len(rated)))).numpy()
    vectors = vectors_by_hand(genres, words, ages, weights)
    all_ratings = [rating for row in rated for _, rating in row]
    for row, scores in zip(rated, found, strict=True):
        expected = scores_by_hand(vectors, weights_by_hand(row, all_ratings, half_life, ratings == "deviation"))
        if expected is not None:
            np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=2e-5)


@pytest.fixture(scope="module")
def some_inputs():
    random = np.random.default_rng(4)
    genres = [sorted(set(random.integers(0, 5, 2).tolist())) for _ in range(20)]
    words = [random.integers(0, 30, 4).tolist() for _ in range(20)]
    rated = [[(int(i), float(random.integers(1, 6))) for i in random.permutation(20)[:8]] for _ in range(12)]
    return with_content(rated_inputs(rated, 20), genres, words, random.normal(size=20)), (genres, words, rated)


@pytest.mark.parametrize("item_profile", ["tf_idf", "embedding"])
def test_the_reasons_of_an_item_add_up_to_its_score_and_are_its_own_features(some_inputs, item_profile):
    inputs, (genres, words, _) = some_inputs
    model = Content(ContentConfig(item_profile=item_profile, embedding_dim=12, popularity=0.3), inputs)
    model.fit(inputs)
    scores = model.scores(request(range(12))).numpy()
    items = tf.tile(tf.range(20, dtype=tf.int64)[None], [12, 1])
    labels, weights = (values.numpy() for values in model.explain(request(range(12)), items, 12))
    assert labels.shape == weights.shape == (12, 20, 12)
    for user in range(12):
        for item in range(20):
            named = {label.decode() for label in labels[user, item] if label}
            own = {f"genres=genres{token}" for token in genres[item]} | {f"title=title{token}" for token in words[item]}
            assert named <= own | {"age=above the mean", "age=below the mean", POPULARITY}
            # What speaks against an item is no reason for it: the score is the sum where nothing does.
            assert weights[user, item].sum() >= scores[user, item] - 1e-4
    model = Content(ContentConfig(item_profile=item_profile, embedding_dim=12, ratings="ignored"), inputs)
    model.fit(inputs)
    scores = model.scores(request(range(12))).numpy()
    if item_profile == "tf_idf":  # all parts are above 0
        weights = model.explain(request(range(12)), items, 12).weights.numpy()
        np.testing.assert_allclose(weights.sum(axis=2), scores, atol=1e-5)


def test_in_the_space_of_all_singular_vectors_scores_are_those_of_the_features(some_inputs):
    inputs, _ = some_inputs
    of_features, of_vectors = (
        Content(ContentConfig(item_profile=kind, embedding_dim=40), inputs) for kind in ("tf_idf", "embedding")
    )
    for model in (of_features, of_vectors):
        model.fit(inputs)
    everyone = request(range(12))
    np.testing.assert_allclose(of_vectors.scores(everyone), of_features.scores(everyone), atol=2e-5)


@pytest.mark.parametrize("dim", [1, 5, 19, 20, 30])
def test_the_singular_vectors_are_those_of_the_dense_decomposition(some_inputs, dim):
    inputs, _ = some_inputs
    matrix = item_content(inputs, ("genres", "title", "age"), {}).matrix
    found = truncated_svd(matrix, dim)
    assert found.shape == (matrix.shape[1], dim)
    expected = np.linalg.svd(matrix.toarray().astype(np.float64))[2][: min(dim, 20)].T
    np.testing.assert_allclose(
        found[:, : expected.shape[1]] @ found[:, : expected.shape[1]].T, expected @ expected.T, atol=1e-4
    )
    assert (found[:, 20:] == 0).all()
    np.testing.assert_array_equal(found, truncated_svd(matrix, dim))


def test_items_with_precomputed_vectors_are_as_alike_as_their_cosine():
    """An item without a vector is like none; a vector's length says nothing."""
    vectors = np.random.default_rng(3).normal(size=(20, 5)).astype(np.float32)
    vectors[7] = 0
    plain = inputs_of([[0, 1], [2, 3]], 20)
    picture = {"role": "item", "kind": "vector", "length": 5, "list": True}
    catalogue = replace(plain.catalogue, features={**plain.catalogue.features, "picture": vectors})
    inputs = replace(with_schema(plain, features={"picture": picture}), catalogue=catalogue)
    found = item_content(inputs, ("picture",), {})
    assert found.labels.tolist() == [f"picture=dimension {number}".encode() for number in range(1, 6)]
    alike = (found.matrix @ found.matrix.T).toarray()
    for one in range(20):
        for other in range(20):
            norm = math.sqrt((vectors[one] ** 2).sum() * (vectors[other] ** 2).sum())
            cosine = float(vectors[one] @ vectors[other]) / norm if norm else 0.0
            assert alike[one, other] == pytest.approx(cosine, abs=1e-5)
    model = Content(ContentConfig(popularity=0.0), inputs)
    model.fit(inputs)
    assert np.isfinite(model.scores(request([0, 1, None])).numpy()).all()
    [_, profile] = model.table_shapes(model.config, inputs.schema, inputs.num_ids, 20)
    assert (profile.name, profile.dim) == ("user_profile_of_a_row", model._items.num_columns)


def test_a_user_of_whom_nothing_is_known_gets_the_popular_items(some_inputs):
    inputs, _ = some_inputs
    model = Content(ContentConfig(), inputs)
    model.fit(inputs)
    scores = model.scores(request([None])).numpy()[0]
    counts = inputs.train.item_counts()
    np.testing.assert_allclose(scores / scores.max(), counts / counts.max(), rtol=1e-5)
    labels, weights = model.explain(request([None]), tf.constant([[0, 3]], tf.int64), 2)
    assert labels.numpy().tolist() == [[[b"popularity", b""]] * 2]
    assert weights.numpy().tolist() == [[[1.0, 0.0]] * 2]


def test_a_catalogue_of_ids_alone_is_refused():
    with pytest.raises(ConfigError, match="nothing is known of the items but their ids"):
        Content(ContentConfig(), inputs_of([[0, 1]], 3))


def test_a_weight_of_a_feature_that_is_not_read_is_refused(some_inputs):
    inputs, _ = some_inputs
    with pytest.raises(ConfigError, match="'genre' is not among the features: genres, title, age"):
        Content(ContentConfig(feature_weights={"genre": 2.0}), inputs)


def test_the_stated_table_shapes_hold_the_tables(some_inputs):
    inputs, _ = some_inputs
    config = ContentConfig(item_profile="embedding", embedding_dim=7)
    model = Content(config, inputs)
    stated = {
        shape.name: (shape.rows, shape.dim) for shape in model.table_shapes(config, inputs.schema, inputs.num_ids, 20)
    }
    assert stated["token_vectors"] == tuple(model._token_vectors.shape)
    assert stated["item_vectors"] == tuple(model._item_vectors.shape)
    assert stated["user_profile_of_a_row"] == (1, model._items.num_columns)
    rows, values = stated["item_profiles"]
    assert rows * values >= 2 * model._items.num_entries
