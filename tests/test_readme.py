"""Every command of the README, as it stands there."""

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DATA = Path(os.environ.get("TFREC_DATA", ROOT / "../shared/data"))
README = (ROOT / "README.md").read_text()
# Commands whose run is this run, or whose data nobody may redistribute in the form that they want.
RUN_ELSEWHERE = {
    "make test": "this is it",
    "make demo DATASET=ml-1m DATA_DIR=<where ratings.dat, users.dat and movies.dat are>": "nobody has it whole",
}

pytestmark = pytest.mark.slow


def code_blocks():
    return re.findall(r"^```\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands():
    lines = [line.split("#")[0].strip() for block in code_blocks() for line in block.splitlines()]
    return [line for line in lines if line.startswith(("make ", "python ", "source ", "curl "))]


def shell(script, **environment):
    """Run a script; what it leaves running in the background, such as a server when a later line fails, is ended."""
    command = ["bash", "-euo", "pipefail", "-c", f"trap 'kill $(jobs -p) 2>/dev/null || true' EXIT\n{script}"]
    with (
        tempfile.TemporaryFile("w+") as out,
        tempfile.TemporaryFile("w+") as err,
        subprocess.Popen(
            command, cwd=ROOT, env={**os.environ, **environment}, stdout=out, stderr=err, start_new_session=True
        ) as process,
    ):
        try:
            process.wait(timeout=840)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
        out.seek(0)
        err.seek(0)
        done = subprocess.CompletedProcess(command, process.returncode, out.read(), err.read())
    assert done.returncode == 0, done.stderr[-4000:]
    return done


def free_port():
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return str(probe.getsockname()[1])


def test_every_command_has_a_test_here():
    tested = {
        command
        for command in commands()
        if command in RUN_ELSEWHERE or command.startswith(("make demo", "python -m", "source ", "curl "))
    }
    assert tested == set(commands())
    assert len(tested) >= 13


def test_the_step_by_step_block_and_the_request_over_rest_run_as_one_shell_session(tmp_path):
    block = next(block for block in code_blocks() if "trainer.task" in block and "runs/try" in block)
    (over_rest,) = (block for block in code_blocks() if block.startswith("curl "))
    port, rest_port = free_port(), free_port()
    script = (block + over_rest).replace("runs/try", str(tmp_path)).replace("8500", port).replace("8501", rest_port)
    wait = f"for i in $(seq 300); do (exec 3<>/dev/tcp/localhost/{port}) 2>/dev/null && break; sleep 0.2; done\n"
    script = re.sub(r"^(python -m serving\.recommend)", wait + r"\1", script, flags=re.MULTILINE)
    done = shell(script + "\nkill %1\nwait\n")
    assert re.search(r"│ +10 │ i\d{4} │ \w+ \w+ [IVX]+ +│ +-?\d+\.\d{4} │", done.stdout)
    assert re.search(r'"ids": \[\["i\d{4}", "i\d{4}", "i\d{4}"\]\]', done.stdout)


@pytest.mark.parametrize("command", [c for c in commands() if c.startswith("make demo") and c not in RUN_ELSEWHERE])
def test_the_demo_prints_ten_titles_from_both_models(command, tmp_path):
    data_dir = re.search(r"DATA_DIR=(\S+)", command)
    if data_dir:
        there = DATA / Path(data_dir[1]).name
        if not there.exists():
            pytest.skip(f"{there} is not here; set TFREC_DATA to where the data sets are")
        command = command.replace(data_dir[1], str(there))
    done = shell(f"{command} RUNS={tmp_path}")
    tables = re.findall(r"(two_tower|deepfm) version 1, user", done.stdout)
    assert tables == ["two_tower", "deepfm"]
    assert len(re.findall(r"^│ +\d+ │ \S+ +│ .*\S.* │ +-?\d+\.\d+ │$", done.stdout, re.MULTILINE)) == 20
    if not data_dir:
        found = re.search(
            r"(\d+) of the 10 items that two_tower recommends are of it \(of all items: (\d+)%\)", done.stderr
        )
        assert 10 * int(found[1]) > 2 * int(found[2])  # percent, against twice the share in the catalogue


def test_the_benchmark_prints_its_table():
    if not (DATA / "ml-100k").exists():
        pytest.skip(f"{DATA / 'ml-100k'} is not here; set TFREC_DATA to where the data sets are")
    done = shell(f"make bench DATA_DIR={DATA / 'ml-100k'} BENCH_FLAGS='--seeds 1 --epochs 1'")
    assert "| popularity | leave_one_out | test/ndcg_at_10 | 0.0449 |" in done.stdout
    assert "| deepfm | random | test/auc | 0." in done.stdout


def test_a_python_of_another_version_is_refused_with_the_way_out(tmp_path):
    other = tmp_path / "python"  # runs what it is given as this Python does, but says that it is 3.9
    other.write_text(f'#!/bin/sh\nexec {sys.executable} -c "import sys; sys.version_info = (3, 9, 1); $2"\n')
    other.chmod(0o755)
    done = subprocess.run(
        ["make", "install", f"PYTHON={other}", f"VENV={tmp_path}/venv"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "Python 3.11 or 3.12 is needed" in done.stderr
    assert "is 3.9; name another with: make PYTHON=python3.11" in done.stderr
    assert not (tmp_path / "venv").exists()
