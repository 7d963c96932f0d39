"""JSON to tensors and tensors to JSON, against NumPy; and bodies that nobody would send in good faith."""

import io
import json
import math

import grpc
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as np_st
from tensorflow.core.protobuf import meta_graph_pb2
from tensorflow_serving.apis import model_pb2

from serving import tensors
from serving.server.options import RestOptions
from serving.server.rest.answers_json import columns_json, rows_json
from serving.server.rest.app import RestApp
from serving.server.rest.json_text import parse_document, shown
from serving.server.rest.predict_json import predict_request
from serving.server.status import StatusError

FLOAT, DOUBLE, INT32, STRING, INT64, BOOL = 1, 2, 3, 7, 9, 10
DTYPES = {np.float32: FLOAT, np.float64: DOUBLE, np.int32: INT32, np.int64: INT64, np.bool_: BOOL}

shapes = np_st.array_shapes(min_dims=1, max_dims=3, min_side=1, max_side=4)


def arrays(dtype):
    elements = {"allow_nan": False, "allow_infinity": False} if np.issubdtype(dtype, np.floating) else {}
    return np_st.arrays(dtype, shapes, elements=np_st.from_dtype(np.dtype(dtype), **elements))


def infos(**dtypes):
    return {name: meta_graph_pb2.TensorInfo(dtype=dtype) for name, dtype in dtypes.items()}


def request_of(document, **dtypes):
    body = json.dumps(document).encode()
    return predict_request(body, model_pb2.ModelSpec(name="m"), lambda _: infos(**dtypes))[0]


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(DTYPES)).flatmap(lambda dtype: st.tuples(st.just(dtype), arrays(dtype))))
def test_rows_and_columns_read_as_numpy_reads_nested_lists(case):
    dtype, array = case
    if np.issubdtype(dtype, np.floating):
        array = np.where(np.abs(array) == np.floor(np.abs(array)), dtype(0.5), array).astype(dtype)
    for document in ({"instances": array.tolist()}, {"inputs": array.tolist()}, {"inputs": {"x": array.tolist()}}):
        proto = request_of(document, x=DTYPES[dtype]).inputs["x"]
        np.testing.assert_array_equal(tensors.decode(proto), array)
    rows = [{"x": row, "y": 1} for row in array.tolist()]
    request = request_of({"instances": rows}, x=DTYPES[dtype], y=INT32)
    np.testing.assert_array_equal(tensors.decode(request.inputs["x"]), array)
    assert tensors.decode(request.inputs["y"]).tolist() == [1] * len(array)


@settings(max_examples=80, deadline=None)
@given(np_st.arrays(st.sampled_from([np.float32, np.float64]), shapes))
def test_every_float_comes_back_as_itself(array):
    for text, key in ((rows_json({"x": array}), "predictions"), (columns_json({"x": array}), "outputs")):
        np.testing.assert_array_equal(np.array(json.loads(text)[key], dtype=array.dtype), array)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (1.0, "1.0"), (0.2, "0.2"), (9e6, "9e+06"), (3e-5, "3e-05"), (-0.0, "-0.0"), (1 / 3, "0.333333343"),
        (math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity"),
    ],
)  # fmt: skip
def test_floats_are_written_as_tf_serving_writes_them(value, text):
    assert columns_json({"x": np.array(value, np.float32)}) == '{\n    "outputs": ' + text + "\n}"


def test_empty_tensors_keep_their_shape():
    array = np.zeros((2, 0, 3), dtype=np.float32)
    assert json.loads(rows_json({"x": array})) == {"predictions": [[], []]}
    assert json.loads(columns_json({"x": array})) == {"outputs": [[], []]}


def test_a_large_value_is_shown_in_part_and_in_little_time():
    assert shown({"a": [1]}) == '{\n    "a": [\n        1\n    ]\n}'
    assert len(shown(["x" * 10_000_000])) == 1000
    assert len(shown(list(range(1_000_000)))) <= 1000


@pytest.mark.parametrize(
    "body",
    [
        b"[" * 1_000_000,
        b'{"instances":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'{"a":' * 50_000 + b"1" + b"}" * 50_000,
        b'{"instances": [' + b"9" * 100_000 + b"]}",
        b"\xff\xfe{}",
        b'{"a": "\xed\xa0\x80"}',
        b'{"a": 1',
        b"\x00",
    ],
)
def test_a_hostile_document_is_a_parse_error(body):
    with pytest.raises(StatusError, match="INVALID_ARGUMENT: JSON Parse error"):
        parse_document(body)


def test_half_a_surrogate_pair_is_no_text():
    with pytest.raises(StatusError, match="surrogate pair"):
        request_of({"instances": ["\ud800"]}, x=STRING)
    with pytest.raises(StatusError, match="surrogate pair"):
        request_of({"signature_name": "\ud800", "instances": [1]}, x=FLOAT)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["a", "b", "b64", "x", "c", "text"]) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)
