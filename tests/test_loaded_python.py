"""A fork of the loaded process is the child that the caller would have started."""

import json
import os
import signal
import subprocess
import sys

import pytest

pytestmark = [
    pytest.mark.usefixtures("loaded_processes"),
    pytest.mark.skipif(sys.platform != "linux", reason="asks prctl(2)"),
]

ASKED = """\
import json, os, sys
said = {"argv": sys.argv, "name": __name__, "parent": os.getppid(), "directory": os.getcwd(), "path": sys.path[0],
        "loaded": sorted({"tensorflow", "apache_beam", "pytest", "tfrec"} & set(sys.modules)),
        "mine": os.environ.get("MINE"), "variables": len(os.environ), "input": sys.stdin.read()}
print(json.dumps(said))
print("something", file=sys.stderr)
sys.exit(7)
"""
NESTED = """\
import os, subprocess, sys
done = subprocess.run([sys.executable, "inner.py", str(os.getpid())], capture_output=True, text=True)
print(done.returncode, done.stdout.strip())
"""
INNER = "import os, sys; print('tensorflow' in sys.modules, sys.argv[1] == str(os.getppid())); sys.exit(3)"
WAITING = "import time; print('here', flush=True); time.sleep(60)"
FAILING = "1 / 0"


@pytest.fixture
def scripts(tmp_path):
    for name, text in (
        ("asked", ASKED), ("nested", NESTED), ("inner", INNER), ("waiting", WAITING), ("failing", FAILING)
    ):  # fmt: skip
        (tmp_path / f"{name}.py").write_text(text)
    return tmp_path


@pytest.mark.parametrize(("command", "name"), [(["-m", "asked"], "asked.py"), (["asked.py"], "asked.py")])
def test_it_has_what_the_call_gave_and_the_libraries(scripts, command, name):
    done = subprocess.run(
        [sys.executable, *command, "--x", "y"], cwd=scripts, env={"MINE": "ä", "PATH": ""}, input="given",
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    said = json.loads(done.stdout)
    assert os.path.basename(said["argv"][0]) == name
    assert said["argv"][1:] == ["--x", "y"]
    assert (said["name"], said["parent"]) == ("__main__", os.getpid())
    assert said["directory"] == said["path"] == str(scripts)
    assert said["loaded"] == ["apache_beam", "tensorflow"]
    assert (said["mine"], said["variables"], said["input"]) == ("ä", 2, "given")
    assert (done.stderr, done.returncode) == ("something\n", 7)


def test_a_child_has_such_children_too(scripts):
    done = subprocess.run([sys.executable, "nested.py"], cwd=scripts, capture_output=True, text=True, check=True)
    assert done.stdout == "3 True True\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGINT])
def test_signals_end_it_as_any_process(scripts, number):
    command = [sys.executable, "waiting.py"]
    with subprocess.Popen(command, cwd=scripts, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "here\n"
        process.send_signal(number)
        _, errors = process.communicate()
    assert process.returncode == -number
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)


def test_an_error_is_a_traceback_and_1_and_its_cost_is_the_parents_to_ask(scripts):
    with (scripts / "log").open("w") as log:
        process = subprocess.Popen([sys.executable, "failing.py"], cwd=scripts, stdout=log, stderr=subprocess.STDOUT)
    pid, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert (pid, process.returncode) == (process.pid, 1)
    assert usage.ru_maxrss > 1000
    assert (scripts / "log").read_text().splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_other_commands_are_as_ever(scripts):
    code = "import sys; print('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "False\n"
    assert subprocess.run("echo $0", shell=True, capture_output=True, text=True).stdout == "/bin/sh\n"
