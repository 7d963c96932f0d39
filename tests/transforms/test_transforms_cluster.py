"""The same records from engines in processes of their own, with workers that see none of the driver's files.

Beam's own job server always runs; Prism where Go is; Flink and Spark where a variable names the jar (docs/cluster.md).
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from apache_beam import version

from transforms.dataset_config import PRESETS
from transforms.generate import World, generate_log

ROOT = Path(__file__).resolve().parents[2]
PRISM_PACKAGE = f"github.com/apache/beam/sdks/v2/go/cmd/prism@v{version.__version__}"
PARTITION_BYTES, SHARD_BYTES = 60_000, 200_000  # several of each from a small log
NOT_REPRODUCIBLE = {"transform/saved_model.pb", "transform/fingerprint.pb"}  # TensorFlow names functions at random
# What Flink and Spark reach into, and Java from 17 on keeps shut unless told.
OPENED = (
    "lang",
    "lang.invoke",
    "lang.reflect",
    "io",
    "net",
    "nio",
    "util",
    "util.concurrent",
    "util.concurrent.atomic",
)
JVM_FLAGS = [
    *(f"--add-opens=java.base/java.{package}=ALL-UNNAMED" for package in OPENED),
    *(f"--add-opens=java.base/sun.{package}=ALL-UNNAMED" for package in ("nio.ch", "util.calendar")),
]

pytestmark = [pytest.mark.slow, pytest.mark.cluster]


@dataclass(frozen=True)
class Engine:
    """A job server: how it is started on a port, and the flags that it adds to those of every portable runner."""

    command: Callable[[int], list[str]]
    flags: tuple[str, ...] = ()


def beam_engine() -> Engine:
    module = "apache_beam.runners.portability.local_job_service_main"
    return Engine(lambda port: [sys.executable, "-m", module, f"--port={port}"])


def prism_engine() -> Engine:
    cache = Path(os.environ.get("TFREC_CACHE") or Path.home() / ".cache" / "tfrec") / f"prism-{version.__version__}"
    binary = cache / "prism"
    if not binary.exists():
        if shutil.which("go") is None:
            pytest.skip(f"Prism: no Go here to build it with, and no {binary}")
        built = subprocess.run(
            ["go", "install", PRISM_PACKAGE],
            capture_output=True,
            text=True,
            check=False,
            env=os.environ | {"GOBIN": str(cache)},
        )
        if built.returncode:
            pytest.skip(f"Prism: go install {PRISM_PACKAGE} failed: {built.stderr.strip().splitlines()[-1]}")
    return Engine(lambda port: [str(binary), f"-job_port={port}", "-serve_http=false"])


def jar_engine(name: str, *arguments: str) -> Engine:
    variable = f"TFREC_{name.upper()}_JAR"
    jar = os.environ.get(variable)
    if jar is None:
        pytest.skip(f"{name}: {variable} does not name a job server's jar; docs/cluster.md tells how to fetch it")
    if shutil.which("java") is None:
        pytest.skip(f"{name}: no java here")
    ports = ["--artifact-port=0", "--expansion-port=0"]
    return Engine(
        lambda port: [
            "java",
            *JVM_FLAGS,
            "-jar",
            jar,
            f"--job-port={port}",
            *ports,
            *arguments,
        ],
        ("--parallelism=2",),
    )


ENGINES = {
    "beam": beam_engine,
    "prism": prism_engine,
    "flink": lambda: jar_engine("flink", "--flink-master=[local]"),
    "spark": lambda: jar_engine("spark", "--spark-master-url=local[2]"),
}


def free_port() -> int:
    with closing(socket.create_server(("localhost", 0))) as server:
        port: int = server.getsockname()[1]
        return port


def environment() -> dict[str, str]:
    """With this interpreter first in PATH: the worker pool starts `python`."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return os.environ | {"PATH": path, "PYTHONPATH": str(ROOT)}


