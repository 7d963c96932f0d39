"""The contract on every retrieval model."""

import numpy as np
import tensorflow as tf

from tests.contracts import PersonalContract, RetrievalContract
from tests.trainer.planted_world import TWO_TOWER_WITH_FEATURES

TWO_TOWERS = {"serving_default", "recommend", "items", "user_embedding", "item_embedding"}
TWO_TOWER_NON_DEFAULT = {
    "embedding_dim": 7,
    "use_history": False,
    "history_half_life": 2.5,
    "use_user_id": False,
    "user_id_dropout": 0.25,
    "user_features": ["country", "age"],
    "item_features": ["genres"],
    "embedding_stddev": 0.5,
    "negatives": {"kind": "hard", "n": 33, "alpha": 0.5, "pool": 3},
    "temperature": 0.3,
    "mask_known_positives": False,
}


class TestTwoTowerWithHistory(PersonalContract):
    model = "two_tower"
    non_default = TWO_TOWER_NON_DEFAULT
    signatures = TWO_TOWERS
    gain_over_popularity = 3.0
    favourite_genre_share, favourite_genre_gain = 0.65, 4.0


class TestTwoTowerOfIdsAlone(PersonalContract):
    model = "two_tower"
    overrides = ("model.use_history=false",)
    non_default = TWO_TOWER_NON_DEFAULT
    signatures = TWO_TOWERS
    favourite_genre_share, favourite_genre_gain = 0.3, 2.0


class TestTwoTowerWithFeatures(PersonalContract):
    model = "two_tower"
    overrides = TWO_TOWER_WITH_FEATURES
    non_default = TWO_TOWER_NON_DEFAULT
    signatures = TWO_TOWERS
    gain_over_popularity = 3.0
    favourite_genre_share, favourite_genre_gain = 0.65, 4.0

    def test_an_item_without_training_events_is_placed_by_its_features(self, trained):
        model, data, _ = trained
        new = data.catalogue.ids.tolist().index(b"new_item")
        assert data.model_inputs.train.item_counts()[new] == 0
        # Its genres alone are known: beside the shared vector of unknown items they make up its place.
        genres = data.catalogue.features["genres"]
        alike = [i for i in range(121) if i != new and set(genres[i]) & set(genres[new]) - {0}]
        others = [i for i in range(121) if not set(genres[i]) & set(genres[new]) - {0}]
        side = tf.reduce_sum(
            model._item_side({k: tf.constant(v) for k, v in data.catalogue.features.items()}).vectors, axis=1
        ).numpy()
        side /= np.linalg.norm(side, axis=1, keepdims=True) + 1e-9
        similarity = side @ side[new]
        assert similarity[alike].mean() > similarity[others].mean()


class TestPopularity(RetrievalContract):
    model = "popularity"
    gain_over_popularity = 1.0

    def test_scores_are_the_training_counts_of_the_log(self, trained, log):
        model, data, _ = trained
        expected = dict.fromkeys(log.items, 0)
        for event in log.of_split("train"):
            expected[event.item_id] += 1
        scores = model.scores({"user_id": tf.constant([1, 2])}).numpy()
        for row in scores:
            assert {item_id.decode(): n for item_id, n in zip(data.catalogue.ids, row, strict=True)} == expected
