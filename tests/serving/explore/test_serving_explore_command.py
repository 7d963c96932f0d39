"""The command that serves the page."""

import re
import signal
import socket
import subprocess
import sys
import urllib.parse
import urllib.request

import pytest

from serving.explore.__main__ import main
from tests.serving.explore.read_page import Page
from tests.serving.small_dataset import TITLES


def outside_address():
    """An address of this machine that is not loopback; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_on_loopback_alone_until_a_signal(target, dataset, number):
    command = [sys.executable, "-m", "serving.explore", "--server", target, "--model", "vectors", "--port", "0"]
    process = subprocess.Popen([*command, "--dataset", str(dataset)], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr)
        address = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        with urllib.request.urlopen(f"{address}?user=u1", timeout=60) as response:
            assert response.status == 200
            assert TITLES["i3"] in "".join(Page(response.read().decode()).lists)
        port = urllib.parse.urlsplit(address).port
        outside = outside_address()
        if outside not in (None, "127.0.0.1"):
            with socket.socket() as probe:
                assert probe.connect_ex((outside, port)) != 0
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "the following arguments are required: --model"),
        (["--model", "vectors", "--dataset", "/nowhere"], 2, "/nowhere: not a dataset (no manifest.json)"),
        (["--model", "vectrs"], 1, "vectrs"),
        (["--model", "vectors", "--port", "99999"], 2, "argument --port: got '99999'; allowed: 0 to 65535"),
    ],
)
def test_a_mistake_is_one_line(target, capsys, flags, code, message):
    assert main(["--server", target, *flags]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(target, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--server", target, "--model", "vectors", "--port", str(port)]) == 2
    assert f"can't listen on 127.0.0.1:{port}: " in capsys.readouterr().err


def test_help_shows_an_example_first(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m serving.explore")
