"""REST: paths, rows and columns, codes and texts, against those of TF Serving."""

import base64
import http.client
import json
import math

import pytest


@pytest.fixture
def ask(shared_server):
    """Return a function that asks over HTTP, and returns the status and the parsed body."""
    connection = http.client.HTTPConnection(shared_server.rest_target, timeout=60)

    def send(method, path, body=None):
        text = json.dumps(body) if isinstance(body, dict | list) else body
        connection.request(method, path, text)
        response = connection.getresponse()
        content = response.read().decode()
        return response.status, json.loads(content) if "json" in response.headers["Content-Type"] else content

    yield send
    connection.close()


def post(ask, path, body):
    return ask("POST", f"/v1/models/{path}", body)


def error(status, message):
    return status, {"error": message}


def test_rows_come_back_as_predictions(ask):
    rows = [{"a": 1.0, "b": 10}, {"a": 2.5, "b": 20}]
    assert post(ask, "adder:predict", {"instances": rows}) == (
        200,
        {"predictions": [{"sum": 111.0, "difference": -9.0}, {"sum": 122.5, "difference": -17.5}]},
    )


def test_columns_come_back_as_outputs(ask):
    columns = {"a": [1.0, 2.5], "b": [10, 20]}
    assert post(ask, "adder:predict", {"inputs": columns}) == (
        200,
        {"outputs": {"sum": [111.0, 122.5], "difference": [-9.0, -17.5]}},
    )


def test_the_name_of_a_single_input_and_output_is_left_out(ask):
    body = {"signature_name": "halve"}
    assert post(ask, "judge:predict", {**body, "instances": [1, 3]}) == (200, {"predictions": [0.5, 1.5]})
    assert post(ask, "judge:predict", {**body, "instances": [[1, 3], [5, 7]]}) == (
        200,
        {"predictions": [[0.5, 1.5], [2.5, 3.5]]},
    )
    assert post(ask, "judge:predict", {**body, "inputs": [[1], [3]]}) == (200, {"outputs": [[0.5], [1.5]]})
    assert post(ask, "judge:predict", {**body, "inputs": 3}) == (200, {"outputs": 1.5})
    assert post(ask, "judge:predict", {**body, "instances": [[], []]}) == (200, {"predictions": [[], []]})


@pytest.mark.parametrize(
    ("place", "version"),
    [("", 7), ("/versions/3", 3), ("/versions/7", 7), ("/labels/stable", 3), ("/labels/canary", 7)],
)
def test_a_version_is_named_by_number_or_label(ask, place, version):
    expected = {3: 11.0, 7: 111.0}[version]
    status, found = post(ask, f"adder{place}:predict", {"instances": [{"a": 1, "b": 10}]})
    assert (status, found["predictions"][0]["sum"]) == (200, expected)


def test_the_path_is_read_without_regard_to_case(ask):
    assert ask("POST", "/V1/MODELS/judge:PREDICT", {"signature_name": "halve", "instances": [1]})[0] == 200
    assert ask("POST", "/v1/models/JUDGE:predict", {"instances": [1]})[0] == 404


def test_bytes_come_as_base64_and_go_so_where_the_name_ends_in_bytes(ask):
    raw = b"\x00\xff bytes"
    encoded = {"b64": base64.b64encode(raw).decode()}
    body = {"signature_name": "echo", "instances": [encoded, "text"]}
    expected = [encoded, {"b64": base64.b64encode(b"text").decode()}]
    assert post(ask, "judge:predict", body) == (200, {"predictions": expected})
    body = {"signature_name": "parse", "instances": [{"b64": base64.b64encode(b"12").decode()}]}
    assert post(ask, "adder:predict", body) == (200, {"predictions": [{"number": 12.0, "text": "12", "size": 2}]})


def test_numbers_that_are_none_are_allowed(ask):
    body = '{"signature_name": "halve", "instances": [NaN, Infinity, -Infinity, 1e30]}'
    status, found = post(ask, "judge:predict", body)
    assert status == 200
    assert math.isnan(found["predictions"][0])
    assert found["predictions"][1:] == [math.inf, -math.inf, 5e29]


