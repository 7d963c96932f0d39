"""Ways to the server: TLS, Unix sockets, health, metrics; and callers that mean no good."""

import datetime
import http.client
import ipaddress
import json
import socket
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from serving.server.file_flags import read_monitoring_path, read_tls
from serving.server.metrics import MAX_LABEL_SETS, OTHERS, REQUEST_COUNT, ServerMetrics, added, prometheus_page
from serving.server.options import GrpcOptions, RestOptions
from tests.serving.exported_models import Adder
from tfrec.errors import ConfigError


def issue(name, authority=None):
    """A certificate for 127.0.0.1 with its key, as PEM, and the pair to sign others with; self-signed without one."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    issuer, signing_key = authority or (subject, key)
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.BasicConstraints(ca=authority is None, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(signing_key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return certificate.public_bytes(serialization.Encoding.PEM), private, (subject, key)


def write_ssl_config(path, key, certificate, authority=b"", verify="false"):
    texts = {"server_key": key, "server_cert": certificate, "custom_ca": authority}
    fields = [f"{name}: {text.decode()!r}" for name, text in texts.items()]
    path.write_text("\n".join([*fields, f"client_verify: {verify}"]))
    return path


def sum_over(channel, timeout=10):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "adder"
    request.inputs["a"].dtype = 1
    request.inputs["a"].float_val.append(1)
    request.inputs["a"].tensor_shape.dim.add(size=1)
    stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
    return stub.Predict(request, timeout=timeout).outputs["sum"].float_val[0]


def test_tls_lets_in_only_clients_with_a_certificate_where_these_are_asked_for(serve, add_version, model, tmp_path):
    ca, _, authority = issue("authority")
    certificate, key, _ = issue("server", authority)
    tls = read_tls(write_ssl_config(tmp_path / "ssl.config", key, certificate, ca, verify="true"))
    server = serve(model("adder", add_version("adder", 1, "adder")), grpc=GrpcOptions(tls=tls))
    client_certificate, client_key, _ = issue("client", authority)
    known = grpc.ssl_channel_credentials(ca, client_key, client_certificate)
    with grpc.secure_channel(server.target, known) as channel:
        assert sum_over(channel) == 6
    for credentials in (grpc.ssl_channel_credentials(ca), None):
        channel = (
            grpc.secure_channel(server.target, credentials) if credentials else grpc.insecure_channel(server.target)
        )
        with channel, pytest.raises(grpc.RpcError) as caught:
            sum_over(channel, timeout=3)
        assert caught.value.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)


def test_an_ssl_file_that_cannot_be_served_with_is_an_error(tmp_path):
    path = tmp_path / "ssl.config"
    path.write_text("server_cert: 'x'")
    with pytest.raises(ConfigError, match="server_key is empty"):
        read_tls(path)
    path.write_text("server_key: 'x' server_cert: 'x' client_verify: true")
    with pytest.raises(ConfigError, match="client_verify needs custom_ca"):
        read_tls(path)


def test_a_monitoring_file_says_whether_and_where(tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text("prometheus_config { enable: true }")
    assert read_monitoring_path(path) == "/monitoring/prometheus/metrics"
    path.write_text('prometheus_config { enable: true path: "/metrics" }')
    assert read_monitoring_path(path) == "/metrics"
    path.write_text("prometheus_config { }")
    assert read_monitoring_path(path) is None


def test_a_unix_socket_is_a_way_in_too_and_health_ends_before_the_server(serve, add_version, model, tmp_path):
    path = tmp_path / "server.sock"
    options = GrpcOptions(socket_path=path, has_health_service=True)
    server = serve(model("adder", add_version("adder", 1, "adder")), grpc=options)
    with grpc.insecure_channel(f"unix:{path}") as channel:
        assert sum_over(channel) == 6
        health = health_pb2_grpc.HealthStub(channel)
        serving = health_pb2.HealthCheckResponse.SERVING
        assert health.Check(health_pb2.HealthCheckRequest(), timeout=10).status == serving
        watched = health.Watch(health_pb2.HealthCheckRequest(), timeout=20)
        assert next(watched).status == serving
        threading.Thread(target=server.stop, args=(2.0,)).start()
        assert next(watched).status == health_pb2.HealthCheckResponse.NOT_SERVING


def test_a_rest_request_in_flight_is_answered_before_the_server_ends(serve, add_version, model):
    server = serve(model("adder", add_version("adder", 1, "adder")), rest=RestOptions(port=0))
    target, answers = server.rest_target, []

    def ask():
        connection = http.client.HTTPConnection(target, timeout=60)
        connection.request("POST", "/v1/models/adder:predict", b'{"signature_name": "slow", "instances": [200000]}')
        answers.append(connection.getresponse().read())

    thread = threading.Thread(target=ask)
    thread.start()
    time.sleep(0.5)
    server.stop(drain_timeout_seconds=60)
    thread.join()
    assert json.loads(answers[0]) == {"predictions": [200000]}
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", int(target.rpartition(":")[2])), timeout=5)


def test_names_that_callers_make_up_do_not_fill_the_memory():
    metrics = ServerMetrics()
    for i in range(3 * MAX_LABEL_SETS):
        metrics.count_request(f"m{i}", "NOT_FOUND")
    samples = metrics.samples()
    assert len(samples) == MAX_LABEL_SETS + 1
    assert samples[REQUEST_COUNT, (("model_name", OTHERS), ("status", "NOT_FOUND"))] == [2 * MAX_LABEL_SETS]


def test_metrics_of_several_processes_add_up():
    parts = []
    for micros in (5.0, 15.0):
        metrics = ServerMetrics()
        metrics.count_request('a "quoted"\n', "OK")
        metrics.add_latency("a", "Predict", "REST", micros)
        parts.append(metrics.samples())
    lines = prometheus_page(added(parts)).splitlines()
    assert lines[:2] == [
        "# TYPE :tensorflow:serving:request_count counter",
        ':tensorflow:serving:request_count{model_name="a \\"quoted\\"\\n",status="OK"} 2',
    ]
    buckets = [line.rpartition(" ")[2] for line in lines if "_bucket" in line]
    assert buckets == ["1", *["2"] * 33]
    assert lines[-2].endswith("} 20")


def test_a_tensor_that_is_larger_than_its_message_is_refused(shared):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "adder"
    tensor = request.inputs["a"]
    tensor.dtype = 1
    tensor.float_val.append(1)
    for _ in range(3):
        tensor.tensor_shape.dim.add(size=2**20)
    with pytest.raises(grpc.RpcError) as caught:
        shared.prediction.Predict(request, timeout=10)
    assert caught.value.details() == "tensor parsing error: a"


def test_one_text_that_fills_a_tensor_beyond_the_limit_is_refused(shared):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "adder", "parse"
    tensor = request.inputs["text"]
    tensor.dtype = 7
    tensor.string_val.append(b"1" * 100_000)
    tensor.tensor_shape.dim.add(size=2**20)  # 100 GB in TensorFlow, which keeps each place's text apart
    with pytest.raises(grpc.RpcError) as caught:
        shared.prediction.Predict(request, timeout=10)
    assert caught.value.details() == "tensor parsing error: text"


def test_requests_above_the_limit_are_refused_over_both_ways(serve, add_version, model, stubs_of):
    options = {"max_request_bytes": 20_000, "rest": RestOptions(port=0)}
    server = serve(model("adder", add_version("adder", 1, "adder")), **options)
    stubs = stubs_of(server)
    assert stubs.predict(a=np.zeros(1000, np.float32)).outputs["sum"].tensor_shape.dim[0].size == 1000
    with pytest.raises(grpc.RpcError) as caught:
        stubs.predict(a=np.zeros(10_000, np.float32))
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    packed = predict_pb2.PredictRequest()
    packed.model_spec.name = "adder"
    packed.inputs["a"].CopyFrom(tf.make_tensor_proto(np.zeros(10_000, np.float32)))
    with pytest.raises(grpc.RpcError) as caught:
        stubs.prediction.Predict(packed, timeout=10, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    connection = http.client.HTTPConnection(server.rest_target, timeout=10)
    connection.request("POST", "/v1/models/adder:predict", b" " * 30_000)
    assert connection.getresponse().status == 413


def test_more_calls_than_allowed_at_once_are_refused(serve, add_version, model, stubs_of):
    models = model("adder", add_version("adder", 1, "adder"))
    server = serve(models, grpc=GrpcOptions(max_concurrent_calls=1))
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "adder", "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(np.int32([2**31 - 1])))
    stubs = stubs_of(server)
    running = stubs.prediction.Predict.future(request, timeout=5)
    time.sleep(0.5)
    with pytest.raises(grpc.RpcError) as caught:
        stubs.sum(1.0)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    running.cancel()


def test_bytes_that_are_no_message_are_an_error_of_that_call_alone(shared):
    call = shared.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
    for raw in (b"\xff", b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x05ab", b"\x0a\x02\x0a\x05"):
        with pytest.raises(grpc.RpcError) as caught:
            call(raw, timeout=10)
        assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert shared.sum(1.0)[0] == 101.0


def test_silent_connections_and_slow_readers_do_not_keep_others_out(shared, shared_server):
    host, _, port = shared_server.rest_target.rpartition(":")
    body = b'{"signature_name": "echo", "instances": ["' + b"x" * 1_000_000 + b'"]}'
    head = f"POST /v1/models/judge:predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    held = []
    try:
        for number in range(300):
            held.append(socket.create_connection((host, int(port)), timeout=10))
            if number % 3 == 0:
                held[-1].sendall(head[:30])  # never says the rest
        for _ in range(20):
            held.append(socket.create_connection((host, int(port)), timeout=10))
            held[-1].sendall(head + body)  # never reads the answer
        held.extend(socket.create_connection(("127.0.0.1", shared_server.port), timeout=10) for _ in range(200))
        time.sleep(0.5)
        connection = http.client.HTTPConnection(shared_server.rest_target, timeout=20)
        connection.request("POST", "/v1/models/judge:predict", b'{"signature_name": "halve", "instances": [3]}')
        assert b"1.5" in connection.getresponse().read()
        assert shared.sum(1.0)[0] == 101.0
    finally:
        for connected in held:
            connected.close()


def test_a_model_that_goes_wrong_harms_no_other(serve, add_version, model, stubs_of, eventually):
    base_path = add_version("adder", 1, "adder")
    other = add_version("other", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path), model("other", other)))
    for path in (base_path / "1").rglob("*"):
        if path.is_file():
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])  # replaced in place, half-written
    Adder(7.0).save(base_path / "2" / "nested")  # a folder in a version's place, without a graph of its own
    time.sleep(0.3)
    assert stubs.sum(1.0) == (1.0, 1)
    assert stubs.sum(1.0, model="other") == (1.0, 1)
    add_version("adder", 3, "adder_plus_100")
    eventually(lambda: stubs.sum(1.0) == (101.0, 3))
