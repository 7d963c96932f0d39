"""Lists that the model itself explores: their propensities go from its signature into the log and out of it."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import tensorflow as tf

from serving.client import Client, ScoredItems
from serving.impressions import ImpressionLog, Shown
from serving.impressions import __main__ as join
from serving.server.options import RestOptions
from tests.serving.client_models import Towers
from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import read_part
from tfrec.errors import DataError
from tfrec.export.exploration import epsilon_propensities, explored_order
from trainer import off_policy
from transforms.dataset import write_dataset
from transforms.dataset_config import load_dataset_config

ITEMS = [f"i{i}" for i in range(5)]  # in the order of the ranking
CLICKED = dict(zip(ITEMS, (0.1, 0.3, 0.8, 0.2, 0.5), strict=True))  # how often, where it is shown
SHARE = 0.5
REQUESTS = 3000
START_MS = 1_750_000_000_000


class Explorer(tf.Module):
    """Ranks all items alike for everybody, and fills its places as a cascade with epsilon does."""

    def __init__(self):
        super().__init__()
        self.ids = tf.Variable(ITEMS)
        self.draws = tf.random.Generator.from_seed(3, alg="philox")

    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None], tf.int32, name="k"),
        ]
    )
    def recommend(self, user_id, k=tf.constant([10])):  # noqa: B008
        rows, places = tf.size(user_id), tf.minimum(tf.reduce_max(k), len(ITEMS))
        is_explored = self.draws.uniform([rows, places]) < SHARE
        found = explored_order(self.draws.uniform([rows, len(ITEMS)]), is_explored)
        counts = tf.fill([rows], len(ITEMS))
        return {
            "ids": tf.gather(self.ids, found.order),
            "scores": -tf.cast(found.order, tf.float32),
            "propensities": epsilon_propensities(found.is_best, counts, SHARE),
            "num_candidates": counts,
        }


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    root, explorer = tmp_path_factory.mktemp("explorer"), Explorer()
    signatures = {"serving_default": explorer.recommend, "recommend": explorer.recommend}
    tf.saved_model.save(explorer, str(root / "explorer" / "1"), signatures=signatures)
    Towers().save(root / "towers" / "4")
    return root


@pytest.fixture
def server(saved, serve, model):
    return serve(*(model(name, saved / name) for name in ("explorer", "towers")), rest=RestOptions(port=0))


@pytest.fixture
def joined(server, tmp_path):
    """What was shown to many users, clicked as often as is known, in Parquet."""
    generator = np.random.default_rng(5)
    with Client(server.target, 60) as client, ImpressionLog(tmp_path / "log", max_waiting=10 * REQUESTS) as log:
        batch = client.recommend_batch("explorer", [f"u{i}" for i in range(REQUESTS)], k=2)
        for i, items in enumerate(batch):
            request = log.shown(Shown.as_answered(items), time_ms=START_MS + i * 1000)
            for item in items.ids:
                if generator.random() < CLICKED[item]:
                    log.outcome(request, item, time_ms=START_MS + i * 1000 + 1)
    output = tmp_path / "joined" / "impressions-1.parquet"
    output.parent.mkdir()
    join.main(["--log", str(tmp_path / "log"), "--output", str(output)])
    return output


def test_the_log_of_a_model_that_explores_says_what_another_policy_would_have_earned(joined, capsys):
    capsys.readouterr()
    table = pq.read_table(joined)
    assert set(table.column("num_candidates").to_pylist()) == {len(ITEMS)}
    first = table.filter(pc.equal(table.column("position"), 1))
    for best in ("i2", "i4"):  # the policy that always shows this one first
        pi = np.equal(first.column("item_id").to_pylist(), best).astype(float)
        pq.write_table(first.append_column("pi", pa.array(pi)), joined.with_name("first.parquet"))
        off_policy.main(["--log", str(joined.with_name("first.parquet")), "--target-probability", "pi", "--json"])
        found = json.loads(capsys.readouterr().out)
        assert found["weights"]["actions"]["mean"] == pytest.approx(1, abs=0.2)
        # 3,000 rows at probability 0.1: a standard error of 0.9 / √300 at most.
        assert found["estimates"]["self_normalised_ips"]["value"] == pytest.approx(CLICKED[best], abs=0.1)


def test_the_transforms_read_the_propensities_that_the_model_said(joined, tmp_path):
    directory = tmp_path / "dataset"
    write_dataset(load_dataset_config("impressions"), str(joined.parent), str(directory))
    records = [read_part(DatasetDirectory(directory), split)["propensity"] for split in ("train", "validation", "test")]
    logged = pq.read_table(joined).column("propensity").to_pylist()
    np.testing.assert_allclose(np.sort(np.concatenate(records)), np.sort(np.float32(logged)))
    assert set(np.round(logged, 4)) == {0.6, 0.1, 0.625, 0.125}  # best of 5, any of 5, best of 4, any of 4


def test_rows_without_propensities_are_taken_where_none_are_asked_for(joined, tmp_path):
    table = pq.read_table(joined)
    at = table.schema.get_field_index("propensity")
    pq.write_table(table.set_column(at, "propensity", pa.nulls(len(table), pa.float64())), joined)
    with pytest.raises(DataError, match="propensity is missing"):
        write_dataset(load_dataset_config("impressions"), str(joined.parent), str(tmp_path / "dataset"))
    without = load_dataset_config("impressions", ["propensity=null"])
    write_dataset(without, str(joined.parent), str(tmp_path / "dataset"))
    assert "propensity" not in read_part(DatasetDirectory(tmp_path / "dataset"), "train")


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_an_answer_has_propensities_where_the_model_says_them(server, protocol):
    target = server.target if protocol == "grpc" else f"http://{server.rest_target}"
    with Client(target, 20) as client:
        found = client.recommend("explorer", "u", k=2)
        assert len(found.propensities) == len(found.ids) == 2
        assert found.num_candidates == len(ITEMS)
        assert all(0 < chance < 1 for chance in found.propensities)
        assert found.first(1).propensities == found.propensities[:1]
        plain = client.recommend("towers", "u", k=2)
        assert (plain.propensities, plain.num_candidates) == (None, None)


def test_a_list_without_propensities_is_logged_without(tmp_path, capsys):
    with ImpressionLog(tmp_path / "log") as log:
        log.shown(Shown.as_answered(ScoredItems("u", ("a", "b"), (1.0, 0.5), "m", 1)), "r", time_ms=0)
    flags = ["--log", str(tmp_path / "log"), "--output", str(tmp_path / "joined.parquet")]
    join.main([*flags, "--json"])
    assert json.loads(capsys.readouterr().out)["versions"][0]["certain_share"] is None
    assert pq.read_table(tmp_path / "joined.parquet").column("propensity").to_pylist() == [None, None]
    join.main(flags)
    assert "unknown" in capsys.readouterr().err
