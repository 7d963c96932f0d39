"""Models on disk, and servers over them."""

import shutil
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from serving.server.file_flags import METRICS_PATH
from serving.server.model_server import ModelServer
from serving.server.models.config_file import read_model_config_file
from serving.server.options import GrpcOptions, LoadOptions, ModelOptions, RestOptions, ServerOptions
from tests.serving.conformance.given_server import given_server, write_models
from tests.serving.exported_models import save_templates

FAST = LoadOptions(poll_wait_seconds=0.05, max_num_load_retries=1, load_retry_interval_seconds=0.05)


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    """SavedModel directories to copy version directories from."""
    root = tmp_path_factory.mktemp("templates")
    save_templates(root)
    return root


@pytest.fixture
def add_version(templates, tmp_path):
    """Put a version directory under a model's base path, as an exporter does; return its base path."""

    def add(model, number, template):
        base_path = tmp_path / model
        base_path.mkdir(exist_ok=True)
        hidden = tmp_path / f"{model}-{number}.tmp"
        shutil.copytree(templates / template, hidden)
        hidden.rename(base_path / str(number))
        return base_path

    return add


@pytest.fixture
def serve():
    """Start servers on free ports; stopped at the end of the test."""
    servers = []

    def start(*models, **options):
        options.setdefault("load", FAST)
        server = ModelServer(ServerOptions(models=models, port=0, **options))
        servers.append(server)
        server.start()
        return server

    yield start
    for server in servers:
        server.stop(drain_timeout_seconds=0)


@pytest.fixture(scope="session")
def shared_server(templates, tmp_path_factory):
    """A server with the models `adder` (versions 3 and 7), `recommender` and `judge`, for tests that only ask.

    It is the one that TFREC_SERVING_ADDRESS names, if that is set.
    """
    given = given_server()
    if given is not None:
        yield given
        return
    options = ServerOptions(
        models=read_model_config_file(write_models(templates, tmp_path_factory.mktemp("models"))),
        port=0,
        load=LoadOptions(allows_early_labels=True),
        grpc=GrpcOptions(has_health_service=True),
        rest=RestOptions(port=0, timeout_seconds=2, metrics_path=METRICS_PATH),
    )
    with ModelServer(options) as server:
        yield server


class Stubs:
    """Plain stubs of a server, as any client of TF Serving has them."""

    def __init__(self, target, options=()):
        self.channel = grpc.insecure_channel(target, options=options)
        self.prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.channel)
        self.models = model_service_pb2_grpc.ModelServiceStub(self.channel)

    def predict(self, model="adder", signature="", version=None, output_filter=(), timeout=10, **inputs):
        request = predict_pb2.PredictRequest(output_filter=output_filter)
        request.model_spec.name = model
        request.model_spec.signature_name = signature
        if version is not None:
            request.model_spec.version.value = version
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        return self.prediction.Predict(request, timeout=timeout)

    def sum(self, a, model="adder", **options):
        response = self.predict(model, a=np.float32([a]), b=np.float32([0]), **options)
        return response.outputs["sum"].float_val[0], response.model_spec.version.value


@pytest.fixture(scope="session")
def shared(shared_server):
    return Stubs(shared_server.target)


@pytest.fixture
def stubs_of():
    return lambda server: Stubs(getattr(server, "target", server))


@pytest.fixture
def model():
    """Return ModelOptions by name and base path."""
    return ModelOptions


@pytest.fixture
def eventually():
    """Wait until a condition holds; fail after a while."""

    def wait(condition, seconds=20):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if condition():
                return
            time.sleep(0.02)
        pytest.fail("the condition did not come to hold")

    return wait
