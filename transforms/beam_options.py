"""Flags that are Beam's: checked before a pipeline is built, with errors of one line.

A portable runner waits five minutes, without a word, for a server that is not there; so every address that this
machine will call is tried first.
"""

from __future__ import annotations

import contextlib
import io
import json
import socket
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from apache_beam.options.pipeline_options import (
    FlinkRunnerOptions,
    PipelineOptions,
    PortableOptions,
    SetupOptions,
    SparkRunnerOptions,
    StandardOptions,
    WorkerOptions,
)

from tfrec.errors import ConfigError, did_you_mean

ENVIRONMENTS = ("DOCKER", "EXTERNAL", "LOOPBACK", "PROCESS")
EMBEDDED_FLINK = ("[local]", "[auto]")
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
FLINK_REST_PORT = 8081
SECONDS = 3.0  # that a server has to answer in
GUIDE = "see docs/cluster.md"
START_JOB_SERVER = f"start the job server there, or name another; {GUIDE}"
START_FLINK = f"start the cluster, or drop the flag to run Flink inside the job server; {GUIDE}"
START_SPARK = f"start the cluster, or drop the flag to run Spark inside the job server; {GUIDE}"
START_POOL = "start it: python -m apache_beam.runners.worker.worker_pool_main --service_port={port}"

Options = TypeVar("Options", bound=PipelineOptions)


class RememberedViews(PipelineOptions):
    """Options that make each view once; Beam's parse all flags anew for the hundreds that building a pipeline asks for.

    Views share what is set, so one is as good as another of its class.
    """

    def view_as(self, cls: type[Options]) -> Options:
        views = self.__dict__.setdefault("_views", {})
        if cls not in views:
            views[cls] = super().view_as(cls)
        found: Options = views[cls]
        return found


def beam_options(arguments: list[str]) -> PipelineOptions:
    """Beam's options.

    Raises:
        ConfigError: a flag that neither this command nor Beam knows, a value that Beam does not take, or an address
            where nothing answers.

    """
    arguments = [_as_declared(argument) for argument in arguments]
    options = RememberedViews(arguments)
    known = set(PipelineOptions([]).get_all_options())
    complaint = io.StringIO()
    try:
        with contextlib.redirect_stderr(complaint):  # Beam prints all its flags before what is wrong
            unknown = set(options.get_all_options(retain_unknown_options=True)) - known
    except SystemExit:
        raise ConfigError(complaint.getvalue().strip().splitlines()[-1].partition("error: ")[2]) from None
    is_value = False  # whether this argument may belong to the flag before it
    for argument in arguments:
        flag, equals, _ = argument.partition("=")
        if not argument.startswith("--"):
            if not is_value:
                raise ConfigError(f"unexpected argument {argument!r}; every value belongs to a flag")
        elif flag.lstrip("-") in unknown:
            near = did_you_mean(flag.lstrip("-"), known)
            raise ConfigError(f"unknown flag {flag}{near if 'did you mean' in near else '; see --help'}")
        is_value = argument.startswith("--") and not equals
    options.view_as(SetupOptions).save_main_session = False
    standard = options.view_as(StandardOptions)
    if standard.runner in (None, "DirectRunner"):
        # What Beam's own DirectRunner comes to, without looking for another runner in the network first.
        standard.runner = "FnApiRunner"
    _check_engine(options)
    return options


def _as_declared(argument: str) -> str:
    """A flag with underscores: Beam drops one that is written with hyphens, with no more than a warning."""
    flag, equals, value = argument.partition("=")
    return "--" + flag[2:].replace("-", "_") + equals + value if flag.startswith("--") else argument


def _check_engine(options: PipelineOptions) -> None:
    """Hold the runner's flags together, and try the addresses that this machine calls."""
    portable = options.view_as(PortableOptions)
    runner = _runner(options.view_as(StandardOptions).runner)
    if runner not in ("portable", "flink", "spark", "prism"):
        if portable.job_endpoint:
            raise ConfigError("--job_endpoint: only a portable runner uses it; add --runner=PortableRunner")
        return
    if portable.job_endpoint:
        if portable.job_endpoint != "embed":
            _check_answers("--job_endpoint", portable.job_endpoint, START_JOB_SERVER)
    elif runner == "portable":
        raise ConfigError(f"--runner=PortableRunner: needs --job_endpoint=HOST:PORT of a job server; {GUIDE}")
    elif runner == "flink":
        _check_flink(options.view_as(FlinkRunnerOptions))
    elif runner == "spark":
        _check_spark(options.view_as(SparkRunnerOptions))
    _check_environment(options, is_loopback_the_default=_is_loopback_the_default(options, runner))


