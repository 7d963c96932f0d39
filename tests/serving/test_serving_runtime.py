"""SavedModels below the services: deadlines, defaults, what an unloaded one leaves."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.framework import graph_pb2
from tensorflow.core.protobuf import meta_graph_pb2

from serving.server.runtime.inline_runs import RunTimes, ends_by_itself
from serving.server.runtime.runtime_options import RuntimeOptions
from serving.server.runtime.servable import Servable
from serving.server.status import StatusError

STEPS_WITHOUT_END = {"steps": np.int32([2**31 - 1])}


@pytest.fixture(scope="module")
def adder(templates):
    servable = Servable.load(templates / "adder")
    yield servable
    servable.close()


def test_a_timeout_ends_the_run(adder):
    with pytest.raises(tf.errors.DeadlineExceededError, match="Timed out waiting for notification"):
        adder.run_signature("slow", STEPS_WITHOUT_END, ["count"], timeout_seconds=0.1)


def test_only_signatures_without_loops_may_run_in_the_callers_thread(adder):
    assert set(adder._run_times) == {"serving_default", "add_both", "parse"}


def test_a_run_in_the_callers_thread_gives_what_one_in_the_pool_gives(templates):
    adder = Servable.load(templates / "adder")
    inputs = {"a": np.float32([3, 4]), "b": np.float32([1, 2])}
    times = adder._run_times["serving_default"]
    assert not times.leave_time(1e6)  # so that the first run takes the pool
    pooled = adder.run_signature("serving_default", inputs, ["sum"], timeout_seconds=60)
    assert times.leave_time(1e6)
    inline = adder.run_signature("serving_default", inputs, ["sum"], timeout_seconds=1e6)
    assert [values[0].tolist() for values in (pooled, inline)] == [[4, 6]] * 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="Expects arg"):
        adder.run_signature("add_both", {"a": np.int32([1]), "b": np.float32([1])}, ["sum"], timeout_seconds=60)
    adder.close()


def test_the_callers_thread_is_left_alone_where_the_number_of_threads_is_set(templates):
    servable = Servable.load(templates / "adder", RuntimeOptions(inter_op_parallelism_threads=2))
    assert not servable._run_times
    servable.close()


def test_a_deadline_close_to_the_slowest_run_takes_the_pool():
    times = RunTimes()
    assert not times.leave_time(1e6)  # nothing is known yet
    times.add(2.0)  # the first run, which plans the graph
    assert not times.leave_time(19)
    assert times.leave_time(20)
    for _ in range(100):
        times.add(0.01)
    assert times.leave_time(0.11)
    assert not times.leave_time(0.09)
    times.add(0.5)
    assert not times.leave_time(4.9)


@pytest.mark.parametrize(
    ("op", "is_bounded"),
    [("While", False), ("StatelessWhile", False), ("QueueDequeueV2", False), ("EagerPyFunc", False), ("MatMul", True)]
    + [("BatchMatMulV2", True), ("BatchFunction", False), ("TopKV2", True), ("ParseExampleV2", True)],
)
@pytest.mark.parametrize("depth", [0, 1, 3])
def test_an_op_that_may_not_end_is_found_in_the_graph_and_in_functions_of_functions(op, is_bounded, depth):
    graph = graph_pb2.GraphDef()
    graph.node.add(name="other", op="While")  # behind another signature
    call = graph.node.add(name="out", op="PartitionedCall" if depth else op, input=["in:0"])
    graph.node.add(name="in", op="Placeholder")
    for level in range(depth):
        call.attr["f"].func.name = f"f{level}"
        function = graph.library.function.add()
        function.signature.name = f"f{level}"
        call = function.node_def.add(name="n", op=op if level == depth - 1 else "StatefulPartitionedCall")
    definition = meta_graph_pb2.SignatureDef()
    definition.outputs["y"].name = "out:0"
    assert ends_by_itself(definition, graph) is is_bounded


def test_some_of_the_outputs_come_in_the_order_that_is_asked_for(adder):
    inputs = {"a": np.float32([3]), "b": np.float32([1])}
    values = adder.run_signature("serving_default", inputs, ["sum", "difference"])
    assert [value.tolist() for value in values] == [[4], [2]]
    assert [value.tolist() for value in adder.run_signature("serving_default", inputs, ["difference"])] == [[2]]


def test_defaults_of_the_signature_are_decoded_once(adder):
    assert adder.signatures["serving_default"].defaults["b"].tolist() == [5.0]


def test_a_graph_without_the_asked_tags_is_not_found(templates):
    with pytest.raises(StatusError, match=r"matching supplied tags: \{ serve gpu \}"):
        Servable.load(templates / "adder", RuntimeOptions(tags=("serve", "gpu")))
