"""Jobs that predict ratings from neighbours: fitted, judged by their errors, exported, asked for ratings and why."""

import numpy as np
import pytest
import tensorflow as tf

from tests.trainer.planted_world import quiet_console
from tests.trainer.raw_rows import call
from tests.transforms.dating_log import write_dating_log
from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.schema import ITEM_INDEX, LABEL, USER_INDEX
from trainer.config import resolve_config
from trainer.export import export_job
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config

SETTINGS = (
    "model.feedback=explicit",
    "evaluation.baselines=[]",
    "evaluation.auc=false",
    "evaluation.users={count: 30}",
)


@pytest.fixture(scope="module")
def ratings(tmp_path_factory):
    """A dataset whose label is a rating, with tastes that last."""
    root = tmp_path_factory.mktemp("ratings")
    write_dating_log(root / "logs", people=160, rated=30)
    write_dataset(load_dataset_config("libimseti"), str(root / "logs"), str(root / "dataset"))
    return DatasetDirectory(root / "dataset")


@pytest.mark.parametrize("name", ["item_knn", "user_knn"])
def test_a_job_on_ratings_beats_the_means_and_exports_what_it_predicts(ratings, tmp_path, name):
    job = JobDirectory(tmp_path / "job")
    identity = {"dataset": str(ratings.path), "dataset_fingerprint": ratings.fingerprint, "seed": 1}
    run_job(resolve_config(name, None, SETTINGS, **identity), job, quiet_console())
    model, data, _ = load_model(job)
    metrics = job.read_metrics()
    test, mean = data.test, data.train[LABEL].mean(dtype=np.float64)
    print(f"{name}: RMSE {metrics['test/rmse']:.3f}, of item means {metrics['test/item_mean/rmse']:.3f}")
    assert metrics["test/rmse"] < 0.75 * metrics["test/item_mean/rmse"]
    assert metrics["test/rmse"] < 0.75 * np.sqrt(np.mean((test[LABEL] - mean) ** 2))
    assert metrics["test/ndcg_at_10"] > 0
    rows = slice(0, 12)
    names = {*model.required_features, ITEM_INDEX}
    expected = model.predicted_ratings({name: tf.constant(test[name][rows]) for name in names}).numpy()
    exported = tf.saved_model.load(str(export_job(job)))
    users = read_part(data.dataset, "users")[RAW_PREFIX + data.schema.user_id][test[USER_INDEX][rows]]
    items = tf.constant(data.catalogue.ids[test[ITEM_INDEX][rows]][:, None])
    request = {"user_id": tf.constant(users)}
    found = call(exported.signatures["rank"], request, candidate_ids=items)
    np.testing.assert_allclose(found["scores"][:, 0], expected, rtol=1e-4)
    explained = call(exported.signatures["explain"], request, candidate_ids=items)
    labels = [label for label in explained["reasons"].ravel() if label]
    assert all(label.startswith(b"item:") or label == b"popularity" for label in labels)
    assert any(label.startswith(b"item:") for label in labels)
    ((at_item, at_reason),) = np.argwhere(explained["weights"][:, 0] == explained["weights"].max())[:1]
    assert 0 < explained["weights"][at_item, 0, at_reason] <= 9  # in units of the rating
