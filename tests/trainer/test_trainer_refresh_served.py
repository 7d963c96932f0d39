"""A served model is refreshed while it is asked: every request is answered, by the version before or the new one."""

import threading

import pytest

from serving.client import Client, ServingError
from serving.client.options import ClientOptions, Retries
from serving.server.model_server import ModelServer
from serving.server.options import LoadOptions, ModelOptions, ServerOptions
from tests.trainer.grown_world import NEW_ITEMS, grown_data
from tests.trainer.planted_world import TWO_TOWER_WITH_FEATURES
from tfrec.errors import ConfigError
from tfrec.index import IndexConfig
from trainer.export import export_job
from trainer.release.refresh import refresh_job

INDEX = IndexConfig(kind="ivf", k=20, lists=8, probes=8, recall_at_least=0.99)
PAUSE_SECONDS = 0.2  # of each thread between two requests, so that the refresh gets its turn in this process
ASKED_AFTER = 10  # requests that the new version answers before the test ends


class Askers:
    """Threads that ask for the comedies of a user again and again, each with a client of its own."""

    def __init__(self, target, count=3):
        self._target = target
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._ask, daemon=True) for _ in range(count)]
        self.answers, self.failures = [], []

    def _ask(self):
        options = ClientOptions(retries=Retries(attempts=1))
        with Client(self._target, timeout_seconds=120, options=options) as client:
            while not self._stop.wait(PAUSE_SECONDS):
                try:
                    found = client.recommend(
                        "two_tower", "u00200", k=130, exclude_seen=False, filter_genres=["Comedy", "Telenovela"]
                    )
                    self.answers.append((found.version, frozenset(found.ids)))
                except (ServingError, ConfigError) as error:
                    self.failures.append(error)

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def of_version(self, version):
        return [items for asked, items in list(self.answers) if asked == version]


def wait_for(condition, seconds=300):
    waiting = threading.Event()
    for _ in range(int(seconds / 0.05)):
        if condition():
            return
        waiting.wait(0.05)
    pytest.fail("the condition did not come to hold")


def test_no_request_is_lost_while_a_refreshed_version_takes_over(world, tmp_path):
    job, later = world.job("two_tower", *TWO_TOWER_WITH_FEATURES), grown_data(world)
    export_job(job, str(tmp_path), ["genres"], "none", INDEX)
    options = ServerOptions(
        models=(ModelOptions("two_tower", tmp_path),), port=0, load=LoadOptions(poll_wait_seconds=0.05)
    )
    with ModelServer(options) as server, Askers(server.target) as askers:
        wait_for(lambda: askers.answers)
        refresh_job(job, str(later.dataset.path), str(tmp_path), checks="none")
        wait_for(lambda: askers.failures or len(askers.of_version(2)) >= ASKED_AFTER)
    assert askers.failures == []
    assert {version for version, _ in askers.answers} == {1, 2}
    assert not any(items & set(NEW_ITEMS) for items in askers.of_version(1))
    assert all(items >= set(NEW_ITEMS) for items in askers.of_version(2))


def test_a_version_without_the_filter_would_lose_them(world):
    """The failure that the test above would see."""
    without = ModelOptions("two_tower", world.job("two_tower", *TWO_TOWER_WITH_FEATURES).export("two_tower"))
    with ModelServer(ServerOptions(models=(without,), port=0)) as server, Askers(server.target, count=1) as askers:
        wait_for(lambda: askers.failures or askers.answers)
    assert askers.answers == []
    assert "filter_genres" in str(askers.failures[0])
