"""Names of the intermediate files of a run; they live below the temporary output and go away with it."""

from __future__ import annotations

from typing import Literal

from transforms.storage import join

PREPARED = "prepared"
Stage = Literal["ordered", "core", "counted"]  # what has been done to the events; each stage writes files of its own


def stage_directory(output: str, stage: Stage) -> str:
    return join(output, PREPARED, stage)


def events_partition(output: str, stage: Stage, partition: int) -> str:
    """Ordered events of one group of users."""
    return join(output, PREPARED, stage, f"events-{partition:05d}.arrow")


def exchanges(output: str) -> str:
    """Where tables wait between two steps of a pipeline on one machine."""
    return join(output, PREPARED, "exchange")


def exchange(output: str, name: str) -> str:
    return join(exchanges(output), name)


def side_table(output: str, table: str) -> str:
    """The users or items table as the log has it, typed, without repeated ids."""
    return join(output, PREPARED, f"{table}.arrow")


def encoded_side(output: str, table: str) -> str:
    """The users or items in the order of their index: raw and encoded features."""
    return join(output, PREPARED, f"{table}-encoded.arrow")


def counts(output: str, feature: str) -> str:
    """Distinct values of a feature with their counts."""
    return join(output, PREPARED, "counts", f"{feature}.arrow")


def core_items(output: str, name: Literal["counts", "dropped"]) -> str:
    """Of the search for a k-core: how often items occur in what is left, and which are out."""
    return join(output, PREPARED, f"core-{name}.arrow")


def summary(output: str, name: str) -> str:
    """A small JSON result of a pipeline that the next step reads."""
    return join(output, PREPARED, f"{name}.json")


def latest_items(output: str) -> str:
    """Each item's last values of the features that stand in the events."""
    return join(output, PREPARED, "latest-items.arrow")


def base_users(output: str, partition: int | None = None) -> str:
    """Users that the base dataset knows, with their sequences: all, or those of one group."""
    name = "base-users" if partition is None else f"base-users-{partition:05d}"
    return join(output, PREPARED, f"{name}.arrow")
