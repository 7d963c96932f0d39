"""What the runner's flags say is held together, and every address is tried, before a pipeline is built."""

from __future__ import annotations

import pickle
import socket
import time
from contextlib import closing

import pytest
from apache_beam.options.pipeline_options import DirectOptions, StandardOptions

from tfrec.errors import ConfigError
from transforms.beam_options import beam_options


@pytest.fixture
def open_port():
    """A port on which something listens."""
    with closing(socket.create_server(("localhost", 0))) as server:
        yield server.getsockname()[1]


@pytest.fixture
def closed_port():
    """A port on which nothing listens: bound, so that nobody else takes it."""
    with closing(socket.socket()) as held:
        held.bind(("localhost", 0))
        yield held.getsockname()[1]


def error_of(*arguments):
    started = time.monotonic()
    with pytest.raises(ConfigError) as caught:
        beam_options(list(arguments))
    assert time.monotonic() - started < 10
    text = str(caught.value)
    assert "\n" not in text
    return text


LOOPBACK = "--environment_type=LOOPBACK"


@pytest.mark.parametrize("runner", ["PortableRunner", "portable", "FlinkRunner", "SparkRunner", "PrismRunner"])
def test_a_job_server_that_is_not_there_is_one_line(runner, closed_port):
    text = error_of(f"--runner={runner}", f"--job_endpoint=localhost:{closed_port}", LOOPBACK)
    assert text.startswith(f"--job_endpoint=localhost:{closed_port}: nothing answers (Connection refused); start the ")
    assert text.endswith("see docs/cluster.md")


def test_a_job_server_that_answers_passes(open_port):
    beam_options(["--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}", LOOPBACK])


def test_a_host_without_a_name_is_one_line():
    text = error_of("--runner=PortableRunner", "--job_endpoint=no-such-host.invalid:8099", LOOPBACK)
    assert text.startswith("--job_endpoint=no-such-host.invalid:8099: nothing answers (")


@pytest.mark.parametrize("address", ["localhost", "localhost:port", ":8099", "localhost:70000"])
def test_an_address_without_host_or_port_names_the_form(address):
    text = error_of("--runner=PortableRunner", f"--job_endpoint={address}", LOOPBACK)
    assert text == f"--job_endpoint={address}: expected HOST:PORT"


@pytest.mark.parametrize("scheme", ["", "http://"])
def test_a_flink_master_that_is_not_there_is_one_line(scheme, closed_port):
    text = error_of("--runner=FlinkRunner", f"--flink_master={scheme}localhost:{closed_port}", LOOPBACK)
    assert text.startswith(f"--flink_master={scheme}localhost:{closed_port}: nothing answers (Connection refused);")


def test_a_flink_master_that_answers_passes(open_port):
    beam_options(["--runner=FlinkRunner", f"--flink_master=localhost:{open_port}", LOOPBACK])


def test_flink_and_spark_inside_the_job_server_need_no_address():
    beam_options(["--runner=FlinkRunner"])
    beam_options(["--runner=FlinkRunner", "--flink_master=[local]"])
    beam_options(["--runner=SparkRunner"])
    beam_options(["--runner=PrismRunner"])


def test_a_spark_master_that_is_not_there_is_one_line(closed_port):
    text = error_of("--runner=SparkRunner", f"--spark_master_url=spark://localhost:{closed_port}", LOOPBACK)
    assert text.startswith(f"--spark_master_url=spark://localhost:{closed_port}: nothing answers (Connection refused)")


@pytest.mark.parametrize(("runner", "flag"), [("Flink", "--flink_job_server_jar"), ("Spark", "--spark_job_server_jar")])
def test_a_jar_that_is_not_there_is_one_line(runner, flag, tmp_path):
    text = error_of(f"--runner={runner}Runner", f"{flag}={tmp_path}/no.jar")
    assert text.startswith(f"{flag}={tmp_path}/no.jar: no such file; fetch it with Maven")


