"""Requests as no client makes them: each is answered or refused with a reason, and the next good one is answered."""

import grpc
import pytest
import tensorflow as tf
from google.protobuf.message import DecodeError
from hypothesis import given, settings
from hypothesis import strategies as st
from tensorflow.core.framework import tensor_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, regression_pb2

from serving.server.status import status_of_exception

# The caller's faults, and what the graph says of them; never INTERNAL or UNKNOWN.
REFUSALS = {"INVALID_ARGUMENT", "FAILED_PRECONDITION", "NOT_FOUND", "UNIMPLEMENTED", "OUT_OF_RANGE"}
MODELS = {"adder": ["", "add_both", "parse", "x"], "judge": ["", "regress", "echo", "halve", "total"], "m": [""]}

sizes = st.integers(-2, 4) | st.sampled_from([2**20, 2**31, 2**62])


@st.composite
def tensors(draw):
    proto = tensor_pb2.TensorProto(dtype=draw(st.integers(0, 30) | st.sampled_from([1, 1, 1, 3, 7, 101, 107])))
    proto.tensor_shape.unknown_rank = draw(st.sampled_from([False] * 9 + [True]))
    for size in draw(st.lists(sizes, max_size=4)):
        proto.tensor_shape.dim.add(size=size)
    proto.float_val.extend(draw(st.lists(st.floats(width=32), max_size=4)))
    proto.int_val.extend(draw(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=2)))
    proto.string_val.extend(draw(st.lists(st.binary(max_size=4), max_size=3)))
    proto.tensor_content = draw(st.just(b"") | st.binary(max_size=9))
    return proto


@st.composite
def predictions(draw):
    request = predict_pb2.PredictRequest()
    request.model_spec.name = draw(st.sampled_from(list(MODELS)))
    request.model_spec.signature_name = draw(st.sampled_from(MODELS[request.model_spec.name]))
    if draw(st.booleans()) and draw(st.booleans()):
        request.model_spec.version.value = draw(st.integers(-(2**63), 2**63 - 1))
    for name in draw(st.lists(st.sampled_from(["a", "b", "x", "raw", "text", ""]), max_size=3)):
        request.inputs[name].CopyFrom(draw(tensors()))
    request.output_filter.extend(draw(st.lists(st.sampled_from(["sum", "y", ""]), max_size=2)))
    return request


@pytest.fixture(scope="module")
def inference(shared_server):
    if not hasattr(shared_server, "_inference"):
        pytest.skip("needs the embedded server")
    return shared_server._inference


def ending(call, request):
    try:
        call(request, 5.0, "GRPC")
    except Exception as error:
        return status_of_exception(error).code.name, str(error)
    return "OK", ""


def check(call, request):
    code, message = ending(call, request)
    assert code == "OK" or code in REFUSALS, f"{code}: {message} for {request}"


@settings(max_examples=200, deadline=None)
@given(message=predictions())
def test_any_prediction_is_answered_or_refused(inference, message):
    check(inference.predict, message)


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=40), place=st.integers(0, 40), good=predictions())
def test_any_bytes_are_a_message_or_none(inference, noise, place, good):
    raw = good.SerializeToString()
    damaged = raw[:place] + noise + raw[place + len(noise) :]
    for message, call in (
        (predict_pb2.PredictRequest(), inference.predict),
        (classification_pb2.ClassificationRequest(), inference.classify),
        (regression_pb2.RegressionRequest(), inference.regress),
    ):
        try:
            message.ParseFromString(damaged)
        except DecodeError:
            continue
        check(call, message)


def test_after_all_that_a_good_request_is_answered(shared):
    assert shared.sum(1.0)[0] == 101.0
    with pytest.raises(grpc.RpcError):
        shared.predict(a=tf.constant([1]).numpy())
