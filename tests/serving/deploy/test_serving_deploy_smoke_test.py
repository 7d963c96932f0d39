"""The smoke test and the README that is written."""

import re
import subprocess

import pytest
import yaml

from tests.serving.running_server import free_port, running_server


def test_the_readme_and_the_script_name_what_is_there(deploy):
    out = deploy()
    script, readme = (out / "smoke_test.sh").read_text(), (out / "README.md").read_text()
    assert subprocess.run(["sh", "-n", out / "smoke_test.sh"], check=False).returncode == 0
    asked = re.findall(r'@"\$here/([^"]+)"', script)
    assert len(asked) == 2
    assert all((out / name).is_file() for name in asked)
    assert "{{" not in script + readme
    assert "| `two_tower` | 1 | 2 |" in readme
    assert f"--out {out} --stable two_tower=2\n" in readme
    assert "None" not in readme


def test_a_single_version_has_nothing_to_promote(deploy, make_job):
    readme = (deploy(job=make_job(versions=["1"])) / "README.md").read_text()
    assert "--stable" not in readme
    assert "becomes the canary" in readme


def test_the_smoke_test_fails_where_no_server_is(deploy):
    done = subprocess.run(
        ["sh", deploy() / "smoke_test.sh", "http://127.0.0.1:9"],
        env={"PATH": "/usr/bin:/bin", "WAIT_SECONDS": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "FAIL no server at http://127.0.0.1:9 within 0 s\n"


def smoke_test(out, rest_port):
    command = ["sh", out / "smoke_test.sh", f"http://127.0.0.1:{rest_port}"]
    environment = {"PATH": "/usr/bin:/bin", "WAIT_SECONDS": "60"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_the_smoke_test_holds_where_the_servers_flags_and_files_are_used_and_says_what_does_not(deploy, make_job):
    job = make_job()
    out = deploy("--set", "batching.enabled=true", job=job)
    config = (out / "models.config").read_text().replace("/models/", f"{job}/export/")
    (out / "models.config").write_text(config)  # the same, where no container mounts the models
    compose = yaml.safe_load((out / "compose.yaml").read_text())["services"]["model-server"]
    rest_port = free_port()
    flags = [flag.replace("/config/", f"{out}/") for flag in compose["command"] if not flag.startswith("--port=")]
    flags = [f"--rest_api_port={rest_port}" if flag.startswith("--rest_api_port=") else flag for flag in flags]
    with running_server(*flags):
        done = smoke_test(out, rest_port)
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout.splitlines() == [
            "ok   two_tower: available",
            "ok   two_tower: stable (version 1) answers",
            "ok   two_tower: canary (version 2) answers",
            "ok   metrics",
            "all 4 checks hold",
        ]
        (out / "requests" / "two_tower-2.json").write_text("{")
        done = smoke_test(out, rest_port)
    assert done.returncode == 1
    assert re.match(r"FAIL two_tower: canary \(version 2\) answers: code 400: .*\n1 of 4 checks failed\n$", done.stderr)
