"""What an export takes along of a dataset."""

from __future__ import annotations

from collections.abc import Collection

from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.raw_features import read_raw
from tfrec.dataset.records import read_part
from tfrec.export import ExportTables
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.schema import USER_INDEX
from trainer.data import JobData


def export_tables(
    data: JobData, filters: tuple[AttributeFilter, ...] = (), more_raw: Collection[str] = ()
) -> ExportTables:
    """Users with their latest history, all that they have seen, and the raw features of items that are read.

    Args:
        data: of the dataset.
        filters: of the export; they read raw features.
        more_raw: item features that something else reads as the log has them.

    """
    users = read_part(data.dataset, "users")
    users.pop(USER_INDEX)
    ids = users.pop(RAW_PREFIX + data.schema.user_id)
    seen = data.interactions("train", "validation", "test")
    raw_items = read_raw(data.dataset, "items", tuple(sorted({*(one.feature for one in filters), *more_raw})))
    return ExportTables(ids, users, seen, data.catalogue, filters, raw_items)
