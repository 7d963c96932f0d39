"""The conformance tests ask any server by its address: here one that runs as a process, with TF Serving's own flags."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.serving.conformance.given_server import VARIABLE
from tests.serving.running_server import free_port, running_server

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_conformance_tests_hold_for_a_server_that_is_given_by_its_address(tmp_path):
    lay_out = [sys.executable, "-m", "tests.serving.conformance.given_server", str(tmp_path)]
    subprocess.run(lay_out, cwd=ROOT, check=True, capture_output=True)
    rest_port = free_port()
    flags = ["allow_version_labels_for_unavailable_models", "enable_grpc_healthcheck_service"]
    flags += [f"model_config_file={tmp_path}/models.config", f"monitoring_config_file={tmp_path}/monitoring.config"]
    flags += [f"rest_api_port={rest_port}", "rest_api_timeout_in_ms=2000"]
    with running_server(*[f"--{flag}" for flag in flags]) as target:
        environment = os.environ | {VARIABLE: f"{target},127.0.0.1:{rest_port}"}
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/serving/conformance"]
        found = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    assert " passed" in found.stdout
    assert "skipped" not in found.stdout
