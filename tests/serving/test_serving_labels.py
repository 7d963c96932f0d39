"""Labels of versions, and a configuration file that changes while the server runs."""

import dataclasses
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, predict_pb2

from serving.server.models.policies import AllVersions
from serving.server.options import LoadOptions, ModelOptions
from serving.server.status import StatusError
from tests.serving.conftest import FAST

EARLY = LoadOptions(poll_wait_seconds=0.05, max_num_load_retries=0, allows_early_labels=True)
NOT_AVAILABLE = "Request to assign label to version {} of model adder, which is not currently available for inference"


def sum_of(stubs, label):
    request = predict_pb2.PredictRequest()
    request.model_spec.name, request.model_spec.version_label = "adder", label
    request.inputs["a"].CopyFrom(tf.make_tensor_proto(np.float32([1])))
    return stubs.prediction.Predict(request, timeout=10).outputs["sum"].float_val[0]


def reload_labels(stubs, base_path, **labels):
    request = model_management_pb2.ReloadConfigRequest()
    config = request.config.model_config_list.config.add(name="adder", base_path=str(base_path))
    config.model_version_policy.all.SetInParent()
    for label, version in labels.items():
        config.version_labels[label] = version
    return stubs.models.HandleReloadConfigRequest(request, timeout=20)


def failure(call, *arguments, **options):
    with pytest.raises(grpc.RpcError) as caught:
        call(*arguments, **options)
    return caught.value.code(), caught.value.details()


@pytest.fixture
def two_versions(add_version):
    add_version("adder", 1, "adder")
    return add_version("adder", 2, "adder_plus_100")


def test_labels_move_between_available_versions(serve, two_versions, stubs_of):
    stubs = stubs_of(serve(ModelOptions("adder", two_versions, AllVersions())))
    reload_labels(stubs, two_versions, stable=1, canary=2)
    assert (sum_of(stubs, "stable"), sum_of(stubs, "canary")) == (6, 106)
    reload_labels(stubs, two_versions, stable=2)
    assert sum_of(stubs, "stable") == 106
    unknown = grpc.StatusCode.INVALID_ARGUMENT, "Unrecognized servable version label: canary"
    assert failure(sum_of, stubs, "canary") == unknown
    status = get_model_status_pb2.GetModelStatusRequest()
    status.model_spec.name, status.model_spec.version_label = "adder", "stable"
    assert [entry.version for entry in stubs.models.GetModelStatus(status).model_version_status] == [2]


def test_a_label_for_a_version_that_is_not_available_changes_nothing(serve, two_versions, stubs_of):
    stubs = stubs_of(serve(ModelOptions("adder", two_versions, AllVersions())))
    reload_labels(stubs, two_versions, stable=1)
    expected = grpc.StatusCode.FAILED_PRECONDITION, NOT_AVAILABLE.format(9)
    assert failure(reload_labels, stubs, two_versions, stable=2, canary=9) == expected
    assert sum_of(stubs, "stable") == 6


def test_labels_at_the_start_must_be_allowed(serve, two_versions, stubs_of):
    labelled = ModelOptions("adder", two_versions, AllVersions(), (("stable", 1),))
    with pytest.raises(StatusError) as caught:
        serve(labelled)
    assert caught.value.message == NOT_AVAILABLE.format(1)
    assert sum_of(stubs_of(serve(labelled, load=EARLY)), "stable") == 6


def test_an_allowed_early_label_does_not_leave_a_version_that_it_names(serve, two_versions, stubs_of):
    stubs = stubs_of(serve(ModelOptions("adder", two_versions, AllVersions(), (("stable", 1),)), load=EARLY))
    expected = grpc.StatusCode.FAILED_PRECONDITION, NOT_AVAILABLE.format(9)
    assert failure(reload_labels, stubs, two_versions, stable=9) == expected
    reload_labels(stubs, two_versions, stable=1, next=9)
    assert failure(sum_of, stubs, "next") == (
        grpc.StatusCode.NOT_FOUND,
        "Servable not found for request: Specific(adder, 9)",
    )


def test_any_label_may_be_forced_on_a_version_that_is_not_there(serve, two_versions, stubs_of):
    load = dataclasses.replace(FAST, allows_any_labels=True)
    stubs = stubs_of(serve(ModelOptions("adder", two_versions, AllVersions()), load=load))
    reload_labels(stubs, two_versions, stable=1)
    reload_labels(stubs, two_versions, stable=9)
    expected = grpc.StatusCode.NOT_FOUND, "Servable not found for request: Specific(adder, 9)"
    assert failure(sum_of, stubs, "stable") == expected


def test_a_changed_file_changes_the_models_and_a_broken_one_nothing(serve, add_version, stubs_of, eventually, tmp_path):
    first, second = add_version("adder", 1, "adder"), add_version("other", 1, "adder_plus_100")

    def config(**base_paths):
        entries = [f'config {{ name: "{name}" base_path: "{path}" }}' for name, path in base_paths.items()]
        return f"model_config_list {{ {' '.join(entries)} }}"

    path = tmp_path / "models.config"
    path.write_text(config(adder=first))
    stubs = stubs_of(serve(config_file=path, config_poll_seconds=0.05, load=FAST))
    assert stubs.sum(1.0) == (1.0, 1)

    def is_served(name):
        try:
            return bool(stubs.sum(1.0, model=name))
        except grpc.RpcError:
            return False

    path.write_text(config(adder=first, other=second))
    eventually(lambda: is_served("other"))
    for broken in ("model_config_list { no }", config(adder="relative"), config(adder=tmp_path / "gone"), ""):
        path.write_text(broken)
        time.sleep(0.2)
        assert is_served("adder")
    path.write_text(config(other=second))
    eventually(lambda: not is_served("adder") and is_served("other"))
