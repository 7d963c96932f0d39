"""A job's weights on the users and items of a later dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from tfrec.dataset.directory import RAW_PREFIX, DatasetDirectory
from tfrec.dataset.interactions import Interactions
from tfrec.dataset.raw_features import read_raw
from tfrec.dataset.records import read_part
from tfrec.errors import ConfigError
from tfrec.export import ExportTables, RankingExport, RetrievalExport, save_version
from tfrec.export.attribute_filters import AttributeFilter, parse_filters
from tfrec.export.refreshed import LaterCatalogue, refreshed
from tfrec.feature_transform import FeatureTransform
from tfrec.models.base import RankingModel, RetrievalModel
from tfrec.models.inputs import Catalogue
from tfrec.schema import USER_INDEX
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import job_card
from trainer.release.checks import Checks, finisher
from trainer.release.reencode import reencode, require_same_features


class LaterTables(NamedTuple):
    """What an export takes along of a later dataset, encoded for the model."""

    tables: ExportTables
    catalogue: LaterCatalogue


def refresh_job(
    job: JobDirectory,
    dataset: str,
    output: str | None = None,
    filters: Sequence[str] = (),
    checks: Checks = "quick",
) -> Path:
    """Write the next version of a job's model, with the users and items of another dataset and the weights as they are.

    Args:
        job: a finished one.
        dataset: directory of the later dataset; of the same features.
        output: base path of the versions; that of the job by default.
        filters: declared as `--filter` of the export.
        checks: how much the version is checked before it is there.

    Raises:
        ArtifactError: no trained job, its own dataset has changed, the other one has other features, or a check fails.
        ConfigError: a filter by something that items do not have.

    """
    model, data, config = load_model(job)
    later = JobData(DatasetDirectory(dataset))
    require_same_features(data.dataset, later.dataset)
    declared = parse_filters(filters, data.schema)
    if declared and not isinstance(model, RetrievalModel):
        raise ConfigError(f"--filter: {config.model_name} orders what it is given; filter where the items are found")
    tables, catalogue = later_tables(data, later, declared)
    transform = FeatureTransform(data.schema, data.dataset.transform)
    known_users = set(data.user_ids.tolist())
    facts = {
        "dataset_fingerprint": later.dataset.fingerprint,
        "new_users": sum(one not in known_users for one in tables.user_ids.tolist()),
        "new_items": catalogue.added,
        "dropped_items": data.catalogue.size - len(catalogue.known),
    }
    with tempfile.TemporaryDirectory() as scratch:
        module: RetrievalExport | RankingExport
        if isinstance(model, RetrievalModel):
            on_later = refreshed(model, catalogue)
            facts["placed_by"] = on_later.placed_by
            module = RetrievalExport(on_later, transform, tables, Path(scratch))
        else:
            assert isinstance(model, RankingModel)
            module = RankingExport(model, transform, tables, Path(scratch))
        card = job_card(job, model, data, config, declared).model_copy(
            update={"num_users": len(tables.user_ids), "num_items": tables.catalogue.size, "refreshed": facts}
        )
        signatures = module.signatures()
        finish = finisher(checks, card.model_name, signatures, tables, data.schema, None)
        return save_version(module, signatures, Path(output) if output else job.export(config.model_name), card, finish)


def later_tables(data: JobData, later: JobData, filters: tuple[AttributeFilter, ...] = ()) -> LaterTables:
    """Users, items and what users have seen of a later dataset, encoded as the trained one was."""
    catalogue, order = later_catalogue(data, later)
    users = read_part(later.dataset, "users")
    users.pop(USER_INDEX)
    ids = users.pop(RAW_PREFIX + later.schema.user_id)
    raw_items = read_raw(later.dataset, "items", tuple(sorted({one.feature for one in filters})))
    tables = ExportTables(
        ids,
        reencode(data.dataset, later.dataset, "users", users),
        in_order(later.interactions("train", "validation", "test"), order),
        catalogue.catalogue,
        filters,
        {name: values[order] for name, values in raw_items.items()},
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
