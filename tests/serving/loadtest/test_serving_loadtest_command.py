"""The command."""

import json

import pytest

from serving.loadtest.__main__ import main


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("u1\nu2\n\n")
    return path


def test_the_command_writes_a_table_a_page_and_json(shared_server, users, tmp_path, capsys):
    page = tmp_path / "load.html"
    flags = ["--server", shared_server.target, "--model", "recommender", "--users", str(users), "--rate", "40", "80"]
    flags += ["--seconds", "1", "--warmup-seconds", "0.2", "--html", str(page), "--json"]
    flags += ["--timeout-seconds", "20"]  # a machine that is shared may take long: what is asked here is no speed
    assert main([*flags, "--max-p99-ms", "20000", "--max-failed-share", "0"]) == 0
    written = capsys.readouterr()
    stages = json.loads(written.out)
    assert [one["stage"] for one in stages] == ["40/s", "80/s"]
    for one in stages:
        assert one["answered"] == one["requests"] == sum(one["versions"].values())
        assert one["versions"].keys() == {"recommender/1"}
        assert one["failures"] == {}
        times = list(one["response_ms"].values())[1:]
        assert times == sorted(times)
    assert "40/s" in written.err
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "100% recommender; 1 s each after 0.2 s; 1 process" in text
    assert "<script" not in text


def test_a_limit_that_does_not_hold_is_exit_code_1(shared_server, users, capsys):
    flags = ["--server", shared_server.target, "--model", "recommender", "--users", str(users), "--concurrency", "2"]
    flags += ["--seconds", "0.3", "--warmup-seconds", "0"]
    assert main([*flags, "--max-p99-ms", "0.000001"]) == 1
    assert "2 callers: --max-p99-ms 1e-06 does not hold: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rate", "1"], "nothing to ask; pass --model NAME"),
        (["--model", "m", "--rate", "1"], "nobody to ask for; pass --dataset DIR, or --users FILE"),
        (["--model", "m"], "pass either --rate R"),
        (["--model", "m", "--rate", "1", "--concurrency", "1"], "pass either --rate R"),
        (["--model", "m", "--rate", "0"], "argument --rate: got '0'; allowed: above 0"),
        (["--model", "m", "--rate", "nan"], "argument --rate: got 'nan'; allowed: above 0"),
        (["--rate", "1", "--unknown-users", "2"], "got '2'; allowed: from 0 to 1"),
        (["--mix", "a:b=0", "--rate", "1"], "--mix: got 'a:b=0'; expected MODEL:SIGNATURE=WEIGHT"),
        (["--mix", "a=1.2.3", "--rate", "1"], "--mix: got 'a=1.2.3'"),
        (["--model", "m", "--users", "/nowhere", "--rate", "1"], "--users: /nowhere: cannot be read"),
        (["--model", "m", "--dataset", "/nowhere", "--rate", "1"], "/nowhere: not a dataset (no manifest.json)"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line_and_exit_code_2(capsys, flags, message):
    assert main(flags) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_model_that_is_not_served_is_one_line_and_exit_code_1(shared_server, users, capsys):
    assert main(["--server", shared_server.target, "--model", "x", "--users", str(users), "--rate", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ServerError: metadata of model 'x' at ")
    assert err.count("\n") == 1
