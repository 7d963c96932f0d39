"""The command lines, as processes."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from serving import recommend
from serving.server.__main__ import main as serve


@pytest.fixture
def start_server():
    """Start `python -m serving.server`; return the process and its target once it is ready."""
    processes = []

    def start(*flags):
        command = [sys.executable, "-m", "serving.server", "--port=0", *flags]
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        processes.append(process)
        lines = []
        for line in process.stderr:
            lines.append(line)
            ready = re.search(r"^Serving (.*) at (\S+:\d+) \(gRPC\)", line)
            if ready:
                return process, ready.group(1), ready.group(2)
        pytest.fail(f"no ready line: {''.join(lines)}")

    yield start
    for process in processes:
        process.kill()
        process.wait()
        process.stderr.close()


def run_recommend(capsys, *flags):
    code = recommend.main(flags)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_server_serves_and_drains_on_sigterm(start_server, add_version, stubs_of):
    base_path = add_version("adder", 12, "adder")
    process, models, target = start_server(
        f"--model-base-path={base_path}", "--model_name=my-adder", "--drain_timeout_seconds=300"
    )
    assert models == "my-adder (version 12)"

    stubs = stubs_of(target)
    answers = []
    call = threading.Thread(
        target=lambda: answers.append(
            stubs.predict("my-adder", signature="slow", timeout=60, steps=np.int32([300_000]))
        )
    )
    assert stubs.sum(1.0, model="my-adder") == (1.0, 12)
    call.start()
    time.sleep(0.2)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM):
        process.send_signal(number)
    call.join()
    assert list(answers[0].outputs["count"].int_val) == [300_000]
    assert process.wait(timeout=60) == 0
    assert "Traceback" not in process.stderr.read()


def test_server_and_client_work_where_no_keras_is_installed(templates):
    script = f"""
import pathlib, sys

class WithoutKeras:
    def __init__(self, finder):
        self.finder = finder

    def find_spec(self, name, *arguments):
        is_keras = name.partition(".")[0] in ("keras", "tf_keras")
        return None if is_keras else self.finder.find_spec(name, *arguments)

sys.meta_path[:] = [WithoutKeras(finder) for finder in sys.meta_path]
import serving.recommend, serving.server.model_server
from serving.server.runtime.servable import Servable
print(sorted(Servable.load(pathlib.Path({str(templates / "recommender")!r})).signatures))
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.stdout.strip() == "['explain', 'items', 'rank', 'recommend', 'serving_default']", result.stderr


def test_the_recommend_command_prints_a_table(shared_server):
    command = [sys.executable, "-m", "serving.recommend", "--server", shared_server.target]
    command += ["--model", "recommender", "--user", "new", "--k", "2", "--exclude", "i0", "i1"]
    result = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"COLUMNS": "80"}, check=False)
    assert (result.returncode, result.stderr) == (0, "")
    assert "recommender version 1, user new" in result.stdout
    assert re.search(r"1 .* i2 .* Title of \[i2\] .* 5.0000", result.stdout)
    assert re.search(r"2 .* i3 .* Title of \[i3\] .* 4.0000", result.stdout)
    assert "i4" not in result.stdout


def test_the_recommend_command_says_why(capsys, shared_server, monkeypatch):
    monkeypatch.setenv("COLUMNS", "120")
    flags = ["--server", shared_server.target, "--model", "recommender", "--user", "u1", "--k", "6", "--why"]
    code, out, err = run_recommend(capsys, *flags)
    assert (code, err) == (0, "")
    assert "because of" in out
    assert re.search(r"1 .* i7 .* 7\.0000 .* Title of \[i1\] \(0\.75\) · genres=\[a\] \(0\.25\)", out)
    assert re.search(r"6 .* i2 .* 2\.0000 .* – ", out)


def test_reasons_stand_in_the_json(capsys, shared_server):
    flags = ["--server", shared_server.target, "--model", "recommender", "--k", "1", "--why", "--json"]
    code, out, err = run_recommend(capsys, *flags, "--user", "u1")
    assert (code, err) == (0, "")
    assert json.loads(out)["items"][0]["why"] == [
        {"reason": "item:i1", "title": "Title of [i1]", "weight": 0.75},
        {"reason": "genres=[a]", "weight": 0.25},
    ]
    code, out, err = run_recommend(capsys, *flags, "--user", "new", "--feature", "boost=1")
    assert json.loads(out)["items"][0]["why"] == [{"reason": "popularity", "weight": 1.75}]


def test_the_recommend_command_prints_json(capsys, shared_server):
    flags = ["--server", shared_server.target, "--model", "recommender", "--user", "u1", "--json"]
    flags += ["--allow", "i1", "i2", "--include-seen", "--feature", "boost=0.5", "--feature", "genres=a"]
    code, out, err = run_recommend(capsys, *flags)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "model": "recommender",
        "version": 1,
        "user": "u1",
        "items": [
            {"id": "i2", "title": "Title of [i2]", "score": 102.5},
            {"id": "i1", "title": "Title of [i1]", "score": 101.5},
        ],
    }


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--k", "0"], "ConfigError: argument --k: got '0'; allowed: whole numbers from 1"),
        (["--modle", "x"], "ConfigError: unknown flag '--modle'; did you mean '--model'?"),
        (["--feature", "boost"], "ConfigError: --feature: got 'boost'; expected name=value"),
        (["--feature", "boots=1"], "did you mean 'boost'?"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line_and_exit_code_2(capsys, shared_server, flags, message):
    code, out, err = run_recommend(
        capsys, "--server", shared_server.target, "--model", "recommender", "--user", "new", *flags
    )
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_a_servers_error_is_one_line_and_exit_code_1(capsys, shared_server):
    code, out, err = run_recommend(capsys, "--server", shared_server.target, "--model", "missing", "--user", "new")
    assert (code, out) == (1, "")
    assert err.startswith("ServingError: metadata of model 'missing'")
    assert err.count("\n") == 1


@pytest.mark.parametrize("command", [recommend.main, serve])
def test_help_shows_an_example_first(capsys, command):
    with pytest.raises(SystemExit) as caught:
        command(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m serving.")


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--model_base_pth=x"],
            "ConfigError: unknown flag '--model_base_pth'; did you mean '--model_base_path'?",
        ),
        ([], "ConfigError: nothing to serve; pass --model_base_path=DIR, or --model_config_file=FILE"),
        (["--model_base_path=/nowhere/at-all"], "is not a directory"),
        (["--port=99999"], "argument --port: got '99999'; allowed: 0 to 65535"),
        (["--model_config_file=/nowhere"], "--model_config_file: can't read /nowhere: No such file"),
    ],
)
def test_the_servers_mistakes_are_one_line_and_exit_code_2(capsys, flags, message):
    assert serve(flags) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_model_that_cannot_be_loaded_ends_the_start_with_exit_code_1(capsys, tmp_path):
    (tmp_path / "m" / "1").mkdir(parents=True)
    (tmp_path / "m" / "1" / "saved_model.pb").write_bytes(b"not a graph")
    assert serve([f"--model_base_path={tmp_path}/m", "--max_num_load_retries=0"]) == 1
    assert "Failed to start server. Error: 1 servable(s) did not become available" in capsys.readouterr().err


def test_a_port_that_is_taken_is_an_error(capsys, add_version, shared_server):
    base_path = add_version("adder", 1, "adder")
    assert serve([f"--model_base_path={base_path}", f"--port={shared_server.port}"]) == 2
    assert f"can't listen on 127.0.0.1:{shared_server.port}" in capsys.readouterr().err
