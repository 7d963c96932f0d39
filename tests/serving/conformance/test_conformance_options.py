"""What flags change, against the texts of TF Serving; with embedded servers of the tests' own."""

import http.client
import json
import time
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.example import example_pb2
from tensorflow_serving.apis import classification_pb2, predict_pb2, prediction_log_pb2

import tfrec
from serving.server.__main__ import main as serve_main
from serving.server.flags import parse_flags
from serving.server.options import LoadOptions, ModelOptions, RestOptions
from serving.server.runtime.batching_options import BatchingOptions
from serving.server.runtime.runtime_options import RuntimeOptions


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


def invalid(message):
    return grpc.StatusCode.INVALID_ARGUMENT, message


def classification(model="judge"):
    request = classification_pb2.ClassificationRequest()
    request.model_spec.name = model
    example = request.input.example_list.examples.add()
    example.features.feature["x"].float_list.value.append(2)
    return request


def test_tensor_content_is_sent_only_when_asked_for(serve, add_version, stubs_of):
    models = ModelOptions("adder", add_version("adder", 1, "adder"))
    server = serve(models, enable_serialization_as_tensor_content=True)
    proto = stubs_of(server).predict(a=np.float32([1, 2]), b=np.float32([10, 20])).outputs["sum"]
    assert not proto.float_val
    assert np.array_equal(tf.make_ndarray(proto), [11, 22])


def test_the_method_name_is_checked_only_when_asked_for(serve, add_version, stubs_of, shared):
    assert shared.prediction.Classify(classification(), timeout=10).result.classifications
    server = serve(ModelOptions("judge", add_version("judge", 1, "judge")), checks_method_name=True)
    assert failure(stubs_of(server).prediction.Classify, classification(), timeout=10) == invalid(
        "Expected classification signature method_name to be tensorflow/serving/classify. "
        "Was: tensorflow/serving/predict"
    )


@pytest.fixture
def batching(serve, add_version, stubs_of):
    load = LoadOptions(runtime=RuntimeOptions(batching=BatchingOptions(max_batch_size=8)))
    return stubs_of(serve(ModelOptions("adder", add_version("adder", 1, "adder")), load=load))


def test_batched_calls_get_their_own_answers_and_texts(batching):
    def ask(i):
        a = np.arange(i % 5 + 1, dtype=np.float32)
        return tf.make_ndarray(batching.predict(a=a, b=a + i).outputs["sum"]).tolist(), (2 * a + i).tolist()

    with ThreadPoolExecutor(16) as pool:
        for found, expected in pool.map(ask, range(200)):
            assert found == expected
    nine = np.zeros(9, np.float32)
    assert failure(batching.predict, a=nine, b=nine) == invalid("Task size 9 is larger than maximum input batch size 8")
    assert failure(batching.predict, a=nine[:2], b=nine[:1]) == invalid(
        "Batching Run() input tensors must have equal 0th-dimension size"
    )
    assert failure(batching.predict, a=np.float32(1), b=np.float32(1)) == invalid(
        "Batching Run() input tensors must have at least one dimension"
    )
    # Only calls for all outputs are batched; others run alone and know no largest size.
    assert len(batching.predict(a=nine, b=nine, output_filter=["sum"]).outputs["sum"].float_val) == 9


