"""Versions that come, fail, take over and go, while the server runs."""

import gc
import shutil
import socket
import threading
import time
import weakref

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import (
    get_model_status_pb2,
    model_management_pb2,
    model_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from serving.server.model_server import ModelServer
from serving.server.models.manager import UnavailableError
from serving.server.models.policies import AllVersions, LatestVersions, SpecificVersions
from serving.server.options import LoadOptions, RestOptions, ServerOptions
from serving.server.runtime.servable import Servable
from tests.serving.conftest import FAST
from tests.serving.running_server import free_port
from tfrec.errors import ArtifactError


def states(stubs, model="adder", version=None):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    if version is not None:
        request.model_spec.version.value = version
    response = stubs.models.GetModelStatus(request, timeout=5)
    name = get_model_status_pb2.ModelVersionStatus.State.Name
    return {entry.version: name(entry.state) for entry in response.model_version_status}


def error_of(stubs, version, model="adder"):
    request = get_model_status_pb2.GetModelStatusRequest()
    request.model_spec.name = model
    request.model_spec.version.value = version
    (entry,) = stubs.models.GetModelStatus(request, timeout=5).model_version_status
    return entry.status.error_code, entry.status.error_message


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


def write_warmup(version_dir, *logs):
    path = version_dir / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for log in logs:
            writer.write(log.SerializeToString())


def predict_log(**inputs):
    log = prediction_log_pb2.PredictionLog()
    log.predict_log.request.model_spec.name = "adder"
    for name, value in inputs.items():
        log.predict_log.request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
    return log


def test_a_new_version_takes_over_under_load_without_a_failed_request(serve, add_version, stubs_of, model, eventually):
    server = serve(model("adder", add_version("adder", 1, "adder")))
    stubs = stubs_of(server)
    answers, failures, stop = [], [], threading.Event()

    def ask():
        while not stop.is_set():
            try:
                answers.append(stubs.sum(1.0))
            except grpc.RpcError as error:
                failures.append(error)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    eventually(lambda: len(answers) > 20)
    for number, template in ((2, "adder_plus_100"), (3, "adder"), (4, "adder_plus_100")):
        add_version("adder", number, template)
        eventually(lambda number=number: states(stubs).get(number - 1) == "END")
    stop.set()
    for thread in threads:
        thread.join()
    assert not failures
    assert {version for _, version in answers} == {1, 2, 3, 4}
    assert {answer for answer in answers if answer[1] == 2} == {(101.0, 2)}
    assert states(stubs) == {4: "AVAILABLE", 3: "END", 2: "END", 1: "END"}
    assert list(states(stubs)) == [4, 3, 2, 1]


def test_a_request_in_flight_keeps_its_version_alive(serve, add_version, stubs_of, model, eventually):
    server = serve(model("adder", add_version("adder", 1, "adder")))
    stubs = stubs_of(server)
    steps = 400_000
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "adder", "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(np.int32([steps])))
    running = stubs.prediction.Predict.future(request, timeout=60)
    time.sleep(0.1)
    add_version("adder", 2, "adder")
    eventually(lambda: states(stubs)[1] in ("UNLOADING", "END"))
    response = running.result()
    assert response.model_spec.version.value == 1
    assert list(response.outputs["count"].int_val) == [steps]
    eventually(lambda: states(stubs)[1] == "END")


def test_removing_the_newest_version_brings_the_one_before_back(serve, add_version, stubs_of, model, eventually):
    base_path = add_version("adder", 1, "adder")
    add_version("adder", 2, "adder_plus_100")
    stubs = stubs_of(serve(model("adder", base_path)))
    assert stubs.sum(1.0) == (101.0, 2)
    shutil.rmtree(base_path / "2")
    eventually(lambda: stubs.sum(1.0) == (1.0, 1))
    assert states(stubs)[2] == "END"


def test_an_unreadable_base_path_takes_no_version_away(serve, add_version, stubs_of, model):
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path)))
    base_path.rename(base_path.with_name("elsewhere"))
    time.sleep(0.3)
    assert stubs.sum(1.0) == (1.0, 1)


