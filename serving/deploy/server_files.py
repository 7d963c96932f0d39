"""TensorFlow Serving's own files, text protos, and the flags that name them."""

from __future__ import annotations

from google.protobuf import text_format  # type: ignore[import-untyped]
from tensorflow_serving.config import model_server_config_pb2

from serving.deploy.config import GRPC_PORT, REST_PORT, BatchingConfig
from serving.deploy.plan import Plan

MODELS_CONFIG, BATCHING_CONFIG, MONITORING_CONFIG = "models.config", "batching.config", "monitoring.config"
METRICS_PATH = "/monitoring/prometheus/metrics"
MODELS_DIR, CONFIG_DIR = "/models", "/config"  # inside the containers


def models_config(plan: Plan) -> str:
    """The ModelServerConfig: exactly the labelled versions of each model."""
    config = model_server_config_pb2.ModelServerConfig()
    for model in plan.models:
        entry = config.model_config_list.config.add()
        entry.name = model.name
        entry.base_path = f"{MODELS_DIR}/{model.name}"
        entry.model_platform = "tensorflow"
        entry.model_version_policy.specific.versions.extend(model.versions)
        entry.version_labels["stable"] = model.stable
        entry.version_labels["canary"] = model.canary
    return str(text_format.MessageToString(config))


def batching_config(batching: BatchingConfig) -> str:
    """The BatchingParameters; read only where batching is on."""
    return (
        f"max_batch_size {{ value: {batching.max_batch_size} }}\n"
        f"batch_timeout_micros {{ value: {batching.batch_timeout_micros} }}\n"
        f"max_enqueued_batches {{ value: {batching.max_enqueued_batches} }}\n"
        f"num_batch_threads {{ value: {batching.num_batch_threads} }}\n"
        "pad_variable_length_inputs: true\n"
    )


def monitoring_config() -> str:
    """The MonitoringConfig: metrics for Prometheus on the REST port."""
    return f'prometheus_config {{ enable: true path: "{METRICS_PATH}" }}\n'


def server_flags(plan: Plan) -> list[str]:
    """The flags of tensorflow_model_server.

    Labels in the file at the start are of versions that are still to be loaded: without
    `--allow_version_labels_for_unavailable_models` the server would refuse them and end.
    """
    flags = [
        f"--port={GRPC_PORT}",
        f"--rest_api_port={REST_PORT}",
        f"--model_config_file={CONFIG_DIR}/{MODELS_CONFIG}",
        "--allow_version_labels_for_unavailable_models=true",
        f"--monitoring_config_file={CONFIG_DIR}/{MONITORING_CONFIG}",
        "--enable_grpc_healthcheck_service=true",
    ]
    if plan.config.batching.enabled:
        flags += ["--enable_batching=true", f"--batching_parameters_file={CONFIG_DIR}/{BATCHING_CONFIG}"]
    return flags
