"""One exported retrieval model and one ranking model, with plain ways to ask them."""

import math

import pytest
import tensorflow as tf

from tests.trainer.planted_world import DEEPFM, TWO_TOWER_WITH_FEATURES
from tests.trainer.raw_rows import RawLog
from trainer.model import load_model


class Served:
    """The first version of a job's export."""

    def __init__(self, job, model):
        self.job = job
        self.path = job.export(model) / "1"
        self.saved = tf.saved_model.load(str(self.path))

    def ask(self, signature, **given):
        """Call a signature; inputs that are not given are missing values, as the defaults of the signature are."""
        function = self.saved.signatures[signature]
        defaults = {"k": [10], "exclude_ids": [[""]], "allow_ids": [[""]], "exclude_seen": [True]}
        inputs = {}
        for name, spec in function.structured_input_signature[1].items():
            value = given.pop(name, defaults.get(name))
            if value is None:
                value = math.nan if spec.dtype.is_floating else ""
                value = [value] if spec.shape.rank == 1 else [[value]]
            inputs[name] = tf.constant(value, spec.dtype)
        assert not given, f"{signature} has no input {list(given)}"
        return {name: value.numpy() for name, value in function(**inputs).items()}


@pytest.fixture(scope="package")
def log(world):
    return RawLog(world.logs)


@pytest.fixture(scope="package")
def retrieval(world):
    return Served(world.job("two_tower", *TWO_TOWER_WITH_FEATURES), "two_tower")


@pytest.fixture(scope="package")
def with_user_ids(world):
    return Served(world.job("two_tower"), "two_tower")


@pytest.fixture(scope="package")
def ranking(world):
    return Served(world.job("deepfm", *DEEPFM), "deepfm")


@pytest.fixture(scope="package")
def ranking_model(ranking):
    return load_model(ranking.job)


def served(path):
    """A version that is on disk already."""
    found = Served.__new__(Served)
    found.path, found.saved = path, tf.saved_model.load(str(path))
    return found