def test_a_failing_version_is_reported_and_harms_no_other(serve, add_version, stubs_of, model, eventually):
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path), model("other", add_version("other", 1, "adder"))))
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a graph")
    eventually(lambda: states(stubs).get(2) == "END")
    code, message = error_of(stubs, 2)
    assert code != 0
    assert "saved_model.pb" in message
    assert stubs.sum(1.0) == (1.0, 1)
    assert stubs.sum(1.0, model="other") == (1.0, 1)
    add_version("adder", 3, "adder_plus_100")
    eventually(lambda: stubs.sum(1.0) == (101.0, 3))


def test_a_failed_version_is_loaded_once_its_files_are_mended(
    serve, add_version, stubs_of, model, eventually, templates
):
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path)))
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a graph")
    eventually(lambda: states(stubs).get(2) == "END")
    shutil.copytree(templates / "adder_plus_100", base_path / "2", dirs_exist_ok=True)
    eventually(lambda: stubs.sum(1.0) == (101.0, 2))
    assert error_of(stubs, 2) == (0, "")
    time.sleep(0.3)
    assert states(stubs)[2] == "AVAILABLE"


def test_a_half_written_version_is_not_touched_before_it_is_complete(
    serve, add_version, stubs_of, model, eventually, templates
):
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path)))
    source, target = templates / "adder_plus_100", base_path / "2"
    (target / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index"):
        shutil.copy(source / name, target / name)
        time.sleep(0.2)
        assert list(states(stubs)) == [1]
    data = "variables/variables.data-00000-of-00001"
    shutil.copy(source / data, target / data)
    eventually(lambda: stubs.sum(1.0) == (101.0, 2))


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        (LatestVersions(), [3]),
        (LatestVersions(2), [3, 2]),
        (AllVersions(), [3, 2, 1]),
        (SpecificVersions(frozenset({1, 3})), [3, 1]),
    ],
)
def test_the_version_policy_chooses_what_is_served(serve, add_version, stubs_of, model, policy, expected):
    for number in (1, 2, 3):
        base_path = add_version("adder", number, "adder")
    stubs = stubs_of(serve(model("adder", base_path, policy)))
    assert states(stubs) == dict.fromkeys(expected, "AVAILABLE")
    assert list(states(stubs)) == expected


def test_one_failing_version_of_all_does_not_end_the_start(serve, add_version, stubs_of, model):
    base_path = add_version("adder", 1, "adder")
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a graph")
    stubs = stubs_of(serve(model("adder", base_path, AllVersions())))
    assert stubs.sum(1.0) == (1.0, 1)


def test_the_start_fails_when_a_model_cannot_be_loaded(serve, add_version, model, tmp_path):
    good = add_version("good", 1, "adder")
    bad = tmp_path / "bad"
    (bad / "4").mkdir(parents=True)
    (bad / "4" / "saved_model.pb").write_bytes(b"not a graph")
    with pytest.raises(
        UnavailableError,
        match=r"^1 servable\(s\) did not become available: \{\{\{name: bad version: 4\} due to error: ",
    ):
        serve(model("good", good), model("bad", bad))


def test_a_base_path_that_cannot_be_right_is_an_error_with_a_next_step(serve, add_version, model, tmp_path):
    with pytest.raises(ArtifactError, match=r"gone is not a directory.*export a model there"):
        serve(model("adder", tmp_path / "gone"))
    base_path = add_version("adder", 1, "adder")
    with pytest.raises(ArtifactError, match=f"pass the directory above its version folder: {base_path}$"):
        serve(model("adder", base_path / "1"))
    with pytest.raises(ArtifactError, match=f"holds models, not versions; pass one of them, such as {base_path}"):
        serve(model("adder", tmp_path))


def test_an_empty_base_path_that_is_looked_at_once_is_an_error(serve, model, tmp_path):
    with pytest.raises(ArtifactError, match="looks only once"):
        serve(model("adder", tmp_path), load=LoadOptions(poll_wait_seconds=0))


def test_the_start_waits_for_the_first_version_of_an_empty_base_path(serve, add_version, stubs_of, model, tmp_path):
    (tmp_path / "adder").mkdir()
    timer = threading.Timer(0.5, add_version, ("adder", 1, "adder"))
    timer.start()
    assert stubs_of(serve(model("adder", tmp_path / "adder"))).sum(1.0) == (1.0, 1)