@pytest.mark.parametrize(
    "config",
    [
        "--environment_config=localhost:{}",
        '--environment_config={{"url": "localhost:{}"}}',
        "--environment_option=external_service_address=localhost:{}",
    ],
)
def test_a_worker_pool_is_tried_however_it_is_named(config, open_port, closed_port):
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}", "--environment_type=EXTERNAL"]
    beam_options([*flags, config.format(open_port)])
    text = error_of(*flags, config.format(closed_port))
    assert text == (
        f"--environment_config=localhost:{closed_port}: nothing answers (Connection refused); "
        f"start it: python -m apache_beam.runners.worker.worker_pool_main --service_port={closed_port}"
    )


def test_the_worker_pool_of_a_cluster_elsewhere_is_not_tried_from_here(open_port, closed_port):
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}", "--environment_type=EXTERNAL"]
    pool = f"--environment_config=localhost:{closed_port}"
    beam_options([*flags, pool, "--flink_master=flink.example:8081"])
    assert error_of(*flags, pool, "--flink_master=127.0.0.1:8081").startswith("--environment_config=")


def test_external_without_an_address_is_one_line(open_port):
    text = error_of("--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}", "--environment_type=EXTERNAL")
    assert text == "--environment_type=EXTERNAL: needs --environment_config=HOST:PORT of a worker pool"


def test_an_unknown_environment_names_the_nearest(open_port):
    text = error_of("--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}", "--environment_type=external")
    assert text == "--environment_type=external: unknown; did you mean 'EXTERNAL'?"


def test_beams_own_image_is_refused_because_it_has_not_this_package(open_port):
    flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{open_port}"]
    assert error_of(*flags).startswith("--environment_type: not given, and Beam's own container image has not this")
    text = error_of("--runner=FlinkRunner", f"--flink_master=localhost:{open_port}")
    assert text.startswith("--environment_type: not given")
    beam_options([*flags, "--sdk_container_image=example/image"])
    beam_options([*flags, "--environment_type=DOCKER", "--environment_config=example/image"])


def test_a_portable_runner_needs_a_job_endpoint():
    assert error_of("--runner=PortableRunner").startswith("--runner=PortableRunner: needs --job_endpoint=HOST:PORT")


@pytest.mark.parametrize("runner", [[], ["--runner=DirectRunner"]])
def test_a_job_endpoint_that_the_runner_would_ignore_is_refused(runner, open_port):
    text = error_of(*runner, f"--job_endpoint=localhost:{open_port}")
    assert text == "--job_endpoint: only a portable runner uses it; add --runner=PortableRunner"


def test_an_unknown_runner_names_the_nearest():
    assert error_of("--runner=FlikRunner") == "--runner=FlikRunner: unknown; did you mean 'FlinkRunner'?"
    beam_options(["--runner=apache_beam.runners.direct.direct_runner.DirectRunner"])


def test_hyphens_in_a_flag_are_underscores():
    assert beam_options(["--direct-num-workers=2"]).get_all_options()["direct_num_workers"] == 2


def test_a_second_name_of_a_flag_is_known():
    found = beam_options(["--worker_machine_type=n1", "--experiment=one"]).get_all_options()
    assert (found["machine_type"], found["experiments"]) == ("n1", ["one"])


def test_a_view_is_made_once_and_shows_what_any_other_sets():
    options = beam_options(["--direct_num_workers=2"])
    assert options.view_as(DirectOptions) is options.view_as(DirectOptions)
    plain = options.view_as(StandardOptions).view_as(DirectOptions)
    assert plain is not options.view_as(DirectOptions)
    plain.direct_num_workers = 3
    assert options.view_as(DirectOptions).direct_num_workers == 3
    copied = pickle.loads(pickle.dumps(options))
    copied.view_as(DirectOptions).direct_num_workers = 4
    assert (copied.get_all_options()["direct_num_workers"], plain.direct_num_workers) == (4, 3)