def test_a_full_queue_and_a_long_wait_in_it_have_codes_of_their_own(serve, add_version, stubs_of):
    options = BatchingOptions(max_batch_size=1, max_enqueued_batches=1, num_batch_threads=1)
    server = serve(
        ModelOptions("adder", add_version("adder", 1, "adder")),
        load=LoadOptions(runtime=RuntimeOptions(batching=options)),
        rest=RestOptions(port=0, timeout_seconds=1),
    )
    stubs = stubs_of(server)

    def ask_slow(steps):
        connection = http.client.HTTPConnection(server.rest_target, timeout=30)
        body = {"signature_name": "slow", "instances": [steps]}
        connection.request("POST", "/v1/models/adder:predict", json.dumps(body))
        response = connection.getresponse()
        return response.status, json.loads(response.read()).get("error", "")

    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "adder", "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(np.int32([2**31 - 1])))
    with ThreadPoolExecutor(1) as pool:
        holds_the_place = stubs.prediction.Predict.future(request, timeout=4)
        time.sleep(0.5)
        waits = pool.submit(ask_slow, 1)
        time.sleep(0.5)
        code, message = failure(stubs.predict, signature="slow", steps=np.int32([1]))
        full = "The batch scheduling queue to which this task was submitted is full; currently "
        assert code is grpc.StatusCode.UNAVAILABLE
        assert message.startswith(full)
        status, message = ask_slow(1)
        assert status == 503
        assert message.startswith(full)
        assert waits.result() == (429, "Run() timeout exceeded while waiting in batching queue")
        assert holds_the_place.exception().code() is grpc.StatusCode.DEADLINE_EXCEEDED


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "multi_inference_log"])
@pytest.mark.parametrize("is_good", [True, False])
def test_warm_up_replays_all_kinds_of_requests(serve, add_version, stubs_of, kind, is_good):
    base_path = add_version("judge", 1, "judge")
    log = prediction_log_pb2.PredictionLog()
    request = getattr(log, kind).request
    if kind == "multi_inference_log":
        spec = request.tasks.add(method_name="tensorflow/serving/regress").model_spec
    else:
        spec = request.model_spec
    spec.name = "judge"
    spec.signature_name = "" if kind == "classify_log" else "regress"
    if is_good:
        request.input.example_list.examples.append(example_pb2.Example())
    path = base_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        writer.write(log.SerializeToString())
    models, load = ModelOptions("judge", base_path), LoadOptions(max_num_load_retries=0)
    if is_good:
        assert stubs_of(serve(models, load=load)).prediction.Classify(classification(), timeout=10)
        return
    with pytest.raises(Exception, match=r"Input is empty\."):
        serve(models, load=load)
    without = LoadOptions(max_num_load_retries=0, warms_up=False)
    assert stubs_of(serve(models, load=without)).prediction.Classify(classification(), timeout=10)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--batching_parameters_file=/x"], "You supplied --batching_parameters_file without --enable_batching"),
        (["--enable_batching", "--batching_parameters_file=/nowhere"], "can't read /nowhere"),
        (["--port=8500", "--rest_api_port=8500"], "--rest_api_port=8500 is --port too"),
        (["--grpc_channel_arguments=grpc.x"], "got 'grpc.x'; expected name=value"),
        (["--ssl_config_file=/nowhere"], "--ssl_config_file: can't read /nowhere"),
        (["--monitoring_config_file=/nowhere"], "--monitoring_config_file: can't read /nowhere"),
        (["--enable_batching=maybe"], "got 'maybe'; allowed: true, false"),
    ],
)
def test_flags_that_do_not_fit_are_one_line(capsys, tmp_path, flags, message):
    assert serve_main([f"--model_base_path={tmp_path}", *flags]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_metrics_without_a_port_to_serve_them_are_an_error(capsys, tmp_path):
    path = tmp_path / "monitoring.config"
    path.write_text("prometheus_config { enable: true }")
    assert serve_main([f"--model_base_path={tmp_path}", f"--monitoring_config_file={path}"]) == 2
    assert "needs --rest_api_port" in capsys.readouterr().err


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as caught:
        serve_main(["--version"])
    assert caught.value.code == 0
    assert capsys.readouterr().out == f"tfrec {tfrec.__version__}\n"


def test_a_command_line_of_tensorflow_model_server_is_understood(tmp_path):
    options = parse_flags(
        [
            *("--port=9000", "--rest_api_port=9001", f"--model_base_path={tmp_path}", "--model_name=two_tower"),
            *("--enable_batching=true", "--tensorflow_session_parallelism=3", "--grpc_socket_path=/tmp/s"),
            *("--rest_api_num_threads=5", "--rest_api_timeout_in_ms=1500", "--rest_api_enable_cors_support"),
            *("--grpc_channel_arguments=grpc.max_connection_age_ms=2000,grpc.x=y", "--num_load_threads=2"),
            *("--saved_model_tags=serve,gpu", "--enable_model_warmup=false", "--flush_filesystem_caches=true"),
            *("--num_request_iterations_for_warmup=2", "--enable_profiler=false", "--xla_cpu_compilation_enabled=true"),
            *("--force_allow_any_version_labels_for_unavailable_models", "--num_tflite_pools=1"),
            *("--allow_version_labels_for_unavailable_models=true", "--enable_grpc_healthcheck_service=true"),
        ]
    )
    runtime = options.load.runtime
    assert runtime.tags == ("serve", "gpu")
    assert (runtime.inter_op_parallelism_threads, runtime.intra_op_parallelism_threads) == (3, 3)
    assert runtime.batching == BatchingOptions()
    assert (options.load.warms_up, options.load.num_warm_up_iterations) == (False, 2)
    assert (options.load.allows_early_labels, options.load.allows_any_labels) == (True, True)
    assert (options.rest.port, options.rest.num_threads, options.rest.timeout_seconds) == (9001, 5, 1.5)
    assert options.rest.sends_cors_headers
    assert options.grpc.channel_arguments == (("grpc.max_connection_age_ms", 2000), ("grpc.x", "y"))
    assert options.grpc.has_health_service
    assert options.grpc.max_threads >= 32
    assert str(options.grpc.socket_path) == "/tmp/s"
