"""SavedModels below the services: deadlines, defaults, what an unloaded one leaves."""

import numpy as np
import pytest
import tensorflow as tf

from serving.server.runtime.runtime_options import RuntimeOptions
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError

STEPS_WITHOUT_END = {"steps": np.int32([2**31 - 1])}


@pytest.fixture(scope="module")
def adder(templates):
    servable = Servable.load(templates / "adder")
    yield servable
    servable.close()


def test_a_timeout_ends_the_run(adder):
    with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting for notification"):
        adder.run_signature("slow", STEPS_WITHOUT_END, ["count"], timeout_seconds=0.1)


def test_some_of_the_outputs_come_in_the_order_that_is_asked_for(adder):
    inputs = {"a": np.float32([3]), "b": np.float32([1])}
    values = adder.run_signature("serving_default", inputs, ["sum", "difference"])
    assert [value.tolist() for value in values] == [[4], [2]]
    assert [value.tolist() for value in adder.run_signature("serving_default", inputs, ["difference"])] == [[2]]


def test_defaults_of_the_signature_are_decoded_once(adder):
    assert adder.signatures["serving_default"].defaults["b"].tolist() == [5.0]


def test_a_graph_without_the_asked_tags_is_not_found(templates):
    with pytest.raises(StatusError, match=r"matching supplied tags: \{ serve gpu \}"):
        Servable.load(templates / "adder", RuntimeOptions(tags=("serve", "gpu")))