documents = st.dictionaries(
    st.sampled_from(["instances", "inputs", "examples", "context", "signature_name"]),
    json_values | st.sampled_from(["parse", "echo", "halve", "serving_default"]),
    max_size=3,
).map(lambda document: json.dumps(document).encode())
paths = st.sampled_from(["adder", "judge", "m", "%00", "..%2f", "adder/versions/3", "judge/labels/x"]).flatmap(
    lambda place: st.sampled_from(["predict", "classify", "regress", "explain"]).map(
        lambda method: f"/v1/models/{place}:{method}"
    )
)


@pytest.fixture(scope="module")
def app(shared_server):
    if not hasattr(shared_server, "_inference"):
        pytest.skip("needs the embedded server")
    return RestApp(shared_server._inference, shared_server._manager, RestOptions(timeout_seconds=2), lambda: "")


def answer(app, method, path, body):
    said = []
    environ = {
        "REQUEST_METHOD": method,
        "PATH_INFO": path,
        "REQUEST_URI": path,
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
    }
    (content,) = app(environ, lambda status, headers: said.append((status, dict(headers))))
    ((status, headers),) = said
    assert headers["Content-Length"] == str(len(content))
    return int(status.split()[0]), headers, content


def check(app, method, path, body):
    status, headers, content = answer(app, method, path, body)
    assert status in (200, 400, 404, 501, 504)
    if headers["Content-Type"] == "application/json":
        found = json.loads(content)
        assert status == 200 or len(found["error"]) <= 1024 + len("...TRUNCATED")


@settings(max_examples=150, deadline=None)
@given(path=paths, body=documents | st.binary(max_size=30))
def test_any_body_is_answered_or_refused_and_never_a_fault(app, path, body):
    check(app, "POST", path, body)


@settings(max_examples=100, deadline=None)
@given(
    method=st.sampled_from(["GET", "POST", "HEAD", "\x00"]), path=st.text(max_size=20).map(lambda text: "/v1/" + text)
)
def test_any_path_is_answered_or_refused_and_never_a_fault(app, method, path):
    check(app, method, path, b"{}")


def test_a_run_that_takes_too_long_is_a_gateway_timeout(shared_server, app):
    hurried = RestApp(shared_server._inference, shared_server._manager, RestOptions(timeout_seconds=0.1), lambda: "")
    body = b'{"signature_name": "slow", "instances": [2147483647]}'
    status, _, content = answer(hurried, "POST", "/v1/models/adder:predict", body)
    assert (status, json.loads(content)) == (504, {"error": "Timed out waiting for notification"})


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("INVALID_ARGUMENT", 400), ("FAILED_PRECONDITION", 400), ("OUT_OF_RANGE", 400), ("NOT_FOUND", 404),
        ("ABORTED", 409), ("RESOURCE_EXHAUSTED", 429), ("CANCELLED", 499), ("INTERNAL", 500), ("UNKNOWN", 500),
        ("UNIMPLEMENTED", 501), ("UNAVAILABLE", 503), ("DEADLINE_EXCEEDED", 504),
    ],
)  # fmt: skip
def test_a_call_that_ends_with_a_code_has_its_http_status(app, monkeypatch, code, status):
    def end(*_):
        raise StatusError(grpc.StatusCode[code], "why")

    monkeypatch.setattr(app._manager, "lease", end)
    found, _, content = answer(app, "POST", "/v1/models/adder:predict", b'{"instances": [1]}')
    assert (found, json.loads(content)) == (status, {"error": "why"})


def test_cors_headers_are_sent_where_they_are_wanted(shared_server, app):
    options = RestOptions(sends_cors_headers=True)
    open_to_all = RestApp(shared_server._inference, shared_server._manager, options, lambda: "")
    status, headers, content = answer(open_to_all, "OPTIONS", "/v1/models/adder:predict", b"")
    assert (status, content, headers["Access-Control-Allow-Origin"]) == (200, b"", "*")
    assert "Access-Control-Allow-Origin" not in answer(app, "GET", "/v1/models/adder", b"")[1]


def test_a_body_at_the_limit_of_memory_does_not_stop_the_others(app):
    bomb = b'{"signature_name": "halve", "instances": [' + b"[],[1]," * 300_000 + b"1]}"
    assert answer(app, "POST", "/v1/models/judge:predict", bomb)[0] == 400
    good = b'{"signature_name": "halve", "instances": [1]}'
    assert answer(app, "POST", "/v1/models/judge:predict", good)[0] == 200
