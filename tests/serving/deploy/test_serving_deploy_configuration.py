"""What TensorFlow Serving reads: models, labels, batching, monitoring, flags."""

import json

import numpy as np
import pytest
import tensorflow as tf
import yaml
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format, wrappers_pb2

from tests.serving.deploy.read_deployment import manifests_of, models_of


@pytest.fixture(scope="module")
def batching_and_monitoring():
    """The two protos that the API wheel lacks, with TensorFlow Serving's fields."""
    field = descriptor_pb2.FieldDescriptorProto
    file = descriptor_pb2.FileDescriptorProto(name="server.proto", package="test", syntax="proto3")
    file.dependency.append("google/protobuf/wrappers.proto")
    batching = file.message_type.add(name="BatchingParameters")
    names = ("max_batch_size", "batch_timeout_micros", "max_enqueued_batches", "num_batch_threads")
    for number, name in enumerate(names, start=1):
        batching.field.add(
            name=name,
            number=number,
            type=field.TYPE_MESSAGE,
            type_name=".google.protobuf.Int64Value",
            label=field.LABEL_OPTIONAL,
        )
    batching.field.add(name="pad_variable_length_inputs", number=7, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    prometheus = file.message_type.add(name="PrometheusConfig")
    prometheus.field.add(name="enable", number=1, type=field.TYPE_BOOL, label=field.LABEL_OPTIONAL)
    prometheus.field.add(name="path", number=2, type=field.TYPE_STRING, label=field.LABEL_OPTIONAL)
    monitoring = file.message_type.add(name="MonitoringConfig")
    monitoring.field.add(
        name="prometheus_config",
        number=1,
        type=field.TYPE_MESSAGE,
        type_name=".test.PrometheusConfig",
        label=field.LABEL_OPTIONAL,
    )
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return [
        message_factory.GetMessageClass(pool.FindMessageTypeByName(f"test.{name}"))
        for name in ("BatchingParameters", "MonitoringConfig")
    ]


@pytest.mark.parametrize(
    ("there", "stable", "canary"),
    [(["1"], 1, 1), (["1", "2"], 1, 2), (["00000003", "9", "10"], 9, 10)],
)
def test_the_newest_version_is_the_canary_and_the_one_before_it_stable(deploy, make_job, there, stable, canary):
    model = models_of(deploy(job=make_job(versions=there)))["two_tower"]
    assert dict(model.version_labels) == {"stable": stable, "canary": canary}
    assert sorted(model.model_version_policy.specific.versions) == sorted({stable, canary})
    assert (model.base_path, model.model_platform) == ("/models/two_tower", "tensorflow")


def test_versions_are_chosen_by_flags(deploy, make_job):
    job = make_job(versions=["1", "2", "3"])
    for flags, expected in (
        (["--stable", "two_tower=1"], {"stable": 1, "canary": 3}),
        (["--stable", "two_tower=3"], {"stable": 3, "canary": 3}),
        (["--stable", "two_tower=3", "--canary", "two_tower=2"], {"stable": 3, "canary": 2}),
    ):
        assert dict(models_of(deploy(*flags, job=job))["two_tower"].version_labels) == expected


def test_the_models_of_several_jobs_share_a_server(deploy, make_job):
    out = deploy("--job", str(make_job("deepfm", ["4"], "ranker")))
    assert sorted(models_of(out)) == ["deepfm", "two_tower"]
    assert {path.name for path in (out / "requests").iterdir()} == {
        "deepfm-4.json",
        "two_tower-1.json",
        "two_tower-2.json",
    }


def test_batching_and_monitoring_files_are_text_protos(deploy, batching_and_monitoring):
    out = deploy("--set", "batching.max_batch_size=32", "--set", "batching.batch_timeout_micros=500")
    batching, monitoring = (message() for message in batching_and_monitoring)
    text_format.Parse((out / "batching.config").read_text(), batching)
    assert (batching.max_batch_size.value, batching.batch_timeout_micros.value) == (32, 500)
    assert batching.pad_variable_length_inputs
    text_format.Parse((out / "monitoring.config").read_text(), monitoring)
    assert monitoring.prometheus_config.enable
    assert monitoring.prometheus_config.path == "/monitoring/prometheus/metrics"


@pytest.mark.parametrize("is_on", [False, True])
def test_the_servers_flags_name_files_that_are_there(deploy, is_on):
    out = deploy("--set", f"batching.enabled={str(is_on).lower()}")
    compose = yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]
    (container,) = manifests_of(out)["deployment.yaml"]["spec"]["template"]["spec"]["containers"]
    assert [*container["args"], "--model_config_file_poll_wait_seconds=30"] == compose["command"]
    flags = dict(flag.split("=", 1) for flag in container["args"])
    for name, value in flags.items():
        if name.endswith("_file"):
            assert value.startswith("/config/")
            assert (out / value.removeprefix("/config/")).is_file()
    assert ("--enable_batching" in flags) is ("--batching_parameters_file" in flags) is is_on
    assert flags["--allow_version_labels_for_unavailable_models"] == "true"


def test_the_request_of_a_version_has_every_input_and_is_answered(deploy, templates):
    body = json.loads((deploy() / "requests" / "two_tower-2.json").read_text())
    signature = tf.saved_model.load(str(templates / "recommender")).signatures[body["signature_name"]]
    specs = signature.structured_input_signature[1]
    assert set(body["inputs"]) == set(specs)
    tensors = {name: tf.constant(np.array(body["inputs"][name]), spec.dtype) for name, spec in specs.items()}
    assert signature(**tensors)["ids"].shape == (1, 8)
