"""Workers and partitions change no byte of the records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.transforms.conftest import Workshop
from tests.transforms.faults.faulty_log import (
    YAML,
    csv_of,
    log_rows,
)

MODES = {
    "one": [],
    "threads": ["--direct_num_workers=2", "--direct_running_mode=multi_threading"],
    "processes": ["--direct_num_workers=2", "--direct_running_mode=multi_processing"],
}
EVERYTHING = (
    YAML.replace("features:\n", "features:\n  here: {role: user, kind: sequence, length: 3, within: session}\n")
    + "sessions: {gap_minutes: 30}\nfilters: {min_user_events: 3, min_item_events: 3}\nrows_per_record: 16\n"
)


def ran(root: Path, mode: str, partition_bytes: int) -> dict[str, Any]:
    """The manifest of a run over two files."""
    shop = Workshop(root).log(**{f"events{at}": csv_of(log_rows(800, seed=at)) for at in range(2)})
    manifest = shop.run(EVERYTHING, [f"partition_bytes={partition_bytes}"], MODES[mode])
    return {key: manifest[key] for key in ("files", "fingerprint", "rows")}


@pytest.fixture(scope="module")
def by_one(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return ran(tmp_path_factory.mktemp("by_one") / "shop", "one", 64 << 20)


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "partition_bytes"), [("threads", 5_000), ("threads", 64 << 20), ("processes", 5_000)])
def test_workers_and_groups_of_users_change_no_byte_of_the_records(mode, partition_bytes, by_one, tmp_path):
    assert ran(tmp_path / "shop", mode, partition_bytes) == by_one
