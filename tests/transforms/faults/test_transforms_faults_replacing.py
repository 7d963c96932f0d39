"""What goes wrong while one dataset takes the place of another: one of the two is there, whole."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path
from typing import Any

import pytest
from apache_beam.io.filesystems import FileSystems

from tests.transforms.faults.faulty_log import (
    YAML,
    fingerprint_if_whole,
)


def test_an_interrupt_between_the_two_renames_brings_the_old_dataset_back(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rename, renamed = FileSystems.rename, []

    def interrupted(sources: list[str], targets: list[str]) -> None:
        rename(sources, targets)
        if targets[0].endswith(".old") and not renamed:
            renamed.append(targets[0])
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "rename", staticmethod(interrupted))
        with pytest.raises(KeyboardInterrupt):
            shop.run(YAML)
    assert renamed
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def test_an_interrupt_while_the_old_dataset_is_removed_leaves_the_new_one_alone(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rmtree, interrupted = shutil.rmtree, []

    def halfway(path: Path, *rest: Any, **more: Any) -> None:
        if str(path).endswith(".old") and not interrupted:
            interrupted.append(path)
            (Path(path) / "manifest.json").unlink()
            raise KeyboardInterrupt
        rmtree(path, *rest, **more)

    with monkeypatch.context() as patched:
        patched.setattr(shutil, "rmtree", halfway)
        with pytest.raises(KeyboardInterrupt):
            shop.run(YAML)
    assert interrupted
    assert fingerprint_if_whole(shop.output) not in (old, None)
    assert shop.names() == {"out"}


def test_a_new_dataset_that_cannot_be_renamed_leaves_the_old_one(shop_with_old, monkeypatch):
    shop, old = shop_with_old
    rename = FileSystems.rename

    def refused(sources: list[str], targets: list[str]) -> None:
        if targets[0] == str(shop.output) and sources[0].endswith(".tmp"):
            raise OSError(errno.EACCES, "Permission denied")
        rename(sources, targets)

    with monkeypatch.context() as patched:
        patched.setattr(FileSystems, "rename", staticmethod(refused))
        with pytest.raises(Exception, match="Permission denied"):
            shop.run(YAML)
    assert fingerprint_if_whole(shop.output) == old
    assert shop.names() == {"out"}


def test_an_output_that_is_a_link_to_a_dataset_is_replaced(shop_with_old):
    shop, old = shop_with_old
    real = shop.output.with_name("real")
    shop.output.rename(real)
    shop.output.symlink_to(real)
    shop.run(YAML)
    assert fingerprint_if_whole(shop.output) not in (old, None)
    assert shop.names() <= {"out", "real"}