def test_a_base_path_that_is_looked_at_once_keeps_its_version(serve, add_version, stubs_of, model):
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path), load=LoadOptions(poll_wait_seconds=0)))
    add_version("adder", 2, "adder_plus_100")
    time.sleep(0.5)
    assert stubs.sum(1.0) == (1.0, 1)


def test_a_version_that_fails_is_tried_as_often_as_told(serve, add_version, stubs_of, model, eventually, caplog):
    load = LoadOptions(poll_wait_seconds=0.05, max_num_load_retries=2, load_retry_interval_seconds=0.05)
    base_path = add_version("adder", 1, "adder")
    stubs = stubs_of(serve(model("adder", base_path), load=load))
    (base_path / "2").mkdir()
    (base_path / "2" / "saved_model.pb").write_bytes(b"not a graph")
    eventually(lambda: states(stubs).get(2) == "END")
    found = [record.message.rpartition("(")[2] for record in caplog.records if "cannot be loaded" in record.message]
    assert found == ["2 retries left)", "1 retries left)", "given up)"]


def test_ports_open_once_the_models_have_loaded_and_not_before(add_version, stubs_of, model, eventually, tmp_path):
    (tmp_path / "adder").mkdir()
    port, rest_port = free_port(), free_port()
    options = ServerOptions((model("adder", tmp_path / "adder"),), port=port, rest=RestOptions(rest_port), load=FAST)
    server = ModelServer(options)
    start = threading.Thread(target=server.start)
    start.start()
    time.sleep(0.3)
    for closed in (port, rest_port):
        with pytest.raises(OSError, match="refused"):
            socket.create_connection(("127.0.0.1", closed), timeout=5)
    add_version("adder", 1, "adder")
    start.join(timeout=60)
    assert stubs_of(server).sum(1.0) == (1.0, 1)
    socket.create_connection(("127.0.0.1", rest_port), timeout=5).close()
    server.stop(drain_timeout_seconds=0)


def test_warmup_requests_are_replayed_as_often_as_told(serve, add_version, model, monkeypatch):
    sizes = []
    run = Servable.run_signature
    monkeypatch.setattr(
        Servable,
        "run_signature",
        lambda self, name, inputs, *more: sizes.append(len(inputs["a"])) or run(self, name, inputs, *more),
    )
    base_path = add_version("adder", 1, "adder")
    write_warmup(base_path / "1", predict_log(a=np.float32([1])), predict_log(a=np.float32([1, 2])))
    serve(model("adder", base_path), load=LoadOptions(num_warm_up_iterations=3))
    assert sizes == [1, 1, 1, 2, 2, 2]


def test_more_warmup_requests_than_allowed_fail_the_version(serve, add_version, model):
    base_path = add_version("adder", 1, "adder")
    write_warmup(base_path / "1", *[predict_log(a=np.float32([1]))] * 1001)
    with pytest.raises(UnavailableError, match=r"Number of warmup records exceeds the maximum \(1000\)"):
        serve(model("adder", base_path))


def test_warmup_requests_are_replayed_before_a_version_is_available(serve, add_version, stubs_of, model):
    base_path = add_version("adder", 1, "adder")
    write_warmup(base_path / "1", predict_log(a=np.float32([1])), predict_log(a=np.float32([1, 2])))
    assert stubs_of(serve(model("adder", base_path))).sum(1.0) == (1.0, 1)


@pytest.mark.parametrize(
    ("log", "message"),
    [
        (predict_log(wrong=np.float32([1])), "Signature input alias: a"),
        (predict_log(a=np.float32([1, 2, 3]), b=np.float32([1, 2])), "Incompatible shapes"),
        (prediction_log_pb2.PredictionLog(), "Unsupported log_type for warmup"),
    ],
)
def test_a_failing_warmup_request_fails_the_version(
    serve, add_version, stubs_of, model, eventually, templates, tmp_path, log, message
):
    stubs = stubs_of(serve(model("adder", add_version("adder", 1, "adder"))))
    template = tmp_path / "templates" / "bad"
    shutil.copytree(templates / "adder", template)
    write_warmup(template, log)
    add_version("adder", 2, template)
    eventually(lambda: states(stubs).get(2) == "END")
    assert message in error_of(stubs, 2)[1]
    assert stubs.sum(1.0) == (1.0, 1)


