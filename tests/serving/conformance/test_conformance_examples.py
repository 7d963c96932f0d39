"""Classify, Regress and MultiInference: answers and errors, against the texts of TF Serving."""

import grpc
import pytest
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, inference_pb2, regression_pb2

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"


def failure(call, *arguments):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, timeout=10)
    return caught.value.code(), caught.value.details()


def invalid(message):
    return grpc.StatusCode.INVALID_ARGUMENT, message


def example(**features):
    proto = example_pb2.Example()
    for name, value in features.items():
        proto.features.feature[name].float_list.value.append(value)
    return proto


def fill(request, xs, context=None, signature="", model="judge"):
    if hasattr(request, "model_spec"):
        request.model_spec.name, request.model_spec.signature_name = model, signature
    into = request.input.example_list
    if context is not None:
        into = request.input.example_list_with_context
        into.context.CopyFrom(example(c=context))
    into.examples.extend(example(x=x) for x in xs)
    return request


def classification(xs, **options):
    return fill(classification_pb2.ClassificationRequest(), xs, **options)


def regression(xs, signature="regress", **options):
    return fill(regression_pb2.RegressionRequest(), xs, signature=signature, **options)


def tasks(*wanted, xs=(1.0,), model="judge"):
    request = fill(inference_pb2.MultiInferenceRequest(), xs)
    for signature, method in wanted:
        task = request.tasks.add(method_name=method)
        task.model_spec.name, task.model_spec.signature_name = model, signature
    return request


def test_each_example_gets_a_label_and_a_score_per_class(shared):
    response = shared.prediction.Classify(classification([1.5, -2.0]), timeout=10)
    found = [[(entry.label, entry.score) for entry in row.classes] for row in response.result.classifications]
    assert found == [[("negative", -1.5), ("positive", 1.5)], [("negative", 2.0), ("positive", -2.0)]]
    spec = response.model_spec
    assert (spec.name, spec.signature_name, spec.version.value) == ("judge", "serving_default", 1)


def test_scores_alone_make_classes_without_labels(shared):
    response = shared.prediction.Classify(classification([1.5], signature="scores_alone"), timeout=10)
    (row,) = response.result.classifications
    assert [(entry.label, entry.score) for entry in row.classes] == [("", 1.5)]


def test_each_example_gets_one_number(shared):
    response = shared.prediction.Regress(regression([1.5, -2.0]), timeout=10)
    assert [entry.value for entry in response.result.regressions] == [3.0, -4.0]
    assert response.model_spec.signature_name == "regress"


def test_a_context_is_part_of_every_example(shared):
    response = shared.prediction.Regress(regression([1.0, 2.0], context=1.0), timeout=10)
    assert [entry.value for entry in response.result.regressions] == [202.0, 204.0]


def test_several_signatures_run_in_one_call(shared):
    response = shared.prediction.MultiInference(tasks(("regress", REGRESS), ("", CLASSIFY), xs=[3.0]), timeout=10)
    regressed, classified = response.results
    assert [entry.value for entry in regressed.regression_result.regressions] == [6.0]
    assert regressed.model_spec.signature_name == "regress"
    assert [entry.score for entry in classified.classification_result.classifications[0].classes] == [-3.0, 3.0]
    assert classified.model_spec.signature_name == "serving_default"
    assert {result.model_spec.version.value for result in response.results} == {1}


def test_a_request_without_a_model_is_an_error(shared):
    missing = invalid("Missing ModelSpec")
    assert failure(shared.prediction.Classify, classification_pb2.ClassificationRequest()) == missing
    assert failure(shared.prediction.Regress, regression_pb2.RegressionRequest()) == missing
    no_name = invalid("ModelSpec has no name specified.")
    assert failure(shared.prediction.MultiInference, inference_pb2.MultiInferenceRequest()) == no_name


def test_an_unknown_model_is_not_found(shared):
    expected = grpc.StatusCode.NOT_FOUND, "Servable not found for request: Latest(m)"
    assert failure(shared.prediction.Classify, classification([1.0], model="m")) == expected
    assert failure(shared.prediction.Regress, regression([1.0], model="m")) == expected
    assert failure(shared.prediction.MultiInference, tasks(("", CLASSIFY), model="m")) == expected


def test_an_unknown_signature_is_an_invalid_argument(shared):
    expected = invalid("No signature was found with the name: x")
    assert failure(shared.prediction.Classify, classification([1.0], signature="x")) == expected
    assert failure(shared.prediction.Regress, regression([1.0], signature="x")) == expected
    assert failure(shared.prediction.MultiInference, tasks(("x", CLASSIFY))) == invalid(
        "Requested signature not found in model graph: x"
    )


def test_no_examples_are_an_error(shared):
    assert failure(shared.prediction.Classify, classification([])) == invalid("Input is empty.")
    assert failure(shared.prediction.Regress, regression([])) == invalid("Input is empty.")
    assert failure(shared.prediction.Regress, regression([], context=1.0)) == invalid("Input is empty.")
    assert failure(shared.prediction.MultiInference, tasks(("", CLASSIFY), xs=[])) == invalid("Input is empty.")


def test_a_signature_of_another_shape_is_an_error(shared):
    two_inputs = classification([1.0], model="adder")
    assert failure(shared.prediction.Classify, two_inputs) == invalid("Expected one input Tensor.")
    assert failure(shared.prediction.Regress, regression([1.0], signature="")) == invalid("Expected one output Tensor.")
    code, message = failure(shared.prediction.Regress, regression([1.0], signature="echo"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith("No regression inputs found in SignatureDef: ")
    code, message = failure(shared.prediction.Classify, classification([1.0], signature="regress"))
    assert code is grpc.StatusCode.FAILED_PRECONDITION
    assert message.startswith(
        'Expected classification signature outputs to contain at least one of "classes" or "scores". Signature was: '
    )


def test_outputs_of_another_shape_or_type_are_an_error(shared):
    flat = failure(shared.prediction.Classify, classification([1.0, 2.0], signature="flat_scores"))
    assert flat == invalid("Expected Tensor shape: [batch_size num_classes] but got [2]")
    code, message = failure(shared.prediction.Regress, regression([1.0], signature="whole_numbers"))
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert message.startswith("Expected output Tensor of DT_FLOAT.  Got: ")


def test_tasks_that_do_not_belong_together_are_an_error(shared):
    request = tasks(("", CLASSIFY), ("regress", REGRESS))
    request.tasks[1].model_spec.name = "adder"
    assert failure(shared.prediction.MultiInference, request) == invalid(
        "All ModelSpecs in a MultiInferenceRequest must access the same model name."
    )
    twice = tasks(("", CLASSIFY), ("serving_default", CLASSIFY))
    assert failure(shared.prediction.MultiInference, twice) == invalid(
        "Duplicate evaluation of signature: serving_default"
    )
    assert failure(shared.prediction.MultiInference, tasks(("", "tensorflow/serving/predict"))) == (
        grpc.StatusCode.UNIMPLEMENTED,
        "Unsupported signature method_name: tensorflow/serving/predict",
    )


def test_an_example_that_cannot_be_parsed_is_the_graphs_own_error(shared):
    request = classification([1.0])
    request.input.example_list.examples[0].features.feature["x"].int64_list.value.append(1)
    request.input.example_list.examples[0].features.feature["x"].ClearField("float_list")
    request.input.example_list.examples[0].features.feature["x"].bytes_list.value.append(b"text")
    code, message = failure(shared.prediction.Classify, request)
    assert code is grpc.StatusCode.INVALID_ARGUMENT
    assert "Data types don't match" in message
