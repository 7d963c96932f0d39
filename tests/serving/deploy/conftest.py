"""Jobs, and what the command writes for them."""

import shutil

import pytest

from serving.deploy.__main__ import main


@pytest.fixture
def make_job(templates, tmp_path):
    """Write a job with versions of one model, named as their directories are; return its path."""

    def make(model="two_tower", versions=("1", "2"), job="job"):
        for version in versions:
            shutil.copytree(templates / "recommender", tmp_path / job / "export" / model / version)
        return tmp_path / job

    return make


@pytest.fixture
def deploy(make_job, tmp_path):
    """Run the command for a job of two versions; return where it wrote."""

    def run(*flags, job=None):
        out = tmp_path / "deploy"
        main(["--job", str(job or make_job()), "--out", str(out), *flags])
        return out

    return run
