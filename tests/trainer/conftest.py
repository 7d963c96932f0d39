"""The planted world of the session, for the tests of tfrec/ and trainer/."""

import pytest

pytest.register_assert_rewrite("tests.contracts", "tests.model_contract")

from tests.trainer.planted_world import World, shared_root  # noqa: E402


@pytest.fixture(scope="session")
def world(tmp_path_factory):
    return World(shared_root(tmp_path_factory))


@pytest.fixture(scope="module", autouse=True)
def _loaded(loaded_processes):
    """Most of these tests start commands."""
