"""Names of the intermediate files of a run; they live below the temporary output and go away with it."""

from __future__ import annotations

from transforms.storage import join

PREPARED = "prepared"


def events_partition(output: str, partition: int) -> str:
    """Ordered events of one group of users."""
    return join(output, PREPARED, f"events-{partition:05d}.arrow")


def side_table(output: str, table: str) -> str:
    """The users or items table as the log has it, typed, without repeated ids."""
    return join(output, PREPARED, f"{table}.arrow")


def encoded_side(output: str, table: str) -> str:
    """The users or items in the order of their index: raw and encoded features."""
    return join(output, PREPARED, f"{table}-encoded.arrow")


def counts(output: str, feature: str) -> str:
    """Distinct values of a feature with their counts."""
    return join(output, PREPARED, "counts", f"{feature}.arrow")


def summary(output: str, name: str) -> str:
    """A small JSON result of a pipeline that the next step reads."""
    return join(output, PREPARED, f"{name}.json")


def latest_items(output: str) -> str:
    """Each item's last values of the features that stand in the events."""
    return join(output, PREPARED, "latest-items.arrow")
