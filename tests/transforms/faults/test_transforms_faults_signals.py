"""Signals: a run ends soon, and what stood at the output stays whole."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time

import pytest

from tests.transforms.conftest import Workshop
from tests.transforms.faults.faulty_log import (
    ROOT,
    YAML,
    command,
    fingerprint_if_whole,
)


def signalled(shop: Workshop, after: str, number: signal.Signals, wait: float) -> int:
    with subprocess.Popen(command(shop), cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if after in line:
                break
        time.sleep(wait)
        process.send_signal(number)
        process.stderr.read()
        return process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "after"),
    [(signal.SIGKILL, "1/3"), (signal.SIGKILL, "2/3"), (signal.SIGKILL, "3/3"), (signal.SIGTERM, "2/3"),
     (signal.SIGINT, "3/3")],
)  # fmt: skip
def test_a_run_that_is_stopped_leaves_the_old_dataset_or_the_new_one_whole(number, after, shop_with_old):
    shop, old = shop_with_old
    code = signalled(shop, after, number, random.Random(f"{number}{after}").uniform(0, 0.4))
    found = fingerprint_if_whole(shop.output)
    if number == signal.SIGINT:
        assert shop.names() == {"out"}
    shop.run(YAML)
    new = fingerprint_if_whole(shop.output)
    assert new not in (old, None)
    assert found in (old, new)  # a signal may come when the new one is in its place and the process is leaving
    assert code != 0 or found == new


def test_sigterm_leaves_no_temporary_directory(shop_with_old):
    shop, old = shop_with_old
    assert signalled(shop, "1/3", signal.SIGTERM, 0.0) != 0
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


STUCK = """
import signal, sys, threading, time
from transforms.stop import stop_on_signals
stop_on_signals(grace_seconds=0.3)
try:
    print("ready", file=sys.stderr, flush=True)
    time.sleep(60)
finally:
    threading.Event().wait(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_cannot_be_left_is_ended_some_seconds_after_the_signal(number):
    with subprocess.Popen([sys.executable, "-c", STUCK], cwd=ROOT, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        assert process.stderr.readline() == "ready\n"
        process.send_signal(number)
        said = process.stderr.read()
    assert said == "stopped, but not tidied up within 0.3 s; OUTPUT.*.tmp may be left\n"
    assert process.returncode == 128 + number
