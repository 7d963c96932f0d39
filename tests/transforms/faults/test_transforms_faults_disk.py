"""Full disks and writes that are refused: one line, and what stood at the output stays whole."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems

from tests.transforms.conftest import Workshop
from tests.transforms.faults.faulty_log import (
    ROOT,
    YAML,
    command,
    csv_of,
    error_lines,
    fingerprint_if_whole,
    log_rows,
)

QUICK = ("prepared/rows.json", "prepared/ordered/", "/train/part", "/manifest.json")
SLOW = (
    "prepared/counted/",
    "prepared/counts/",
    "/vocabulary/",
    "/statistics.json",
    "-encoded.arrow",
    "/items/part",
    "prepared/files.json",
)
STAGES = [*QUICK, *(pytest.param(stage, marks=pytest.mark.slow) for stage in SLOW)]


@pytest.mark.parametrize("stage", STAGES)
def test_a_disk_that_fills_up_at_any_stage_leaves_the_old_dataset_and_nothing_else(stage, shop_with_old, monkeypatch):
    shop, old = shop_with_old
    create, failed = FileSystems.create, []

    def full(path: str, *more: Any, **named: Any) -> Any:
        file = create(path, *more, **named)
        if stage in path:
            failed.append(path)
            file.write(b"half of it")
            file.close()
            raise OSError(errno.ENOSPC, "No space left on device", path)
        return file

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "create", staticmethod(full))
        with pytest.raises(Exception, match="No space left"):
            shop.run(YAML)
    assert failed
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) == old
    shop.run(YAML)
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) not in (old, None)


LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[1]),) * 2)
os.execv(sys.argv[2], sys.argv[2:])
"""


def limited(shop: Workshop, size: int) -> subprocess.CompletedProcess:
    """Run with files of at most `size` bytes; Python ignores SIGXFSZ, so writing more is an OSError (EFBIG).

    A process of its own sets the limit: Python between fork and exec can wait for ever for what threads here hold.
    """
    arguments = [sys.executable, "-c", LIMITED, str(size), *command(shop)]
    return subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, check=False)


# 3000 rows: exchange file, then ordered events, then the saved transform do not fit.
@pytest.mark.slow
@pytest.mark.parametrize("size", [4_000, 110_000, 180_000])
def test_writes_that_the_system_refuses_leave_the_old_dataset_whole(size, shop_with_old):
    shop, old = shop_with_old
    done = limited(shop, size)
    assert done.returncode in (1, 2)
    assert "File too large" in done.stderr
    assert shop.names() == {"out"}
    assert fingerprint_if_whole(shop.output) == old


def test_a_write_that_the_system_refuses_is_one_line_with_the_path(shop_with_old):
    shop, _ = shop_with_old
    done = limited(shop, 4_000)
    assert "Traceback" not in done.stderr
    assert len(error_lines(done.stderr)) == 1
    assert str(shop.output) in done.stderr
    assert "File too large" in done.stderr


def can_mount(at: Path) -> bool:
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(at)]
    try:
        return os.geteuid() == 0 and subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


def test_a_full_file_system_gets_no_half_dataset(workshop, tmp_path):
    place = tmp_path / "small"
    place.mkdir()
    if not can_mount(place):
        pytest.skip("needs root and leave to mount a tmpfs")
    try:
        workshop.log(events=csv_of(log_rows(3000)))
        workshop.output = place / "out"
        with pytest.raises(Exception, match="No space left"):
            workshop.run(YAML)
        assert list(place.iterdir()) == []
    finally:
        subprocess.run(["umount", str(place)], check=True)
