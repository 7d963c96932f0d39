"""What an export takes along of a later dataset, for weights that were learnt from an earlier one."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from tfrec.dataset.interactions import Interactions
from tfrec.export import ExportTables
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.export.refreshed import LaterCatalogue
from tfrec.models.inputs import Catalogue
from trainer.data import JobData
from trainer.release.reencode import reencode
from trainer.release.tables import export_tables


class LaterTables(NamedTuple):
    """Users and items of a later dataset, encoded for the model."""

    tables: ExportTables
    catalogue: LaterCatalogue


def later_tables(
    data: JobData, later: JobData, filters: tuple[AttributeFilter, ...] = (), more_raw: Collection[str] = ()
) -> LaterTables:
    """Users, items and what users have seen of a later dataset, encoded as the trained one was.

    Args:
        data: what the model learnt from.
        later: of the same features.
        filters: of the export.
        more_raw: item features that something else reads as the log has them.

    """
    catalogue, order = later_catalogue(data, later)
    theirs = export_tables(later, filters, more_raw)
    tables = replace(
        theirs,
        user_features=reencode(data.dataset, later.dataset, "users", theirs.user_features),
        seen=in_order(theirs.seen, order),
        catalogue=catalogue.catalogue,
        raw_items={name: values[order] for name, values in theirs.raw_items.items()},
    )
    return LaterTables(tables, catalogue)


def later_catalogue(data: JobData, later: JobData) -> tuple[LaterCatalogue, np.ndarray]:
    """The later items, those that the model knows first, and the row in the later dataset of each of them."""
    theirs = {item: place for place, item in enumerate(later.catalogue.ids)}
    known = np.array([place for place, item in enumerate(data.catalogue.ids) if item in theirs], np.int64)
    first = [theirs[data.catalogue.ids[place]] for place in known]
    is_known = np.zeros(later.catalogue.size, bool)
    is_known[first] = True
    order = np.concatenate([np.array(first, np.int64), np.flatnonzero(~is_known)])
    features = reencode(data.dataset, later.dataset, "items", later.catalogue.features)
    catalogue = Catalogue(
        later.catalogue.ids[order],
        {name: values[order] for name, values in features.items()},
        {name: values[order] for name, values in later.catalogue.display.items()},
        data.catalogue.tokens,
    )
    return LaterCatalogue(catalogue, known), order


def in_order(seen: Interactions, order: np.ndarray) -> Interactions:
    """Interactions with items by their places in another order of the catalogue."""
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return replace(seen, items=places[seen.items])


def what_is_new(data: JobData, later: JobData, found: LaterTables) -> dict[str, Any]:
    """What the card says of the later dataset."""
    known_users = set(data.user_ids.tolist())
    return {
        "dataset_fingerprint": later.dataset.fingerprint,
        "new_users": sum(one not in known_users for one in found.tables.user_ids.tolist()),
        "new_items": found.catalogue.added,
        "dropped_items": data.catalogue.size - len(found.catalogue.known),
    }