def test_classify_and_regress_take_examples(ask):
    examples = [{"x": 1.5}, {"x": [2.0]}]
    assert post(ask, "judge:classify", {"examples": examples}) == (
        200,
        {"results": [[["negative", -1.5], ["positive", 1.5]], [["negative", -2.0], ["positive", 2.0]]]},
    )
    body = {"signature_name": "regress", "context": {"c": 1.0}, "examples": examples}
    assert post(ask, "judge:regress", body) == (200, {"results": [203.0, 204.0]})


def test_the_status_lists_versions_highest_first(ask):
    def entry(version):
        status = {"error_code": "OK", "error_message": ""}
        return {"version": str(version), "state": "AVAILABLE", "status": status}

    assert ask("GET", "/v1/models/adder") == (200, {"model_version_status": [entry(7), entry(3)]})
    assert ask("GET", "/v1/models/adder/versions/3") == (200, {"model_version_status": [entry(3)]})
    assert ask("GET", "/v1/models/adder/labels/stable") == (200, {"model_version_status": [entry(3)]})
    assert ask("GET", "/v1/models/m") == error(404, "Could not find any versions of model m")
    assert ask("GET", "/v1/models/adder/versions/9") == error(404, "Could not find version 9 of model adder")


def test_the_metadata_has_the_signatures(ask):
    status, found = ask("GET", "/v1/models/adder/versions/3/metadata")
    assert status == 200
    assert found["model_spec"] == {"name": "adder", "signature_name": "", "version": "3"}
    signatures = found["metadata"]["signature_def"]["signature_def"]
    assert signatures["add_both"]["inputs"]["a"]["dtype"] == "DT_FLOAT"
    assert ask("GET", "/v1/models/m/metadata") == error(404, "Servable not found for request: Latest(m)")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/adder"),
        ("POST", "/v1/models/adder:explain"),
        ("POST", "/v1/models/adder/versions/x:predict"),
        ("GET", "/v1/models/adder:predict"),
        ("PUT", "/v1/models/adder:predict"),
        ("GET", "/v1/"),
    ],
)
def test_a_path_that_is_none_of_these_is_malformed(ask, method, path):
    assert ask(method, path) == error(400, f"Malformed request: {method} {path}")


def test_other_paths_are_not_found(ask):
    assert ask("GET", "/")[0] == 404
    assert ask("POST", "/v2/models/adder:predict")[0] == 404


def test_names_and_numbers_in_the_path_are_only_names_and_numbers(ask):
    assert ask("GET", "/v1/models/..%2F..%2Fetc%2Fpasswd") == error(
        404, "Could not find any versions of model ../../etc/passwd"
    )
    assert ask("GET", "/v1/models/../../etc/passwd")[0] == 400
    huge = "9" * 30
    assert post(ask, f"adder/versions/{huge}:predict", {}) == error(
        400, f"Failed to convert version: {huge} to numeric."
    )
    assert ask("GET", "/v1/models") == error(400, "Missing model name in request.")


