"""Every retrieval and every ranking model of the registry has its place in a cascade."""

from itertools import cycle

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.world_with_targets import WorldWithTargets
from tfrec.dataset.records import read_part
from tfrec.export.cascade import CascadeConfig, CascadeExport
from tfrec.feature_transform import FeatureTransform, missing_value
from tfrec.models.learning import FittedModel
from tfrec.models.registry import model_class, model_names
from trainer.model import build_model
from trainer.release.tables import export_tables

OF_TARGETS = {"youtube_ranking": ("model.watch_time=seconds",)}  # learn what the plain log has not
RETRIEVAL, RANKING = (
    [name for name in model_names() if model_class(name).task == task] for task in ("retrieval", "ranking")
)
PLAIN = [name for name in RANKING if name not in OF_TARGETS]
PAIRS = list(zip(RETRIEVAL, cycle(PLAIN), strict=False)) + list(zip(["two_tower"], OF_TARGETS, strict=True))
CANDIDATES, K = 15, 6


def built(world, data, name):
    """A model that has learnt as much as costs nothing: what it says is compared with itself."""
    model = build_model(world.config(name, *OF_TARGETS.get(name, ())), data)
    if isinstance(model, FittedModel):
        model.fit(data.model_inputs)
    if hasattr(model, "refresh"):
        model.refresh()
    return model


def features_of(model, columns):
    return {name: tf.constant(values) for name, values in columns.items() if name in model.required_features}


def test_the_pairs_hold_every_model_of_the_registry():
    assert {name for pair in PAIRS for name in pair} == set(model_names())


@pytest.mark.slow
@pytest.mark.parametrize(("retrieval", "ranking"), PAIRS)
def test_any_retrieval_model_stands_before_any_ranking_model(world, tmp_path, retrieval, ranking):
    world = WorldWithTargets(world) if ranking in OF_TARGETS else world
    data = world.data()
    source, ranker = built(world, data, retrieval), built(world, data, ranking)
    transform = FeatureTransform(data.schema, data.dataset.transform)
    config = CascadeConfig(candidates=CANDIDATES)
    module = CascadeExport({retrieval: source}, ranker, config, transform, export_tables(data), tmp_path)
    recommend = module.signatures()["recommend"]
    users = read_part(data.dataset, "users")
    rows = np.array([3, 40, 200])
    asked = {
        "user_id": tf.constant(users["raw/user_id"][rows]),
        "k": tf.constant([K]),
        "exclude_seen": tf.constant([False]),
    }
    for spec in recommend.input_signature:
        if spec.name not in asked:
            asked[spec.name] = tf.fill([1] * spec.shape.rank, tf.constant(missing_value(spec.dtype), spec.dtype))
    found = recommend(**asked)
    of_users = {name: values[rows] for name, values in users.items()}
    scores = source.scores(features_of(source, of_users)).numpy()
    for row, ids in enumerate(found["ids"].numpy()):
        # Ties at the end of the candidates are anybody's: the list must come of the items that may stand there.
        least = np.sort(scores[row])[-CANDIDATES]
        allowed = np.flatnonzero(scores[row] >= least - 1e-5)
        items = [int(np.flatnonzero(data.catalogue.ids == one)[0]) for one in ids]
        assert set(items) <= set(allowed.tolist())
        columns = {name: np.repeat(values[row : row + 1], K, axis=0) for name, values in of_users.items()}
        columns |= {name: values[items] for name, values in data.catalogue.features.items()}
        predicted = ranker.predictions(features_of(ranker, columns)).numpy()
        np.testing.assert_allclose(found["scores"][row], predicted, rtol=1e-4, atol=1e-5)
        assert (np.diff(predicted) <= 1e-5).all()
        if len(allowed) == CANDIDATES:
            columns = {name: np.repeat(values[row : row + 1], CANDIDATES, axis=0) for name, values in of_users.items()}
            columns |= {name: values[allowed] for name, values in data.catalogue.features.items()}
            best = np.sort(ranker.predictions(features_of(ranker, columns)).numpy())[::-1][:K]
            np.testing.assert_allclose(predicted, best, rtol=1e-4, atol=1e-5)
