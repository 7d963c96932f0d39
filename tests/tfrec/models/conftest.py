"""The planted world with every kind of feature, once per session."""

import pytest

from tests.tfrec.models.rich_world import RichWorld
from tests.trainer.planted_world import shared_root


@pytest.fixture(scope="session")
def rich_world(tmp_path_factory):
    return RichWorld(shared_root(tmp_path_factory) / "rich")