def test_errors_of_the_lookup_have_their_code(ask):
    body = {"instances": [1]}
    assert post(ask, "m:predict", body) == error(404, "Servable not found for request: Latest(m)")
    assert post(ask, "adder/versions/8:predict", body) == error(
        404, "Servable not found for request: Specific(adder, 8)"
    )
    assert post(ask, "adder/labels/x:predict", body) == error(400, "Unrecognized servable version label: x")
    unknown = {"signature_name": "x", "instances": [1]}
    assert post(ask, "adder:predict", unknown) == error(400, 'Serving signature name: "x" not found in signature def')
    assert post(ask, "judge:classify", {"signature_name": "x", "examples": [{"x": 1.0}]}) == error(
        400, "No signature was found with the name: x"
    )


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "JSON Parse error: The document is empty"),
        ("[1]", "JSON Value: [\n    1\n] Is not object"),
        ({"instance": [1]}, "Missing 'inputs' or 'instances' key"),
        ({"instances": 1}, "JSON Value: {\n    \"instances\": 1\n} Excepting 'instances' to be an list/array"),
        ({"instances": []}, "JSON Value: {\n    \"instances\": []\n} No values in 'instances' array"),
        (
            {"signature_name": 1, "instances": [1]},
            'JSON Value: {\n    "signature_name": 1,\n    "instances": [\n        1\n    ]\n} not formatted correctly. '
            "'signature_name' key must be a string value.",
        ),
        ({"inputs": {"a": [1]}}, "Missing named input: b in 'inputs' object."),
        (
            {"inputs": [1]},
            "inputs is a plain value/list, but expecting an object as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        (
            {"instances": [1]},
            "instances is a plain list, but expecting list of objects as multiple input tensors required as per "
            "tensorinfo_map",
        ),
        ({"instances": [{"a": 1, "b": 1}, 2]}, "Expecting object but got list at item 1 of input list"),
        (
            {"instances": [{"a": 1}]},
            "Failed to process element: 0 of 'instances' list. JSON object: {\n    \"a\": 1\n} "
            "keys must be equal to: a,b",
        ),
        (
            {"instances": [{"a": 1, "b": 1}, {"a": [1], "b": 1}]},
            "Failed to process element: 1 key: a of 'instances' list. Error: INVALID_ARGUMENT: Expecting shape [] but "
            "got: [1]",
        ),
        (
            {"instances": [{"a": "x", "b": 1}]},
            "Failed to process element: 0 key: a of 'instances' list. Error: INVALID_ARGUMENT: JSON Value: \"x\" Type: "
            "String is not of expected type: float",
        ),
        ({"inputs": {"a": [1, True], "b": [1]}}, "JSON Value: true Type: True is not of expected type: float"),
        (
            {"inputs": {"a": [16777216], "b": [1]}},
            "Cannot convert JSON value: 16777216 to float without loss of precision.",
        ),
        (
            {"inputs": {"a": [[1], [1, 2]], "b": [1]}},
            "Encountered list at unexpected size: 2 at level: 1 expected size: 1",
        ),
        ({"inputs": {"a": [1, [2]], "b": [1]}}, "Encountered list at unexpected level: 1 expected < 1"),
        (
            {"inputs": {"a": [[1], 2], "b": [1]}},
            "JSON Value: 2 found at incorrect level: 2 in the JSON DOM. Expected at level: 2",
        ),
    ],
)
def test_a_body_that_does_not_fit_is_said_in_its_words(ask, body, message):
    assert post(ask, "adder:predict", body) == error(400, message)


def test_both_kinds_of_input_at_once_are_an_error(ask):
    status, found = post(ask, "adder:predict", {"inputs": 1, "instances": [1]})
    assert status == 400
    assert "Not formatted correctly expecting only one of 'inputs' or 'instances' keys to exist" in found["error"]


def test_examples_that_do_not_fit_are_said_in_its_words(ask):
    def message(body):
        status, found = post(ask, "judge:classify", body)
        assert status == 400
        return found["error"]

    assert "key 'examples' is expected and was not found" in message({})
    assert "'examples' value is an empty array" in message({"examples": []})
    assert message({"examples": [1]}) == "Example must be JSON object but got JSON Number"
    assert message({"examples": [{"x": [1, 2.5]}]}) == "Unexpected element type in feature: x expecting type: int64"
    assert message({"examples": [{"x": None}]}) == "Feature: x has element with unexpected JSON type: Null"
    assert message({"examples": [{"x": 2**63}]}) == "Feature: x has uint64 element. Only int64 is supported."


def test_outputs_of_unequal_length_are_no_rows(ask):
    body = {"signature_name": "total", "instances": [1, 2]}
    assert post(ask, "judge:predict", body) == error(400, "Tensor name: total has no shape information ")
    assert post(ask, "judge:predict", {"signature_name": "total", "inputs": [1, 2]}) == (200, {"outputs": 3.0})


def test_a_run_that_takes_too_long_is_a_gateway_timeout(ask):
    body = {"signature_name": "slow", "instances": [2**31 - 1]}
    assert post(ask, "adder:predict", body) == error(504, "Timed out waiting for notification")
