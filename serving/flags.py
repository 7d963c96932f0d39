"""The server's flags: `tensorflow_model_server`'s own names, and a few more."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from serving.model_config import read_model_config_file
from serving.options import LoadOptions, ModelOptions, ServerOptions
from tfrec.command_line import ArgumentParser, at_least
from tfrec.errors import ConfigError

_EXAMPLE = """\
example: python -m serving.server --model_base_path=EXPORT/two_tower --model_name=two_tower --port=8500

Serves SavedModels over gRPC with TensorFlow Serving's protocol. The base path holds one folder per version; a
new one is picked up while the server runs, and takes over without a failed request.
"""


def parse_flags(arguments: Sequence[str]) -> ServerOptions:
    """Return the server that the flags describe. Raises ConfigError for what is not allowed."""
    flags = _parser().parse(arguments)
    return ServerOptions(
        models=_models(flags),
        host=flags.host,
        port=flags.port,
        load=LoadOptions(
            poll_wait_seconds=flags.file_system_poll_wait_seconds,
            max_num_load_retries=flags.max_num_load_retries,
            load_retry_interval_seconds=flags.load_retry_interval_micros / 1e6,
        ),
        grpc_max_threads=flags.grpc_max_threads,
        enable_serialization_as_tensor_content=flags.enable_serialization_as_tensor_content,
        drain_timeout_seconds=flags.drain_timeout_seconds,
    )


def _models(flags: argparse.Namespace) -> tuple[ModelOptions, ...]:
    if flags.model_config_file:
        return read_model_config_file(flags.model_config_file)
    if not flags.model_base_path:
        raise ConfigError("nothing to serve; pass --model_base_path=DIR, or --model_config_file=FILE")
    return (ModelOptions(flags.model_name, flags.model_base_path.absolute()),)


def _boolean(text: str) -> bool:
    values = {"true": True, "1": True, "false": False, "0": False}
    if text.lower() not in values:
        raise argparse.ArgumentTypeError(f"got {text!r}; allowed: true, false")
    return values[text.lower()]


def _parser() -> ArgumentParser:
    defaults, load = ServerOptions(models=()), LoadOptions()
    parser = ArgumentParser(prog="python -m serving.server", example=_EXAMPLE)
    add = parser.add_argument
    add(
        "--port",
        type=at_least(0, 65535),
        default=defaults.port,
        help="gRPC port; 0 takes any free one (%(default)s)",
    )
    add("--host", default=defaults.host, help="address to listen on; 0.0.0.0 for all (%(default)s)")
    add("--model_name", default="default", help="the name that requests use (%(default)s)")
    add("--model_base_path", type=Path, help="directory that holds one folder per version")
    add(
        "--model_config_file",
        type=Path,
        help="ModelServerConfig text proto: several models, version policies",
    )
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
    add(
        "--grpc_max_threads",
        type=at_least(1),
        default=defaults.grpc_max_threads,
        help="calls answered at the same time (%(default)s here: four per core)",
    )
    add(
        "--enable_serialization_as_tensor_content",
        type=_boolean,
        nargs="?",
        const=True,
        default=False,
        help="answer with raw tensor bytes instead of typed fields (false)",
    )
    add(
        "--drain_timeout_seconds",
        type=float,
        default=defaults.drain_timeout_seconds,
        help="time that running calls get to finish at the end (%(default)s)",
    )
    return parser
