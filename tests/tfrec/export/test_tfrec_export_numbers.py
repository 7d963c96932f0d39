"""Vectors, weighted values and crosses from the raw row through an exported model, against the encoded records."""

import numpy as np
import pytest
import tensorflow as tf

from tests.transforms.catalogue_log import NUMBERS_YAML, positions, write_catalogue_log
from tests.transforms.conftest import Workshop
from tests.transforms.test_transforms_vectors_and_weights import raw_rows
from tfrec.dataset.records import read_part
from tfrec.export import RankingExport
from tfrec.feature_transform import FeatureTransform
from trainer.config import resolve_config
from trainer.data import JobData
from trainer.model import build_model
from trainer.release.tables import export_tables


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """(what the model says of the test records, their raw rows, the loaded export)."""
    workshop = Workshop(tmp_path_factory.mktemp("served") / "shop")
    users, items, events = write_catalogue_log(workshop.input)
    workshop.run(NUMBERS_YAML)
    data = JobData(workshop.dataset)
    identity = {"dataset": str(workshop.output), "dataset_fingerprint": data.dataset.fingerprint, "seed": 1}
    config = resolve_config("deepfm", None, ["model.crosses=both"], **identity)
    model = build_model(config, data)
    assert {"taste", "mood", "picture", "tags", "tag_weights", "words", "word_weights"} <= model.required_features
    for number, variable in enumerate(model.state):  # so that no field says nothing
        variable.assign(tf.random.stateless_normal(variable.shape, [1, number], stddev=0.3))
    records = read_part(data.dataset, "test")
    said = model.predictions({name: tf.constant(records[name]) for name in model.required_features}).numpy()
    transform = FeatureTransform(data.schema, data.dataset.transform)
    module = RankingExport(model, transform, export_tables(data), workshop.input)
    path = str(tmp_path_factory.mktemp("export") / "1")
    tf.saved_model.save(module, path, signatures=module.signatures())
    names = [user.decode() for user in read_part(data.dataset, "users")["raw/user"]]
    by_place = positions(events)
    places = zip(records["user_index"], records["event_position"], strict=True)
    asked = [by_place[names[user], int(place)] for user, place in places]
    return said, raw_rows(asked, users, items), tf.saved_model.load(path)


def test_a_raw_row_gets_the_score_of_its_record(served):
    said, raw, loaded = served
    assert len(np.unique(said)) == len(said) > 8
    scores = loaded.signatures["serving_default"](**raw)["scores"].numpy()
    np.testing.assert_allclose(scores, said, rtol=1e-5)


def test_a_serialized_row_gets_the_score_of_its_record(served):
    said, raw, loaded = served
    examples = [example({name: values[row].numpy() for name, values in raw.items()}) for row in range(len(said))]
    scores = loaded.signatures["examples"](examples=tf.constant(examples))["scores"].numpy()
    np.testing.assert_allclose(scores, said, rtol=1e-5)


def example(row):
    found = tf.train.Example()
    for name, values in row.items():
        feature = found.features.feature[name]
        if isinstance(values, bytes):
            feature.bytes_list.value.append(values)
        elif np.ndim(values) == 0:
            feature.float_list.value.append(values)
        elif values.dtype == object:
            feature.bytes_list.value.extend(values)
        else:
            feature.float_list.value.extend(values)
    return found.SerializeToString()


def test_what_a_request_leaves_out_is_that_of_the_catalogue(served):
    said, raw, loaded = served
    signature = loaded.signatures["serving_default"]
    given = {name: raw[name] for name in ("user", "item", "mood", "words", "word_weights", "hour")}
    missing = {
        name: tf.fill([1] * spec.shape.rank, tf.constant("" if spec.dtype == tf.string else np.nan, spec.dtype))
        for name, spec in signature.structured_input_signature[1].items()
        if name not in given
    }
    np.testing.assert_allclose(signature(**given, **missing)["scores"].numpy(), said, rtol=1e-5)


def test_a_vector_of_another_length_is_refused_in_words(served):
    _, raw, loaded = served
    odd = {**raw, "mood": tf.ones([len(raw["user"]), 3])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="mood: a vector has 2 numbers"):
        loaded.signatures["serving_default"](**odd)
