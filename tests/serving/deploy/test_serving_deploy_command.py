"""Mistakes of the caller."""

import pytest

from serving.deploy.__main__ import main
from tfrec.command_line import run_command
from tfrec.errors import ArtifactError, ConfigError


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--stable", "two_tower"], "--stable: got 'two_tower'; expected MODEL=VERSION"),
        (["--stable", "two_towr=1"], "--stable: unknown model 'two_towr'; did you mean 'two_tower'?"),
        (["--canary", "two_tower=7"], r"--canary two_tower=7: no such version in .*; there are: 1, 2"),
        (["--set", "replicas=3"], "unknown key 'replicas'"),
        (["--set", "min_replicas=9"], "max_replicas is 6; allowed: from min_replicas, 9"),
        (["--set", "name=Über Name"], "name: got 'Über Name'"),
        (["--set", "image=a b"], "image: got 'a b'"),
        (["--out", "/proc/deploy"], "/proc/deploy/.* cannot be written"),
    ],
)
def test_a_mistake_is_one_line_that_says_what_to_do(deploy, flags, message):
    with pytest.raises(ConfigError, match=message) as caught:
        deploy(*flags)
    assert "\n" not in str(caught.value)


def test_a_job_that_was_not_exported_is_named(tmp_path):
    with pytest.raises(ArtifactError, match=r"no exported version below export/; .* trainer\.export --job-dir"):
        main(["--job", str(tmp_path), "--out", str(tmp_path / "out")])


def test_two_jobs_with_one_model_are_refused(deploy, make_job):
    with pytest.raises(ConfigError, match=r"model 'two_tower' is in .*job and in .*other; leave one out"):
        deploy("--job", str(make_job(job="other")))


def test_help_shows_an_example_first(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["deploy", "--help"])
    with pytest.raises(SystemExit) as caught:
        run_command(main)
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m serving.deploy")
