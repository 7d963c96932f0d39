"""The planted world of the session, as the tests of tfrec/ and trainer/ have it."""

import pytest

from tests.trainer.planted_world import World, shared_root


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(shared_root(tmp_path_factory))


@pytest.fixture(scope="module", autouse=True)
def _loaded(loaded_processes):
    """Most of these tests start commands."""
