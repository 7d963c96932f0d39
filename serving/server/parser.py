"""The flags' names, types, defaults and help; nothing here imports TensorFlow."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tfrec
from serving.server.options import GrpcOptions, LoadOptions, RestOptions, ServerOptions
from tfrec.command_line import ArgumentParser, at_least

_EXAMPLE = """\
example: python -m serving.server --model_base_path=EXPORT/two_tower --model_name=two_tower --port=8500

Serves SavedModels over gRPC, and with --rest_api_port over REST, as TensorFlow Serving does and with its flags. The
base path holds one folder per version; a new one is picked up while the server runs, and takes over without a failed
request.
"""
# A call that waits for its batch holds a thread: with fewer, batches stay small however many calls come.
BATCHED_THREADS = 32
# tensorflow_model_server's flags that set nothing here: a command line that works there works here.
_WITHOUT_EFFECT = (
    "enable_profiler",
    "flush_filesystem_caches",
    "num_load_threads",
    "num_tflite_interpreters_per_pool",
    "num_tflite_pools",
    "num_unload_threads",
    "per_process_gpu_memory_fraction",
    "remove_unused_fields_from_bundle_metagraph",
    "skip_initialize_tpu",
    "xla_cpu_compilation_enabled",
)

# And those that would set something which is not there, with what to do instead.
_NOT_HERE = {
    "enable_per_model_batching_parameters": "all models share --batching_parameters_file",
    "platform_config_file": "all models are SavedModels; leave it out",
    "prefer_tflite_model": "TF Lite models are not run; leave it out",
    "tensorflow_session_config_file": "set --tensorflow_intra_op_parallelism and --tensorflow_inter_op_parallelism",
    "thread_pool_factory_config_file": "set --tensorflow_inter_op_parallelism",
    "use_alts_credentials": "encrypt with --ssl_config_file",
}


def make_parser() -> ArgumentParser:
    """Return the parser of the server's command line."""
    parser = ArgumentParser(prog="python -m serving.server", example=_EXAMPLE)
    _add_models(parser)
    _add_loading(parser)
    _add_grpc(parser)
    _add_rest(parser)
    _add_running(parser)
    parser.add_argument(
        "--version", action="version", version=f"tfrec {tfrec.__version__}", help="print the version and end"
    )
    for name in _WITHOUT_EFFECT:
        parser.add_argument(f"--{name}", nargs="?", help="taken for TF Serving's sake; changes nothing here")
    for name, instead in _NOT_HERE.items():
        parser.add_argument(f"--{name}", type=_refuse(instead), nargs="?", const="true", help=argparse.SUPPRESS)
    return parser


