"""A job's weights, or a cascade's, on the users and items of a later dataset."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tfrec.config_file import parse_config
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.export import RankingExport, RetrievalExport, save_version
from tfrec.export.attribute_filters import parse_filters
from tfrec.export.cascade import CascadeConfig
from tfrec.export.refreshed import refreshed
from tfrec.feature_transform import FeatureTransform
from tfrec.index import IndexConfig
from tfrec.models.base import RankingModel, RetrievalModel
from trainer.data import JobData
from trainer.item_index import find_index
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import job_card
from trainer.release.cascade import load_parts, quota_features, write_cascade
from trainer.release.checks import Checks, bearable, finisher
from trainer.release.later import later_tables, what_is_new
from trainer.release.previous import previous_choices
from trainer.release.reencode import require_same_features


def refresh_job(
    job: JobDirectory,
    dataset: str,
    output: str | None = None,
    filters: Sequence[str] | None = None,
    checks: Checks = "quick",
    index: IndexConfig | None = None,
) -> Path:
    """Write the next version of a job's model, with the users and items of another dataset and the weights as they are.

    Args:
        job: a finished one.
        dataset: directory of the later dataset; of the same features.
        output: base path of the versions; that of the job by default.
        filters: declared as `--filter` of the export; those of the version before by default.
        checks: how much the version is checked before it is there.
        index: how the best items are found, tuned again; as in the version before by default.

    Raises:
        ArtifactError: no trained job, its own dataset has changed, the other one has other features, or a check fails.
        ConfigError: a filter by something that items do not have, an index that misses its recall, or a base path of
            another model.

    """
    model, data, config = load_model(job)
    base = Path(output) if output else job.export(config.model_name)
    before = previous_choices(base, config.model_name)
    index = before.index if index is None else index
    later = JobData(DatasetDirectory(dataset))
    require_same_features(data.dataset, later.dataset)
    declared = parse_filters(before.filters if filters is None else filters, data.schema)
    if declared and not isinstance(model, RetrievalModel):
        raise ConfigError(f"--filter: {config.model_name} orders what it is given; filter where the items are found")
    found = later_tables(data, later, declared)
    transform, facts = FeatureTransform(data.schema, data.dataset.transform), what_is_new(data, later, found)
    sizes = {"num_users": len(found.tables.user_ids), "num_items": found.tables.catalogue.size}
    card = job_card(job, model, data, config, declared).model_copy(
        update={**sizes, "refreshed": facts, "index_config": index}
    )
    with tempfile.TemporaryDirectory() as scratch:
        module: RetrievalExport | RankingExport
        if isinstance(model, RetrievalModel):
            on_later = refreshed(model, found.catalogue)
            facts["placed_by"], search = on_later.placed_by, None
            indexed = None if index is None else find_index(config.model_name, on_later, data, index)
            if indexed is not None:
                search, report = indexed
                card, checks = card.model_copy(update={"index": report}), bearable(checks, [report])
            module = RetrievalExport(on_later, transform, found.tables, Path(scratch), search)
        else:
            assert isinstance(model, RankingModel)
            module = RankingExport(model, transform, found.tables, Path(scratch))
        signatures = module.signatures()
        finish = finisher(checks, card.model_name, signatures, found.tables, data.schema, None)
        return save_version(module, signatures, base, card, finish)


def refresh_cascade(
    sources: Sequence[JobDirectory],
    ranker: JobDirectory,
    dataset: str,
    output: str,
    settings: Sequence[str] = (),
    filters: Sequence[str] | None = None,
    checks: Checks = "quick",
    index: IndexConfig | None = None,
) -> Path:
    """As `refresh_job`, of a cascade.

    Args:
        sources: jobs of retrieval models.
        ranker: job of a ranking model.
        dataset: directory of the later dataset; of the same features.
        output: base path of the versions.
        settings: `key=value` of `CascadeConfig`; where there are none, those of the version before hold.
        filters: declared as `--filter`; those of the version before by default.
        checks: how much the version is checked before it is there.
        index: of each source that the settings name no own one for.

    """
    parts = load_parts(sources, ranker)
    before = previous_choices(Path(output), parts.name)
    data, later = parts.data, JobData(DatasetDirectory(dataset))
    require_same_features(data.dataset, later.dataset)
    config = parse_config("", CascadeConfig, settings) if settings else before.cascade or CascadeConfig()
    if index is not None and not settings:
        config = config.model_copy(update={"indexes": {}})  # the flag says it anew
    config = config.with_indexes(parts.named, index)
    declared = parse_filters(before.filters if filters is None else filters, data.schema)
    found = later_tables(data, later, declared, quota_features(config, data.schema))
    on_later = {name: refreshed(model, found.catalogue) for name, model in parts.sources.items()}
    facts: dict[str, Any] = what_is_new(data, later, found)
    facts["placed_by"] = {name: model.placed_by for name, model in on_later.items()}
    return write_cascade(parts, dict(on_later), found.tables, config, Path(output), checks, facts)
