"""What a server says of its models, its health and its counts, and which services it has, as TF Serving does."""

import http.client
import re

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import get_model_metadata_pb2, get_model_status_pb2, model_management_pb2

METRICS_PATH = "/monitoring/prometheus/metrics"


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


def invalid(message):
    return grpc.StatusCode.INVALID_ARGUMENT, message


def states(stubs, model="adder", version=None, label=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    if label is not None:
        request.model_spec.version_label = label
    response = stubs.models.GetModelStatus(request, timeout=5)
    name = get_model_status_pb2.ModelVersionStatus.State.Name
    return [(entry.version, name(entry.state)) for entry in response.model_version_status]


def test_versions_come_highest_first_and_leading_zeros_of_a_folder_do_not_count(shared):
    assert states(shared) == [(7, "AVAILABLE"), (3, "AVAILABLE")]
    assert states(shared, version=3) == [(3, "AVAILABLE")]
    assert states(shared, label="canary") == [(7, "AVAILABLE")]


def test_status_errors_name_the_version_and_the_model(shared):
    not_found = grpc.StatusCode.NOT_FOUND
    assert failure(states, shared, version=9) == (not_found, "Could not find version 9 of model adder")
    assert failure(states, shared, model="m") == (not_found, "Could not find any versions of model m")
    request = get_model_status_pb2.GetModelStatusRequest()
    assert failure(shared.models.GetModelStatus, request)[1] == "Missing ModelSpec"


def test_metadata_checks_its_fields_before_the_model(shared):
    def ask(*fields, name="m"):
        request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=fields)
        request.model_spec.name = name
        return shared.prediction.GetModelMetadata(request, timeout=5)

    assert failure(ask)[1] == "GetModelMetadataRequest must specify at least one metadata_field"
    assert failure(ask, "x")[1] == "Metadata field x is not supported"
    assert failure(ask, "signature_def") == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Latest(m)",
    )
    signatures = get_model_metadata_pb2.SignatureDefMap()
    response = ask("signature_def", name="adder")
    assert response.metadata["signature_def"].Unpack(signatures)
    assert set(signatures.signature_def) >= {"serving_default", "add_both", "slow", "parse"}
    assert signatures.signature_def["serving_default"].defaults["b"].float_val == [5.0]
    assert response.model_spec.version.value == 7


def reload_request(*models):
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path in models:
        request.config.model_config_list.config.add(name=name, base_path=base_path)
    return request


def test_a_wrong_reload_changes_nothing(shared):
    def refusal(*models):
        return failure(shared.models.HandleReloadConfigRequest, reload_request(*models), timeout=20)

    assert refusal(("twice", "/models"), ("twice", "/models")) == invalid(
        "Illegal to list model twice multiple times in config list"
    )
    assert refusal(("adder", "relative/path")) == invalid(
        "Expected model adder to have an absolute path or URI; got base_path()=relative/path"
    )
    code, message = failure(
        shared.models.HandleReloadConfigRequest, model_management_pb2.ReloadConfigRequest(), timeout=20
    )
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("ServerModelConfig type not supported by HandleReloadConfigRequest.")
    assert states(shared) == [(7, "AVAILABLE"), (3, "AVAILABLE")]
    assert states(shared, label="stable") == [(3, "AVAILABLE")]


@pytest.mark.parametrize(
    "method",
    ["SessionService/SessionRun", "PredictionService/PredictStreamed", "PredictionService/Unknown", "Unknown/Predict"],
)
def test_there_are_no_sessions_and_no_streams(shared, method):
    call = shared.channel.unary_unary(f"/tensorflow.serving.{method}")
    assert failure(call, b"", timeout=5)[0] is grpc.StatusCode.UNIMPLEMENTED


def test_health_is_told(shared):
    response = health_pb2_grpc.HealthStub(shared.channel).Check(health_pb2.HealthCheckRequest(), timeout=5)
    assert response.status == health_pb2.HealthCheckResponse.SERVING


def test_metrics_count_requests_and_their_time_by_model_and_way(shared, shared_server):
    def page():
        connection = http.client.HTTPConnection(shared_server.rest_target, timeout=10)
        connection.request("GET", METRICS_PATH)
        text = connection.getresponse().read().decode()
        return dict(
            re.fullmatch(r"(\S+) (\S+)", line).groups() for line in text.splitlines() if not line.startswith("#")
        )

    shared.sum(1.0)
    before = page()
    for _ in range(3):
        shared.sum(1.0)
    with pytest.raises(grpc.RpcError):
        shared.predict(model="missing")
    after = page()

    def grown(name):
        return float(after[name]) - float(before.get(name, 0))

    assert grown(':tensorflow:serving:request_count{model_name="adder",status="OK"}') == 3
    assert grown(':tensorflow:serving:request_count{model_name="missing",status="NOT_FOUND"}') == 1
    labels = 'model_name="adder",API="Predict",entrypoint="GRPC"'
    assert grown(f":tensorflow:serving:request_latency_count{{{labels}}}") == 3
    assert grown(f':tensorflow:serving:request_latency_bucket{{{labels},le="+Inf"}}') == 3
    assert grown(f":tensorflow:serving:request_latency_sum{{{labels}}}") > 0
    limits = [key for key in after if key.startswith(f":tensorflow:serving:request_latency_bucket{{{labels},")]
    assert [re.search('le="(.*)"', key)[1] for key in limits[:3]] == ["10", "18", "32.4"]