def _add_models(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add("--model_name", default="default", help="the name that requests use (%(default)s)")
    add("--model_base_path", type=Path, help="directory that holds one folder per version")
    add("--model_config_file", type=Path, help="ModelServerConfig text proto: several models, policies, labels")
    add(
        "--model_config_file_poll_wait_seconds",
        type=float,
        default=0.0,
        help="time between two looks at that file; 0 reads it once (%(default)s)",
    )
    _add_switch(
        parser,
        "allow_version_labels_for_unavailable_models",
        "labels may name versions that are not there yet; needed for labels at the start",
    )
    _add_switch(
        parser,
        "force_allow_any_version_labels_for_unavailable_models",
        "the same, also for labels that name another version now; calls fail until the version is there",
    )


def _add_loading(parser: ArgumentParser) -> None:
    load, add = LoadOptions(), parser.add_argument
    add(
        "--file_system_poll_wait_seconds",
        type=float,
        default=load.poll_wait_seconds,
        help="time between two looks for new versions; 0 looks once, a negative value never (%(default)s)",
    )
    add(
        "--max_num_load_retries",
        type=at_least(0),
        default=load.max_num_load_retries,
        help="retries of a version that fails to load (%(default)s)",
    )
    add(
        "--load_retry_interval_micros",
        type=at_least(0),
        default=int(load.load_retry_interval_seconds * 1e6),
        help="time between two of them (%(default)s)",
    )
    add("--saved_model_tags", default="serve", help="tags of the graph to load, with commas between (%(default)s)")
    _add_switch(parser, "enable_model_warmup", "replay assets.extra/tf_serving_warmup_requests", default=True)
    add(
        "--num_request_iterations_for_warmup",
        type=at_least(0),
        default=load.num_warm_up_iterations,
        help="how often each of these requests is replayed; 0 is once too (%(default)s)",
    )


def _add_grpc(parser: ArgumentParser) -> None:
    defaults, threads, add = ServerOptions(models=()), GrpcOptions().max_threads, parser.add_argument
    add("--port", type=at_least(0, 65535), default=defaults.port, help="gRPC port; 0 takes any free one (%(default)s)")
    add("--host", default=defaults.host, help="address to listen on; 0.0.0.0 for all (%(default)s)")
    add("--grpc_socket_path", type=Path, help="listen on this Unix socket too")
    add(
        "--grpc_max_threads",
        type=at_least(1),
        help=f"calls answered at once ({threads} here: four per core; with batching at least {BATCHED_THREADS})",
    )
    add("--grpc_channel_arguments", default="", help="name=value,… for the gRPC server")
    add("--ssl_config_file", type=Path, help="SSLConfig text proto: keys and certificates as PEM")
    _add_switch(parser, "enable_grpc_healthcheck_service", "answer grpc.health.v1.Health")


def _add_rest(parser: ArgumentParser) -> None:
    rest, add = RestOptions(), parser.add_argument
    add("--rest_api_port", type=at_least(0, 65535), default=0, help="port for REST; 0 opens none (%(default)s)")
    add(
        "--rest_api_num_threads",
        type=at_least(1),
        default=rest.num_threads,
        help="REST requests answered at the same time (%(default)s here: four per core)",
    )
    add(
        "--rest_api_timeout_in_ms",
        type=at_least(1),
        default=int(rest.timeout_seconds * 1000),
        help="time that a REST request may run (%(default)s)",
    )
    _add_switch(parser, "rest_api_enable_cors_support", "send CORS headers: pages of any origin may ask")
    add(
        "--monitoring_config_file",
        type=Path,
        help="MonitoringConfig text proto: metrics on the REST port",
    )


def _add_running(parser: ArgumentParser) -> None:
    defaults, add = ServerOptions(models=()), parser.add_argument
    _add_switch(parser, "enable_batching", "run requests that wait at the same time as one")
    add("--batching_parameters_file", type=Path, help="BatchingParameters text proto")
    for name, what in (("session", "both of these"), ("intra_op", "within an op"), ("inter_op", "between ops")):
        flag = f"--tensorflow_{name}_parallelism"
        add(flag, type=at_least(0), default=0, help=f"threads {what}; 0 lets TensorFlow choose (%(default)s)")
    _add_switch(parser, "enable_serialization_as_tensor_content", "answer with raw tensor bytes, not typed fields")
    _add_switch(parser, "enable_signature_method_name_check", "hold classify and regress to signatures made for them")
    add(
        "--max_request_bytes",
        type=at_least(1, 2**31 - 1),
        default=defaults.max_request_bytes,
        help="largest request, and largest tensor in one (%(default)s)",
    )
    add(
        "--drain_timeout_seconds",
        type=float,
        default=defaults.drain_timeout_seconds,
        help="time that running calls get to finish at the end (%(default)s)",
    )
    add("--workers", type=at_least(1), default=1, help="server processes that share the ports (%(default)s)")
    # What a supervisor tells its workers.
    add("--worker_directory", type=Path, help=argparse.SUPPRESS)
    add("--worker_number", type=int, default=0, help=argparse.SUPPRESS)
    add("--supervisor_fd", type=int, default=-1, help=argparse.SUPPRESS)


def _add_switch(parser: ArgumentParser, name: str, what: str, *, default: bool = False) -> None:
    """Add a flag that is written `--name`, `--name=true` or `--name=false`."""
    text: dict[str, Any] = {"help": f"{what} ({'true' if default else 'false'})"}
    parser.add_argument(f"--{name}", type=_boolean, nargs="?", const=True, default=default, **text)


def _refuse(instead: str) -> Callable[[str], None]:
    """Take no value but false and nothing, which are TF Serving's own defaults."""

    def check(text: str) -> None:
        if text.lower() not in ("", "0", "false"):
            raise argparse.ArgumentTypeError(f"is TensorFlow Serving's alone: {instead}")

    return check


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: true, false")
    return values[text.lower()]
