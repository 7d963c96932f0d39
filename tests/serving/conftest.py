"""Models on disk, and servers over them."""

import shutil
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import model_service_pb2_grpc, predict_pb2, prediction_service_pb2_grpc

from serving.model_config import read_model_config_file
from serving.model_server import ModelServer
from serving.options import LoadOptions, ModelOptions, ServerOptions
from tests.serving.exported_models import Adder, Recommender

FAST = LoadOptions(poll_wait_seconds=0.05, max_num_load_retries=1, load_retry_interval_seconds=0.05)


@pytest.fixture(scope="session")
def templates(tmp_path_factory):
    """SavedModel directories to copy version directories from."""
    root = tmp_path_factory.mktemp("templates")
    Adder(0.0).save(root / "adder")
    Adder(100.0).save(root / "adder_plus_100")
    Recommender().save(root / "recommender")
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
    """A server with the models `adder` (versions 3 and 7) and `recommender`, for tests that only ask."""
    root = tmp_path_factory.mktemp("models")
    shutil.copytree(templates / "adder", root / "adder" / "00000003")
    shutil.copytree(templates / "adder_plus_100", root / "adder" / "7")
    shutil.copytree(templates / "recommender", root / "recommender" / "1")
    config = root / "models.config"
    config.write_text(f"""
        model_config_list {{
          config {{ name: "adder" base_path: "{root}/adder" model_platform: "tensorflow"
                    model_version_policy {{ all {{}} }} }}
          config {{ name: "recommender" base_path: "{root}/recommender" }}
        }}""")
    with ModelServer(ServerOptions(models=read_model_config_file(config), port=0)) as server:
        yield server


class Stubs:
    """Plain stubs of a server, as any client of TF Serving has them."""

    def __init__(self, target):
        self.channel = grpc.insecure_channel(target)
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
