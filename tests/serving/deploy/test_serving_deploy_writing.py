"""Which files are written, kept and taken away."""

import pytest

from tests.serving.deploy.read_deployment import files_of, models_of
from tfrec.errors import ConfigError


def test_the_same_input_gives_the_same_files(deploy, make_job, capsys):
    job = make_job()
    first = files_of(deploy(job=job))
    capsys.readouterr()
    assert files_of(deploy(job=job)) == first
    assert "0 files changed" in capsys.readouterr().err


def test_a_file_that_was_changed_by_hand_is_not_overwritten_nor_is_any_other(deploy, make_job):
    job = make_job()
    out = deploy(job=job)
    (out / "compose.yaml").write_text("mine: true\n")
    before = files_of(out)
    with pytest.raises(ConfigError, match=r"compose\.yaml: was changed by hand"):
        deploy("--stable", "two_tower=2", job=job)
    assert files_of(out) == before
    (out / "compose.yaml").unlink()
    deploy("--stable", "two_tower=2", job=job)
    assert models_of(out)["two_tower"].version_labels["stable"] == 2


def test_a_file_of_somebody_else_is_not_overwritten(deploy, make_job, tmp_path):
    (tmp_path / "deploy").mkdir()
    (tmp_path / "deploy" / "Dockerfile").write_text("FROM scratch\n")
    with pytest.raises(ConfigError, match=r"Dockerfile: is not from python -m serving\.deploy"):
        deploy()
    assert files_of(tmp_path / "deploy") == {"Dockerfile": b"FROM scratch\n"}


def test_a_run_that_died_is_gone_on_with(deploy, make_job):
    job = make_job()
    whole = files_of(deploy(job=job))
    out = job.parent / "deploy"
    (out / ".deploy.json").unlink()  # written last
    (out / "kubernetes" / "service.yaml").unlink()
    assert files_of(deploy(job=job)) == whole


def test_files_that_are_no_longer_wanted_go(deploy, make_job):
    job = make_job()
    out = deploy(job=job)
    deploy("--stable", "two_tower=2", job=job)
    assert [path.name for path in (out / "requests").iterdir()] == ["two_tower-2.json"]
