"""The server's flags: `tensorflow_model_server`'s own names, and a few more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from serving.server.file_flags import read_monitoring_path, read_tls
from serving.server.models.config_file import read_model_config_file
from serving.server.options import GrpcOptions, LoadOptions, ModelOptions, RestOptions, ServerOptions, WorkerOptions
from serving.server.parser import BATCHED_THREADS, make_parser
from serving.server.runtime.batching_options import BatchingOptions, read_batching_parameters
from serving.server.runtime.runtime_options import RuntimeOptions
from tfrec.errors import ConfigError


def parse_flags(arguments: Sequence[str]) -> ServerOptions:
    """Return the server that the flags describe. Raises ConfigError for what is not allowed."""
    return options_of(make_parser().parse(arguments))


def options_of(flags: argparse.Namespace) -> ServerOptions:
    """Return the server that parsed flags describe. Raises ConfigError for what is not allowed."""
    if flags.rest_api_port and flags.rest_api_port == flags.port:
        raise ConfigError(f"--rest_api_port={flags.rest_api_port} is --port too; choose another")
    return ServerOptions(
        models=_models(flags),
        host=flags.host,
        port=flags.port,
        config_file=flags.model_config_file,
        config_poll_seconds=flags.model_config_file_poll_wait_seconds,
        load=_load(flags),
        grpc=GrpcOptions(
            max_threads=_grpc_threads(flags),
            num_threads=GrpcOptions().max_threads if flags.enable_batching else 0,
            socket_path=flags.grpc_socket_path,
            tls=read_tls(flags.ssl_config_file) if flags.ssl_config_file else None,
            has_health_service=flags.enable_grpc_healthcheck_service,
            channel_arguments=_channel_arguments(flags.grpc_channel_arguments),
        ),
        rest=_rest(flags),
        max_request_bytes=flags.max_request_bytes,
        enable_serialization_as_tensor_content=flags.enable_serialization_as_tensor_content,
        checks_method_name=flags.enable_signature_method_name_check,
        drain_timeout_seconds=flags.drain_timeout_seconds,
        worker=WorkerOptions(flags.worker_directory, flags.worker_number) if flags.worker_directory else None,
    )


def _models(flags: argparse.Namespace) -> tuple[ModelOptions, ...]:
    if flags.model_config_file:
        return read_model_config_file(flags.model_config_file)
    if not flags.model_base_path:
        raise ConfigError("nothing to serve; pass --model_base_path=DIR, or --model_config_file=FILE")
    return (ModelOptions(flags.model_name, flags.model_base_path.absolute()),)


def _load(flags: argparse.Namespace) -> LoadOptions:
    both = flags.tensorflow_session_parallelism
    return LoadOptions(
        poll_wait_seconds=flags.file_system_poll_wait_seconds,
        max_num_load_retries=flags.max_num_load_retries,
        load_retry_interval_seconds=flags.load_retry_interval_micros / 1e6,
        warms_up=flags.enable_model_warmup,
        num_warm_up_iterations=max(1, flags.num_request_iterations_for_warmup),
        allows_early_labels=flags.allow_version_labels_for_unavailable_models,
        allows_any_labels=flags.force_allow_any_version_labels_for_unavailable_models,
        runtime=RuntimeOptions(
            tags=tuple(tag for tag in flags.saved_model_tags.split(",") if tag),
            inter_op_parallelism_threads=both or flags.tensorflow_inter_op_parallelism,
            intra_op_parallelism_threads=both or flags.tensorflow_intra_op_parallelism,
            batching=_batching(flags),
        ),
    )


def _batching(flags: argparse.Namespace) -> BatchingOptions | None:
    if flags.enable_batching:
        path = flags.batching_parameters_file
        return read_batching_parameters(path) if path else BatchingOptions()
    if flags.batching_parameters_file:
        raise ConfigError("You supplied --batching_parameters_file without --enable_batching")
    return None


def _rest(flags: argparse.Namespace) -> RestOptions | None:
    path = read_monitoring_path(flags.monitoring_config_file) if flags.monitoring_config_file else None
    if not flags.rest_api_port:
        if path:
            raise ConfigError("--monitoring_config_file needs --rest_api_port: the metrics are served there")
        return None
    return RestOptions(
        port=flags.rest_api_port,
        num_threads=flags.rest_api_num_threads,
        timeout_seconds=flags.rest_api_timeout_in_ms / 1000,
        sends_cors_headers=flags.rest_api_enable_cors_support,
        metrics_path=path,
    )


def _grpc_threads(flags: argparse.Namespace) -> int:
    threads = GrpcOptions().max_threads
    return flags.grpc_max_threads or (max(threads, BATCHED_THREADS) if flags.enable_batching else threads)


def _channel_arguments(text: str) -> tuple[tuple[str, int | str], ...]:
    """Return `name=value,…` as pairs; whole numbers are passed as such."""
    pairs: list[tuple[str, int | str]] = []
    for argument in filter(None, text.split(",")):
        name, equals, value = argument.partition("=")
        if not name or not equals:
            raise ConfigError(f"--grpc_channel_arguments: got {argument!r}; expected name=value,name=value")
        pairs.append((name, int(value) if value.lstrip("-").isdecimal() else value))
    return tuple(pairs)
