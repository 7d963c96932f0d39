"""Callers who take their time: they hold what they asked for, and keep nobody else out."""

import contextlib
import threading
import time

import grpc
import numpy as np
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.server.options import GrpcOptions, ModelOptions
from serving.server.rpc.turns import Turns
from tests.serving.conftest import Stubs
from tests.serving.raw_http2 import RawHttp2

NUM_SLOW = 50


def large_answer(num_floats):
    """A request of a few bytes whose answer is as large as one likes: one value fills a whole tensor."""
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "judge", "halve"
    tensor = request.inputs["x"]
    tensor.dtype = 1
    tensor.float_val.append(3)
    tensor.tensor_shape.dim.add(size=num_floats)
    return request.SerializeToString()


def halved(server):
    stubs = Stubs(server.target, [("grpc.use_local_subchannel_pool", 1)])
    try:
        return stubs.predict("judge", "halve", timeout=20, x=np.float32([3])).outputs["y"].float_val[0]
    finally:
        stubs.channel.close()


@pytest.fixture
def judge(serve, add_version):
    return lambda **options: serve(ModelOptions("judge", add_version("judge", 1, "judge")), grpc=GrpcOptions(**options))


def test_calls_whose_message_never_comes_keep_no_other_out(judge):
    server = judge(max_threads=2)
    slow = RawHttp2(server.port)
    for _ in range(NUM_SLOW):
        slow.call()
    assert halved(server) == 1.5
    slow.close()


def test_answers_that_nobody_reads_are_refused_beyond_a_limit_and_forgotten_with_their_connection(judge, eventually):
    num_floats = 250_000
    server = judge(max_unread_bytes=10 * 4 * num_floats)
    slow = RawHttp2(server.port, window_bytes=0)
    for _ in range(20):
        slow.call(large_answer(num_floats))

    stubs = Stubs(server.target)

    def refusal():
        """What a call with a large answer ends with; None where it is answered."""
        request = predict_pb2.PredictRequest.FromString(large_answer(num_floats))
        call = stubs.prediction.Predict.future(request, timeout=20)
        return call.exception()

    eventually(refusal)
    assert refusal().code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "wait for their callers to read them" in refusal().details()
    assert halved(server) == 1.5
    slow.close()
    eventually(lambda: refusal() is None)


def test_a_large_answer_goes_out_when_nothing_else_waits(judge):
    server = judge(max_unread_bytes=1000)
    stubs = Stubs(server.target)
    x = np.zeros(100_000, np.float32)
    assert len(stubs.predict("judge", "halve", x=x).outputs["y"].float_val) == len(x)


@pytest.mark.parametrize("num_turns", [1, 3])
def test_turns_are_taken_in_the_order_of_arrival_and_never_more_than_there_are(num_turns, eventually):
    turns, order, working, most = Turns(num_turns), [], [], []

    def work(number):
        with turns:
            order.append(number)
            working.append(number)
            most.append(len(working))
            time.sleep(0.001)
            working.remove(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(30)]
    with contextlib.ExitStack() as held:
        for _ in range(num_turns):
            held.enter_context(turns)
        for number, thread in enumerate(threads):
            thread.start()
            eventually(lambda number=number: len(turns._waiting) == number + 1)
    for thread in threads:
        thread.join()
    assert max(most) <= num_turns
    assert sorted(order) == list(range(30))
    if num_turns == 1:  # with more, two that begin at the same time may note it either way round
        assert order == list(range(30))


def test_a_turn_is_given_back_when_the_work_fails():
    turns = Turns(1)
    for _ in range(3):
        with pytest.raises(ValueError, match="failed"), turns:
            raise ValueError("failed")