def _runner(name: str | None) -> str:
    """`flink` for FlinkRunner, in every spelling that Beam takes."""
    if name is None:
        return "direct"
    known = [*StandardOptions.KNOWN_RUNNER_NAMES]
    short = name.rpartition(".")[2].lower().removesuffix("runner")
    if "." not in name and short not in {runner.lower().removesuffix("runner") for runner in known}:
        raise ConfigError(f"--runner={name}: unknown{did_you_mean(name, known)}")
    return short


def _check_flink(flink: FlinkRunnerOptions) -> None:
    """Beam will start a job server on this machine, which calls the Flink master."""
    _check_jar("--flink_job_server_jar", flink.flink_job_server_jar)
    if flink.flink_master not in EMBEDDED_FLINK:
        _check_answers("--flink_master", flink.flink_master, START_FLINK, default_port=FLINK_REST_PORT)


def _check_spark(spark: SparkRunnerOptions) -> None:
    _check_jar("--spark_job_server_jar", spark.spark_job_server_jar)
    if spark.spark_master_url.startswith("spark://"):
        _check_answers("--spark_master_url", spark.spark_master_url, START_SPARK)


def _check_jar(flag: str, jar: str | None) -> None:
    if jar and "://" not in jar and not Path(jar).is_file():
        raise ConfigError(f"{flag}={jar}: no such file; fetch it with Maven, or give a URL; {GUIDE}")


def _is_loopback_the_default(options: PipelineOptions, runner: str) -> bool:
    """Whether Beam itself lets this process do the work where no environment is named."""
    if runner == "flink":
        return options.view_as(FlinkRunnerOptions).flink_master in EMBEDDED_FLINK
    if runner == "spark":
        return str(options.view_as(SparkRunnerOptions).spark_master_url).startswith("local")
    return runner == "prism"


def _check_environment(options: PipelineOptions, *, is_loopback_the_default: bool) -> None:
    portable = options.view_as(PortableOptions)
    kind = portable.environment_type
    has_image = portable.environment_config or portable.environment_options
    has_image = has_image or options.view_as(WorkerOptions).sdk_container_image
    if kind is None and not has_image and not is_loopback_the_default:
        raise ConfigError(
            "--environment_type: not given, and Beam's own container image has not this package; allowed: "
            f"EXTERNAL with --environment_config=HOST:PORT of a worker pool, {', '.join(ENVIRONMENTS[2:])}, "
            f"DOCKER with --environment_config=IMAGE; {GUIDE}"
        )
    if kind is not None and kind not in ENVIRONMENTS and not kind.startswith("beam:env:"):
        raise ConfigError(f"--environment_type={kind}: unknown{did_you_mean(kind.upper(), ENVIRONMENTS)}")
    if kind == "EXTERNAL":
        pool = _pool_address(portable)
        if not pool:
            raise ConfigError("--environment_type=EXTERNAL: needs --environment_config=HOST:PORT of a worker pool")
        if _calls_workers_from_here(options):
            _check_answers("--environment_config", pool, START_POOL)


def _pool_address(portable: PortableOptions) -> str | None:
    """Where the worker pool is said to listen: as HOST:PORT, as JSON, or as an option of its own."""
    config: str | None = portable.environment_config
    if config and config.lstrip().startswith("{"):
        try:
            found = json.loads(config).get("url")
        except ValueError as error:
            raise ConfigError(f"--environment_config={config}: neither HOST:PORT nor JSON ({error})") from None
        return None if found is None else str(found)
    return config or portable.lookup_environment_option("external_service_address")


def _calls_workers_from_here(options: PipelineOptions) -> bool:
    """Whether the engine is on this machine; what a cluster calls "localhost" cannot be tried from here."""
    endpoint = options.view_as(PortableOptions).job_endpoint
    flink = options.view_as(FlinkRunnerOptions).flink_master
    spark = str(options.view_as(SparkRunnerOptions).spark_master_url)
    called = []
    if endpoint and endpoint != "embed":
        called.append(_split("--job_endpoint", endpoint))
    if flink not in EMBEDDED_FLINK:
        called.append(_split("--flink_master", flink, FLINK_REST_PORT))
    if spark.startswith("spark://"):
        called.append(_split("--spark_master_url", spark))
    return all(host in LOOPBACK_HOSTS for host, _ in called)


def _split(flag: str, address: str, default_port: int | None = None) -> tuple[str, int]:
    """Host and port of an address, which may stand behind a scheme."""
    try:
        parts = urlsplit(address if "://" in address else f"//{address}")
        host, port = parts.hostname, parts.port or default_port
    except ValueError:
        host, port = None, None
    if not host or not port:
        raise ConfigError(f"{flag}={address}: expected HOST:PORT")
    return host, port


def _check_answers(flag: str, address: str, next_step: str, default_port: int | None = None) -> None:
    host, port = _split(flag, address, default_port)
    try:
        socket.create_connection((host, port), timeout=SECONDS).close()
    except OSError as error:
        why = error.strerror or str(error)
        raise ConfigError(f"{flag}={address}: nothing answers ({why}); {next_step.format(port=port)}") from None
