"""TF Serving's REST in front of a real server, by protobuf's own JSON: predict by columns, metadata, status."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import grpc
import tensorflow as tf
from google.protobuf import json_format
from tensorflow_serving.apis import (
    get_model_metadata_pb2,
    get_model_status_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
)

STATUS = {"INVALID_ARGUMENT": 400, "FAILED_PRECONDITION": 400, "NOT_FOUND": 404, "UNAVAILABLE": 503}
PATH = re.compile(r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(/metadata|:predict)?")


class Gateway(ThreadingHTTPServer):
    """Listens on a free port; `requests` are the paths that were asked for."""

    daemon_threads = True

    def __init__(self, target, protocol="HTTP/1.1"):
        super().__init__(("127.0.0.1", 0), type("Handler", (Handler,), {"protocol_version": protocol}))
        self.channel = grpc.insecure_channel(target)
        self.requests = []
        self.connections = 0
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def process_request(self, request, client_address):
        self.connections += 1
        super().process_request(request, client_address)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(b"")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.server.requests.append(self.path)
        try:
            name, version, label, verb = PATH.fullmatch(self.path).groups()
            status, content = 200, self.ask(name, version, label, verb, body)
        except grpc.RpcError as error:
            status, content = STATUS.get(error.code().name, 500), {"error": error.details()}
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def ask(self, name, version, label, verb, body):
        request = {
            "/metadata": get_model_metadata_pb2.GetModelMetadataRequest,
            ":predict": predict_pb2.PredictRequest,
        }.get(verb, get_model_status_pb2.GetModelStatusRequest)()
        request.model_spec.name = name
        if version:
            request.model_spec.version.value = int(version)
        if label:
            request.model_spec.version_label = label
        prediction = prediction_service_pb2_grpc.PredictionServiceStub(self.server.channel)
        if verb == ":predict":
            return self.predict(prediction, request, json.loads(body))
        if verb == "/metadata":
            request.metadata_field.append("signature_def")
            return as_json(prediction.GetModelMetadata(request, timeout=20))
        return as_json(model_service_pb2_grpc.ModelServiceStub(self.server.channel).GetModelStatus(request, timeout=20))

    def predict(self, prediction, request, body):
        request.model_spec.signature_name = body["signature_name"]
        metadata = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
        metadata.model_spec.CopyFrom(request.model_spec)
        signatures = get_model_metadata_pb2.SignatureDefMap()
        prediction.GetModelMetadata(metadata, timeout=20).metadata["signature_def"].Unpack(signatures)
        inputs = signatures.signature_def[body["signature_name"]].inputs
        for alias, values in body["inputs"].items():
            request.inputs[alias].CopyFrom(tf.make_tensor_proto(values, dtype=inputs[alias].dtype))
        outputs = {
            alias: [text(value) for value in tf.make_ndarray(proto).tolist()]
            for alias, proto in prediction.Predict(request, timeout=20).outputs.items()
        }
        return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}

    def log_message(self, *arguments):
        pass


def text(value):
    if isinstance(value, list):
        return [text(one) for one in value]
    return value.decode() if isinstance(value, bytes) else value


def as_json(message):
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