def test_a_torn_warmup_file_fails_the_version(serve, add_version, stubs_of, model):
    base_path = add_version("adder", 1, "adder")
    write_warmup(base_path / "1", predict_log(a=np.float32([1])))
    path = base_path / "1" / "assets.extra" / "tf_serving_warmup_requests"
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(UnavailableError, match="DATA_LOSS"):
        serve(model("adder", base_path))


def reload_config(stubs, **base_paths):
    request = model_management_pb2.ReloadConfigRequest()
    for name, base_path in base_paths.items():
        request.config.model_config_list.config.add(name=name, base_path=str(base_path))
    return stubs.models.HandleReloadConfigRequest(request, timeout=20)


def test_a_reload_request_changes_the_models(serve, add_version, stubs_of, model, eventually):
    first, second = add_version("first", 1, "adder"), add_version("second", 5, "adder_plus_100")
    stubs = stubs_of(serve(model("first", first)))
    assert reload_config(stubs, second=second).status.error_code == 0
    assert stubs.sum(1.0, model="second") == (101.0, 5)
    assert failure(stubs.sum, 1.0, model="first")[0] is grpc.StatusCode.NOT_FOUND
    eventually(lambda: states(stubs, "first") == {1: "END"})
    reload_config(stubs, first=first, second=second)
    assert stubs.sum(1.0, model="first") == (1.0, 1)
    assert states(stubs, "first") == {1: "AVAILABLE"}


def test_a_wrong_reload_request_changes_nothing(serve, add_version, stubs_of, model):
    stubs = stubs_of(serve(model("adder", add_version("adder", 1, "adder"))))
    assert failure(reload_config, stubs, adder="relative/path") == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Expected model adder to have an absolute path or URI; got base_path()=relative/path",
    )
    request = model_management_pb2.ReloadConfigRequest()
    for _ in range(2):
        request.config.model_config_list.config.add(name="twice", base_path="/models")
    assert failure(stubs.models.HandleReloadConfigRequest, request) == (
        grpc.StatusCode.INVALID_ARGUMENT,
        "Illegal to list model twice multiple times in config list",
    )
    assert stubs.sum(1.0) == (1.0, 1)


def test_a_reload_that_waits_for_a_model_ends_with_its_call(serve, add_version, stubs_of, model, tmp_path):
    stubs = stubs_of(serve(model("adder", add_version("adder", 1, "adder"))))
    (tmp_path / "empty").mkdir()
    request = model_management_pb2.ReloadConfigRequest()
    request.config.model_config_list.config.add(name="adder", base_path=str(tmp_path / "adder"))
    request.config.model_config_list.config.add(name="empty", base_path=str(tmp_path / "empty"))
    code, _ = failure(stubs.models.HandleReloadConfigRequest, request, timeout=0.3)
    assert code is grpc.StatusCode.DEADLINE_EXCEEDED
    reload_config(stubs, adder=tmp_path / "adder")
    assert "is not a directory" in failure(reload_config, stubs, gone=tmp_path / "gone")[1]
    assert stubs.sum(1.0) == (1.0, 1)


def test_a_call_that_outlasts_the_drain_time_is_ended(serve, add_version, stubs_of, model):
    server = serve(model("adder", add_version("adder", 1, "adder")))
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.signature_name = "adder", "slow"
    request.inputs["steps"].CopyFrom(tf.make_tensor_proto(np.int32([2**31 - 1])))
    running = stubs_of(server).prediction.Predict.future(request)
    time.sleep(0.3)
    start_seconds = time.monotonic()
    server.stop(drain_timeout_seconds=0.2)
    assert running.exception(timeout=10) is not None
    assert time.monotonic() - start_seconds < 5


def test_an_unloaded_version_leaves_no_session_behind(serve, add_version, stubs_of, model, eventually):
    base_path = add_version("adder", 1, "adder")
    server = serve(model("adder", base_path))
    stubs = stubs_of(server)
    stubs.sum(1.0)
    with server._manager.lease(model_pb2.ModelSpec(name="adder")) as (servable, _):
        session = weakref.ref(servable._session)
    del servable
    add_version("adder", 2, "adder")
    eventually(lambda: states(stubs)[1] == "END")
    gc.collect()
    assert session() is None
