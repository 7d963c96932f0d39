"""Small ratings as rows of users and of items, and larger ones with a taste in them."""

import dataclasses

import numpy as np
import pytest
import tensorflow as tf

from tests.tfrec.models.taken_items import inputs_of
from tests.trainer.planted_world import quiet_console
from tests.trainer.raw_rows import call
from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.records import read_part
from tfrec.schema import ITEM_INDEX, USER_INDEX, Schema
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

# {item: rating} of each user; user 3 and item 4 have none.
FEW = [{0: 5.0, 1: 3.0, 3: 1.0}, {1: 4.0}, {0: 2.0, 2: 5.0, 3: 4.0, 1: 1.0}, {}]
FEW_ITEMS = 5
POPULAR = [sum(item in row for row in FEW) for item in range(FEW_ITEMS)]


def few_rated(rows, *, has_ratings=True, history=None):
    """(model inputs, {column index: value} of each row); without ratings all values are 1.

    `history`: length of a sequence of items and of the sequence `ratings` beside it.
    """
    ratings = [list(row.values()) for row in FEW] if has_ratings else None
    inputs = inputs_of([list(row) for row in FEW], FEW_ITEMS, history, ratings=ratings)
    if history is not None:
        content = inputs.schema.model_dump(exclude_unset=True)
        content["features"]["ratings"] = {"role": "user", "kind": "sequence", "length": history, "of": "label"}
        inputs = dataclasses.replace(inputs, schema=Schema.model_validate(content))
    of_users = [{item: rating if has_ratings else 1.0 for item, rating in row.items()} for row in FEW]
    if rows == "users":
        return inputs, of_users
    of_items = [{user: row[item] for user, row in enumerate(of_users) if item in row} for item in range(FEW_ITEMS)]
    return inputs, of_items


def many_rated(num_users=60, num_items=30, seed=5):
    """Users of two tastes and items of two kinds: 4 to 5 where they agree, 1 to 2 elsewhere.

    Returns:
        (inputs of 70 % of all pairs, held-out users, items and ratings).

    """
    random = np.random.default_rng(seed)
    ratings = np.where((np.arange(num_users) % 2)[:, None] == np.arange(num_items) % 2, 4, 1)
    ratings = ratings + random.integers(0, 2, ratings.shape)
    is_train = random.random(ratings.shape) < 0.7
    taken = [np.flatnonzero(row).tolist() for row in is_train]
    given = [ratings[user, row].tolist() for user, row in enumerate(taken)]
    users, items = np.nonzero(~is_train)
    return inputs_of(taken, num_items, ratings=given), (users, items, ratings[users, items])


def check_job_on_ratings(world, directory, model_name, *overrides):
    """A job whose label is the rating itself is chosen by its errors, and `rank` of its export gives the ratings."""
    world.dataset("ratings", "label={column: rating}")
    job = JobDirectory(directory)
    run_job(world.config(model_name, *overrides, dataset="ratings"), job, quiet_console())
    metrics = job.read_metrics()
    assert metrics["train/best_rmse"] == pytest.approx(metrics["validation/rmse"], rel=1e-4)
    assert metrics["test/ndcg_at_10"] > 0
    model, data, _ = load_model(job)
    features = {name: tf.constant(data.test[name]) for name in {*model.required_features, ITEM_INDEX}}
    expected = model.predicted_ratings(features).numpy()
    assert metrics["test/rmse"] == pytest.approx(np.sqrt(np.mean((data.test["label"] - expected) ** 2)), rel=1e-4)
    test, expected = {name: values[:20] for name, values in data.test.items()}, expected[:20]
    exported = tf.saved_model.load(str(export_job(job)))
    raw = read_part(data.dataset, "users")[RAW_PREFIX + data.schema.user_id][test[USER_INDEX]]
    request = {"user_id": tf.constant(raw)}
    if "history" in model.required_features:
        request["history"] = tf.constant([[""]])
    items = data.catalogue.ids[test[ITEM_INDEX]][:, None]
    found = call(exported.signatures["rank"], request, candidate_ids=tf.constant(items))["scores"][:, 0]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
