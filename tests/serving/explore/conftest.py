"""A server with models whose answers NumPy knows, and the page over it."""

import pytest

from serving.client import Client
from serving.explore.app import make_app
from serving.explore.catalogue import read_catalogue
from tests.serving.running_server import running_server
from tests.serving.small_dataset import write_small_dataset
from tests.serving.vector_recommender import VECTORS, StagedRecommender, VectorRecommender


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A server with `vectors` in versions 1 and 2, the ranking `upside_down`, and a `cascade` of both."""
    root = tmp_path_factory.mktemp("served")
    for version in VECTORS:
        VectorRecommender(version).save(root / "vectors" / str(version))
    VectorRecommender(1).save(root / "upside_down" / "1")
    StagedRecommender(1).save(root / "cascade" / "1")
    config = root / "models.config"
    config.write_text(f"""
        model_config_list {{
          config {{ name: "vectors" base_path: "{root}/vectors" model_version_policy {{ all {{}} }} }}
          config {{ name: "upside_down" base_path: "{root}/upside_down" }}
          config {{ name: "cascade" base_path: "{root}/cascade" }}
        }}""")
    with running_server(f"--model_config_file={config}") as address:
        yield address


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def client(target):
    with Client(target, timeout_seconds=20) as found:
        yield found


@pytest.fixture(scope="module")
def app(client, dataset):
    return make_app(client, read_catalogue(dataset), ["vectors"], ["upside_down"])