@contextmanager
def served(command: list[str], port: int, directory: Path) -> Iterator[Path]:
    """A server in an empty directory and a process group of its own; yields its log once its port answers."""
    directory.mkdir()
    log = directory.with_suffix(".log")
    with log.open("wb") as out:
        process = subprocess.Popen(
            command, cwd=directory, env=environment(), stdout=out, stderr=out, start_new_session=True
        )
    try:
        for _ in range(600):
            with closing(socket.socket()) as probe:
                if probe.connect_ex(("localhost", port)) == 0:
                    break
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            pytest.fail(f"{command[0]}: port {port} does not answer after 60 s\n{log.read_text()}")
        if process.poll() is not None:
            pytest.fail(f"{command[0]}: ended with {process.returncode} at its start\n{log.read_text()}")
        yield log
    finally:
        for sign in (signal.SIGTERM, signal.SIGKILL):  # the group: a pool's workers too
            try:
                os.killpg(process.pid, sign)
                process.wait(timeout=10)
            except (ProcessLookupError, subprocess.TimeoutExpired):
                pass


def run_transforms(driver: Path, log: Path, output: Path, *flags: str) -> subprocess.CompletedProcess:
    """`python -m transforms.run` in the driver's directory, with a config that is only there."""
    driver.mkdir()
    shutil.copy(PRESETS / "generated.yaml", driver / "dataset.yaml")
    command = [sys.executable, "-m", "transforms.run", "--config=dataset.yaml", f"--input-dir={log}"]
    command += [f"--output={output}", f"--set=partition_bytes={PARTITION_BYTES}", f"--set=shard_bytes={SHARD_BYTES}"]
    return subprocess.run(
        [*command, *flags],
        cwd=driver,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=180,
    )


def written(dataset: Path) -> dict[str, bytes]:
    files = {str(path.relative_to(dataset)): path for path in dataset.rglob("*") if path.is_file()}
    return {name: path.read_bytes() for name, path in files.items() if name not in NOT_REPRODUCIBLE}


@pytest.fixture(scope="module")
def log(tmp_path_factory):
    """A generated log."""
    directory = tmp_path_factory.mktemp("generated") / "log"
    generate_log(directory, seed=3, world=World(users=400, items=200, mean_events=25))
    assert (directory / "events.csv").stat().st_size > 3 * PARTITION_BYTES
    return directory


@pytest.fixture(scope="module")
def expected(log, tmp_path_factory):
    """What DirectRunner writes."""
    root = tmp_path_factory.mktemp("direct")
    done = run_transforms(root / "driver", log, root / "dataset")
    assert done.returncode == 0, done.stdout
    return written(root / "dataset")


@pytest.fixture(params=ENGINES)
def cluster(request, tmp_path):
    """Flags that name a running job server and a running worker pool; the logs of both."""
    engine = ENGINES[request.param]()
    job_port, pool_port = free_port(), free_port()
    pool = [sys.executable, "-m", "apache_beam.runners.worker.worker_pool_main", f"--service_port={pool_port}"]
    with ExitStack() as stack:
        logs = [
            stack.enter_context(served(engine.command(job_port), job_port, tmp_path / "job_server")),
            stack.enter_context(served(pool, pool_port, tmp_path / "workers")),
        ]
        flags = ["--runner=PortableRunner", f"--job_endpoint=localhost:{job_port}", *engine.flags]
        flags += ["--environment_type=EXTERNAL", f"--environment_config=localhost:{pool_port}"]
        yield flags, logs


def test_an_engine_of_another_process_writes_the_bytes_of_the_direct_runner(cluster, expected, log, tmp_path):
    flags, logs = cluster
    done = run_transforms(tmp_path / "driver", log, tmp_path / "dataset", *flags)
    told = "\n".join([done.stdout, *(f"== {path.name}\n{path.read_text()}" for path in logs)])
    assert done.returncode == 0, told
    found = written(tmp_path / "dataset")
    assert set(found) == set(expected)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert sum(name.startswith("train/") for name in found) > 3
    assert "Starting worker" in logs[1].read_text()  # it is the pool that worked
    assert list((tmp_path / "workers").iterdir()) == []  # and nothing went to where it stands
    assert sorted(path.name for path in (tmp_path / "driver").iterdir()) == ["dataset.yaml"]
