"""Predict's answers and errors, against the texts of TF Serving."""

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import predict_pb2

A = np.float32([1, 2])
B = np.float32([10, 20])


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


def invalid(message):
    return grpc.StatusCode.INVALID_ARGUMENT, message


def test_an_answer_has_all_outputs_in_typed_fields_and_the_resolved_model_spec(shared):
    response = shared.predict(a=A, b=B)
    assert list(response.outputs["sum"].float_val) == [111, 122]
    assert list(response.outputs["difference"].float_val) == [-9, -18]
    assert response.outputs["sum"].tensor_content == b""
    assert response.model_spec.name == "adder"
    assert response.model_spec.signature_name == "serving_default"
    assert response.model_spec.version.value == 7
    assert not response.model_spec.version_label


def test_an_older_version_answers_when_it_is_asked_for_by_number(shared):
    assert shared.sum(1.0, version=3) == (1.0, 3)
    assert shared.sum(1.0, version=7) == (101.0, 7)


def test_a_missing_input_takes_the_default_of_the_signature(shared):
    assert list(shared.predict(a=A).outputs["sum"].float_val) == [106, 107]


def test_output_filter_names_the_outputs(shared):
    assert set(shared.predict(a=A, output_filter=["difference"]).outputs) == {"difference"}


def test_unknown_and_repeated_filter_names_are_errors(shared):
    assert failure(shared.predict, a=A, output_filter=["y"]) == invalid(
        "output tensor alias not found in signature: y Outputs expected to be in the set {difference,sum}."
    )
    assert failure(shared.predict, a=A, output_filter=["sum", "sum"]) == invalid("duplicate output tensor alias: sum")


def test_a_request_without_a_model_is_an_error(shared):
    assert failure(shared.prediction.Predict, predict_pb2.PredictRequest()) == invalid("Missing ModelSpec")
    assert failure(shared.predict, model="") == invalid("ModelSpec has no name specified.")


def test_unknown_models_versions_and_labels_are_errors(shared):
    not_found = grpc.StatusCode.NOT_FOUND
    assert failure(shared.predict, model="m") == (
        not_found,
        "Servable not found for request: Latest(m)",
    )
    assert failure(shared.predict, version=8) == (
        not_found,
        "Servable not found for request: Specific(adder, 8)",
    )
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "adder", "x"
    assert failure(shared.prediction.Predict, request) == invalid("Unrecognized servable version label: x")


def test_an_unknown_signature_is_a_failed_precondition(shared):
    assert failure(shared.predict, signature="x") == (
        grpc.StatusCode.FAILED_PRECONDITION,
        'Serving signature key "x" not found.',
    )


def test_too_few_inputs_are_an_error_where_there_are_no_defaults(shared):
    assert failure(shared.predict, signature="add_both", a=A) == invalid(
        "input size does not match signature: 1!=2 len({a}) != len({a,b}). Sent extra: {}. Missing but required: {b}."
    )


def test_too_many_inputs_are_an_error(shared):
    assert failure(shared.predict, a=A, b=B, c=B) == invalid(
        "input size does not match signature: 3!=2 len({a,b,c}) != len({a,b}). "
        "Sent extra: {c}. Missing but required: {}."
    )


def test_a_missing_input_without_a_default_is_an_error(shared):
    assert failure(shared.predict, b=B) == invalid(
        "Signature input alias: a(feed name: serving_default_a:0) not found in request and no default value "
        "provided. Inputs expected to be in the request {b}, or default input alias set: b"
    )


def test_an_unknown_input_name_in_place_of_an_optional_one_is_an_error(shared):
    assert failure(shared.predict, a=A, c=B) == invalid(
        "Inputs contains invalid name. Used request inputs: a, request input: a,c"
    )


def test_a_tensor_that_does_not_hold_its_shape_is_an_error(shared):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = "adder"
    request.inputs["a"].CopyFrom(tf.make_tensor_proto(A))
    request.inputs["a"].tensor_content = b"123"
    assert failure(shared.prediction.Predict, request) == invalid("tensor parsing error: a")


def test_a_wrong_dtype_is_refused_and_not_cast(shared):
    code, message = failure(shared.predict, a=np.int32([1, 2]), b=B)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message in (
        "Expects arg[0] to be float but int32 is provided",
        "Expects arg[1] to be float but int32 is provided",
    )


def test_shapes_are_the_graphs_own_matter(shared):
    response = shared.predict(a=A.reshape(2, 1), b=B)
    assert tf.make_ndarray(response.outputs["sum"]).tolist() == [[111, 121], [112, 122]]


def test_an_ops_error_keeps_its_code_and_message(shared):
    code, message = failure(shared.predict, signature="parse", text=[b"1", b"one"])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("StringToNumberOp could not correctly convert string: one")


def test_a_label_names_a_version(shared):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "adder", "stable"
    request.inputs["a"].CopyFrom(tf.make_tensor_proto(A))
    request.inputs["b"].CopyFrom(tf.make_tensor_proto(B))
    response = shared.prediction.Predict(request)
    assert list(response.outputs["sum"].float_val) == [11, 22]
    assert response.model_spec.version.value == 3
    assert not response.model_spec.version_label


def test_a_label_of_an_unknown_model_is_an_unknown_label(shared):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "m", "stable"
    assert failure(shared.prediction.Predict, request) == invalid("Unrecognized servable version label: stable")


def test_a_long_message_is_cut_at_1024_characters(shared):
    code, message = failure(shared.predict, signature="parse", text=[b"x" * 2000])
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert len(message) == 1024 + len("...TRUNCATED")
    assert message.endswith("x...TRUNCATED")


def test_text_goes_through_unchanged(shared):
    outputs = shared.predict(signature="parse", text=[b"1", b"22"], output_filter=["text", "size"]).outputs
    assert list(outputs["text"].string_val) == [b"1", b"22"]
    assert list(outputs["size"].int_val) == [1, 2]


def test_a_deadline_ends_the_call(shared):
    code, _ = failure(shared.predict, signature="slow", steps=np.int32([2**31 - 1]), timeout=0.3)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_call_without_a_deadline_is_answered(shared):
    assert shared.sum(1.0, timeout=None) == (101.0, 7)


def test_of_several_faults_the_first_in_order_is_told(shared):
    request = predict_pb2.PredictRequest(output_filter=["y", "sum", "sum"])
    request.model_spec.name, request.model_spec.signature_name = "m", "x"
    for name in "acd":
        request.inputs[name].CopyFrom(tf.make_tensor_proto(A))
    request.inputs["a"].tensor_content = b"123"

    def told():
        return failure(shared.prediction.Predict, request, timeout=10)

    assert told() == (grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)")
    request.model_spec.name = "adder"
    assert told() == (grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "x" not found.')
    request.model_spec.signature_name = ""
    assert told()[1].startswith("input size does not match signature: 3!=2")
    del request.inputs["d"]
    assert told() == invalid("tensor parsing error: a")
    request.inputs["a"].CopyFrom(tf.make_tensor_proto(A))
    assert told()[1].startswith("Inputs contains invalid name.")
    del request.inputs["c"]
    assert told()[1].startswith("output tensor alias not found in signature: y")
    del request.output_filter[0]
    assert told() == invalid("duplicate output tensor alias: sum")
    del request.output_filter[0]
    assert list(shared.prediction.Predict(request, timeout=10).outputs["sum"].float_val) == [106, 107]
