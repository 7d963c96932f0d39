"""Load of which all is known before: a server that answers when it is told to."""

import dataclasses
import math
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import pytest
from tensorflow_serving.apis import predict_pb2

from serving.loadtest.histogram import FINE_BITS
from serving.loadtest.processes import run_in_processes
from serving.loadtest.run import METHOD, run_stage
from serving.loadtest.stage import Payload, Stage

PAYLOADS = [Payload("m", b"good")]
PATIENCE_SECONDS = 60.0  # no test here is about how fast anything is


class CountingServer:
    """Answers once `opens_after` requests have come, then each after `delay` seconds; counts what comes."""

    def __init__(self, opens_after=0, delay=0.0, error=None):
        self.opens_after, self.delay, self.error = opens_after, delay, error
        self.arrived = self.under_way = self.most_under_way = 0
        self.peers = set()
        self.changed = threading.Condition()
        self.server = grpc.server(futures.ThreadPoolExecutor(256))
        handler = grpc.unary_unary_rpc_method_handler(self.answer)
        service, method = METHOD.strip("/").split("/")
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def answer(self, request, context):
        with self.changed:
            self.arrived += 1
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
            self.peers.add(context.peer())
            self.changed.notify_all()
            self.changed.wait_for(lambda: self.arrived >= self.opens_after)
        time.sleep(self.delay)
        with self.changed:
            self.under_way -= 1
        if self.error is not None and request == b"bad":
            context.abort(self.error, "told to")
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 5
        return response.SerializeToString()

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        with self.changed:
            self.opens_after = 0
            self.changed.notify_all()
        self.server.stop(0).wait()


def open_loop(target="unused", rate=100.0, **given):
    settings = {"seconds": 1.0, "warmup_seconds": 0.0, "timeout_seconds": PATIENCE_SECONDS, "arrivals": "constant"}
    return Stage(target, rate=rate, **{**settings, **given})


def test_in_open_loop_a_stall_is_met_by_everybody_who_came_during_it():
    due = list(open_loop().starts())
    # Until the last one has come nobody is answered: a generator that waits for answers would never send it.
    with CountingServer(opens_after=len(due)) as server:
        began = time.perf_counter()
        outcome = run_stage(open_loop(server.target), PAYLOADS)
        took = time.perf_counter() - began
    assert outcome.answered == len(due) == 100
    assert outcome.versions == {"m/5": len(due)}
    # From its own due time everybody waited for the last one at least, and for the end at most.
    at_least, at_most = sorted(due[-1] - one for one in due), sorted(took - one for one in due)
    for percent in (1, 25, 50, 75, 95, 100):
        found, rank = outcome.response.percentile(percent) / 1e6, percent * len(due) // 100 - 1
        assert at_least[rank] - 1e-6 <= found <= at_most[rank] * (1 + 2**-FINE_BITS) + 1e-6


def test_a_closed_loop_keeps_so_many_calls_under_way():
    delay, callers, seconds = 0.02, 4, 1.0
    asked = Stage("unused", seconds, 0.0, PATIENCE_SECONDS, concurrency=callers)
    with CountingServer(delay=delay) as server:
        began = time.perf_counter()
        outcome = run_stage(dataclasses.replace(asked, target=server.target), PAYLOADS)
        took = time.perf_counter() - began
    assert server.most_under_way == callers
    assert callers <= outcome.answered == server.arrived
    assert outcome.answered <= callers * (seconds / delay + 1)
    # Little's law: calls under way in the mean = calls a second × mean time of a call.
    assert outcome.answered / took * outcome.response.mean / 1e6 <= callers
    assert outcome.lateness.max == 0


def test_the_warm_up_is_not_counted():
    asked = open_loop(rate=50.0, warmup_seconds=0.8, seconds=0.8)
    counted = [one for one in asked.starts() if one >= 0.8]
    with CountingServer() as server:
        outcome = run_stage(dataclasses.replace(asked, target=server.target), PAYLOADS)
    assert server.arrived == len(list(asked.starts())) == 80
    assert outcome.answered == outcome.response.count == outcome.lateness.count == len(counted) == 40
    assert set(outcome.by_second) == {0}


def test_failures_are_counted_by_code_and_timeouts_by_their_time_too():
    with CountingServer(error=grpc.StatusCode.UNAVAILABLE) as server:
        half_bad = [Payload("m", b"good"), Payload("m", b"bad")]
        outcome = run_stage(open_loop(server.target), half_bad)
    assert (outcome.failures, outcome.answered) == ({"UNAVAILABLE": 50}, 50)
    assert outcome.failed_share == 0.5
    assert outcome.response.count == outcome.answered
    with CountingServer(opens_after=math.inf) as server:
        outcome = run_stage(open_loop(server.target, rate=20.0, timeout_seconds=0.2), PAYLOADS)
    assert outcome.failures == {"DEADLINE_EXCEEDED": 20}
    assert outcome.response.count == 20
    assert outcome.response.percentile(0) / 1e6 >= 0.2 * 0.99


def test_a_server_that_is_not_there_is_counted_not_raised():
    outcome = run_stage(open_loop("127.0.0.1:9", rate=20.0, seconds=0.5), PAYLOADS)
    assert set(outcome.failures) == {"UNAVAILABLE"}
    assert outcome.failed_share == 1


@pytest.mark.slow
def test_processes_share_a_stage():
    asked = open_loop(rate=60.0)
    due = [len(list(part.starts())) for part in asked.parts(2)]
    with CountingServer() as server:
        outcome = run_in_processes(dataclasses.replace(asked, target=server.target), PAYLOADS, 2)
    assert outcome.answered == server.arrived == sum(due) == 60
    assert len(server.peers) == 2
    assert outcome.seconds == asked.seconds


def test_processes_of_a_load_start_without_tensorflow():
    code = "import sys, serving.loadtest.processes; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
