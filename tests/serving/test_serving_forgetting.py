"""A failed call leaves nothing in memory, without the help of the collector of cycles."""

import contextlib
import gc
import io
import json
import threading
import weakref

import numpy as np
import pytest
import tensorflow as tf

from serving.server.calls.inference import Inference, InferenceOptions
from serving.server.metrics import ServerMetrics
from serving.server.models.manager import ModelManager
from serving.server.models.served_version import ServedVersion, State
from serving.server.options import LoadOptions, RestOptions
from serving.server.rest.app import RestApp
from serving.server.rpc.answers import ends_with_status
from serving.server.runtime.batching import Batcher
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.runtime.servable import Servable
from serving.server.status import invalid_argument


@pytest.fixture(autouse=True)
def without_collection():
    gc.disable()
    yield
    gc.enable()


class Request:
    """Anything that can be seen to go."""


class RefusedError(Exception):
    """As gRPC's context ends a call."""


class Context:
    def abort(self, code, details):
        raise RefusedError(details)


class Service:
    @ends_with_status
    def ask(self, request, context):
        raise invalid_argument("no")


def test_a_grpc_request():
    request = Request()
    seen = weakref.ref(request)
    with contextlib.suppress(RefusedError):
        Service().ask(request, Context())
    del request
    assert seen() is None


@pytest.mark.parametrize("size", [10, 2**21])
def test_a_rest_body(size):
    manager = ModelManager(LoadOptions())
    app = RestApp(Inference(manager, ServerMetrics(), InferenceOptions()), manager, RestOptions(), lambda: "")
    body = io.BytesIO(json.dumps({"instances": ["x" * size]}).encode())
    seen = weakref.ref(body)
    said = []
    environ = {"REQUEST_METHOD": "POST", "PATH_INFO": "/v1/models/m:predict", "wsgi.input": body}
    environ["CONTENT_LENGTH"] = str(len(body.getvalue()))
    app(environ, lambda status, headers: said.append(status))
    assert said == ["404 Not Found"]
    del body, environ
    assert seen() is None


def test_the_calls_of_a_batch_that_failed():
    begun, may_end = threading.Event(), threading.Event()

    def fail(inputs, timeout_seconds):
        begun.set()
        may_end.wait()
        raise tf.errors.InvalidArgumentError(None, None, "no")

    batcher = Batcher(BatchingOptions(num_batch_threads=1), fail)
    seen = []

    def ask():
        inputs = {"x": np.zeros(2, np.float32)}
        seen.append(weakref.ref(inputs["x"]))
        with contextlib.suppress(tf.errors.InvalidArgumentError):
            batcher.run(inputs, np.inf)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
        begun.wait()
    while sum(len(batch.calls) for batch in batcher._open) < 3:
        pass
    may_end.set()
    for thread in threads:
        thread.join()
    assert [reference() for reference in seen] == [None] * 4


def test_what_a_version_had_loaded_that_failed_its_warm_up(monkeypatch, templates):
    seen = []
    load_for_real = Servable.load

    def load(*arguments):
        servable = load_for_real(*arguments)
        seen.append(weakref.ref(servable))
        return servable

    def fail(*_):
        raise invalid_argument("warm-up")

    monkeypatch.setattr(Servable, "load", load)
    monkeypatch.setattr("serving.server.models.served_version.warm_up", fail)
    version = ServedVersion("m", 1, templates / "adder", LoadOptions(max_num_load_retries=0))
    version.load()
    assert version.status.state is State.END
    assert str(version.status.error) == "INVALID_ARGUMENT: warm-up"
    assert [reference() for reference in seen] == [None]
