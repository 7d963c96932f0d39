"""The contract on every retrieval model."""

import numpy as np
import tensorflow as tf

from tests.contracts import PersonalContract
from tests.tfrec.models.taken_items import FIRST_ID, UNKNOWN
from tests.trainer.planted_world import TWO_TOWER_WITH_FEATURES, quiet_console
from tfrec.dataset.directory import DatasetDirectory
from trainer.cluster.placement import Placement
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.run import make_trainer

TWO_TOWERS = {"serving_default", "recommend", "items", "explain", "user_embedding", "item_embedding"}
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
    has_content = True
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


class WithoutSomeItems(JobData):
    """A tenth of the items is taken out of training, and out of everyone's history."""

    def _read(self, name, columns):
        records = super()._read(name, None)
        history = records["history"]
        records["history"] = np.where(is_held_out(history - FIRST_ID) & (history >= FIRST_ID), UNKNOWN, history)
        kept = ~is_held_out(records["item_index"]) if name == "train" else slice(None)
        return {column: records[column][kept] for column in columns or records}


def is_held_out(items):
    return items % 10 == 3


def test_items_that_nobody_took_in_training_are_told_apart_by_their_features(world, tmp_path):
    overrides = (*TWO_TOWER_WITH_FEATURES, "train.epochs=12", "train.learning_rate=0.01")
    config, data = world.config("two_tower", *overrides), WithoutSomeItems(DatasetDirectory(world.dataset()))
    model = build_model(config, data)
    make_trainer(model, config, data, JobDirectory(tmp_path / "job"), quiet_console(), Placement("one")).run()
    held_out = is_held_out(np.arange(data.catalogue.size))
    train, everything = data.model_inputs.train, world.data().interactions("train", "validation", "test")
    assert train.item_counts()[held_out].max() == 0
    model.refresh()
    scores = model.scores({name: tf.constant(data.test[name]) for name in model.required_features}).numpy()
    areas = []
    for user, row in zip(data.test["user_index"], scores, strict=True):
        took = held_out & np.isin(np.arange(data.catalogue.size), everything.of_user(user))
        others = held_out & ~took
        if took.any() and others.any():
            areas.append(np.mean(row[took][:, None] > row[others][None, :]))
    print(f"AUC among held-out items {np.mean(areas):.3f}")
    assert np.mean(areas) > 0.6  # 0.5 is chance
