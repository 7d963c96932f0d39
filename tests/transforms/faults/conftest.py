"""A dataset at the output, and another log that is to replace it."""

from __future__ import annotations

import shutil

import pytest

from tests.transforms.conftest import Workshop
from tests.transforms.faults.faulty_log import (
    YAML,
    csv_of,
    fingerprint_if_whole,
    log_rows,
)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """A dataset at the output, and another log that is to replace it."""
    shop = Workshop(tmp_path_factory.mktemp("written") / "workshop")
    shop.log(events=csv_of(log_rows(300))).run(YAML)
    shop.log(events=csv_of(log_rows(3000, seed=1)))
    return shop


@pytest.fixture
def shop_with_old(written: Workshop, workshop: Workshop) -> tuple[Workshop, str]:
    """A copy of it, and the fingerprint of the dataset that is there."""
    shutil.copytree(written.input, workshop.input, dirs_exist_ok=True)
    shutil.copytree(written.output, workshop.output)
    old = fingerprint_if_whole(workshop.output)
    assert old is not None
    return workshop, old
