"""The model server's benchmark: its loop counts what it asks, and a short run ends with figures."""

import re

import numpy as np
import pytest

from benchmarks import serving_speed
from benchmarks.serving.load import Outcome, run
from benchmarks.serving.models import Tiny, request, save
from benchmarks.serving.process import ServerProcess


def test_an_outcome_has_rates_and_percentiles():
    outcome = Outcome(np.arange(1, 101) / 1000, ["late"], 2.0)
    assert outcome.per_second == 50
    assert outcome.percentile_ms(50) == pytest.approx(50.5)
    assert outcome.percentile_ms(100) == pytest.approx(100)


@pytest.mark.slow
def test_the_loop_keeps_its_calls_going_and_notes_what_fails(tmp_path):
    save(Tiny(), tmp_path / "m" / "1")
    with ServerProcess([f"--model_base_path={tmp_path}/m", "--model_name=m"], core=None) as server:
        good = run(server.target, request("m", np.ones(1, np.float32)), in_flight=4, seconds=1)
        assert len(good.latencies) > 4
        assert not good.failures
        assert 0 < good.percentile_ms(50) <= good.percentile_ms(99)
        unknown = run(server.target, request("unknown", np.ones(1, np.float32)), in_flight=2, seconds=0.2)
        assert not len(unknown.latencies)
        assert set(unknown.failures) == {"Servable not found for request: Latest(unknown)"}
        assert server.memory_bytes() > 1e8
        assert server.cpu_seconds() > 0


@pytest.mark.slow
def test_a_short_memory_run_prints_a_row_for_each_part(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["serving_speed", "--scenes", "memory", "--requests", "200", "--in-flight", "4"])
    monkeypatch.setattr("os.sched_setaffinity", lambda pid, cores: None)
    serving_speed.main()
    rows = re.findall(r"^\| ([\d,]+) \| (\d+) \| ([\d.]+) \|$", capsys.readouterr().out, re.M)
    assert len(rows) == 6
    assert {failed for _, failed, _ in rows} == {"0"}
    totals = [int(total.replace(",", "")) for total, _, _ in rows]
    assert totals == sorted(totals)
    assert totals[-1] >= 200
