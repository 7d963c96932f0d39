"""Trained jobs → one SavedModel that retrieves, filters, ranks and re-orders in one request."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from tfrec.config_file import parse_config
from tfrec.errors import ArtifactError, ConfigError, did_you_mean
from tfrec.export import ExportTables, ModelCard, save_version
from tfrec.export.attribute_filters import parse_filters
from tfrec.export.cascade import CascadeConfig, CascadeExport
from tfrec.feature_transform import FeatureTransform
from tfrec.index import IndexConfig
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.schema import CategoricalFeature, Schema
from trainer.config import JobConfig
from trainer.data import JobData, require_same_ids
from trainer.item_index import find_index
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import metrics_of, settings_of
from trainer.release.checks import Checks, bearable, finisher
from trainer.release.parity import check_cascade_parity
from trainer.release.tables import export_tables


class Part(NamedTuple):
    """One trained job of a cascade."""

    job: JobDirectory
    model: Recommender
    data: JobData
    config: JobConfig


@dataclass(frozen=True)
class Parts:
    """All of them, trained on the same features, users and items.

    Attributes:
        named: name in the cascade → source, in their order.
        ranker: what orders their candidates.

    """

    named: dict[str, Part]
    ranker: Part

    @property
    def data(self) -> JobData:
        return self.ranker.data

    @property
    def sources(self) -> dict[str, RetrievalModel]:
        return {name: part.model for name, part in self.named.items() if isinstance(part.model, RetrievalModel)}

    @property
    def ranking(self) -> RankingModel:
        assert isinstance(self.ranker.model, RankingModel)
        return self.ranker.model

    @property
    def name(self) -> str:
        return "+".join(self.all)

    @property
    def all(self) -> dict[str, Part]:
        return {**self.named, self.ranker.config.model_name: self.ranker}


def export_cascade(
    sources: Sequence[JobDirectory],
    ranker: JobDirectory,
    output: str,
    settings: Sequence[str] = (),
    filters: Sequence[str] = (),
    checks: Checks = "quick",
    index: IndexConfig | None = None,
) -> Path:
    """Write the next version of a cascade below `output`.

    Args:
        sources: jobs of retrieval models.
        ranker: job of a ranking model.
        output: base path of the versions.
        settings: `key=value` of `CascadeConfig`.
        filters: declared as `--filter`.
        checks: how much the version is checked before it is there.
        index: of each source that the settings name no own one for.

    Raises:
        ArtifactError: a job is not trained, the jobs are of different features, users or items, or a check fails.
        ConfigError: a setting is not allowed, a job is of the other kind, or an index misses its recall.

    """
    config = parse_config("", CascadeConfig, settings)
    parts = load_parts(sources, ranker)
    config = config.with_indexes(parts.named, index)
    declared = parse_filters(filters, parts.data.schema)
    tables = export_tables(parts.data, declared, quota_features(config, parts.data.schema))
    return write_cascade(parts, parts.sources, tables, config, Path(output), checks)


def load_parts(sources: Sequence[JobDirectory], ranker: JobDirectory) -> Parts:
    """The trained jobs of a cascade.

    Raises:
        ArtifactError: a job is not trained, or the jobs are of different features, users or items.
        ConfigError: a job is of the other kind.

    """
    parts = [_load(job, RetrievalModel, "--job-dir") for job in sources]
    last = _load(ranker, RankingModel, "--ranker")
    for part in [*parts[1:], last]:
        require_same_parts(parts[0], part)
    names = source_names([part.config.model_name for part in parts])
    return Parts(dict(zip(names, parts, strict=True)), last)


def write_cascade(
    parts: Parts,
    sources: dict[str, RetrievalModel],
    tables: ExportTables,
    config: CascadeConfig,
    base: Path,
    checks: Checks,
    refreshed: dict[str, Any] | None = None,
) -> Path:
    """Write the next version of a cascade.

    Args:
        parts: the jobs.
        sources: their models by name, of the catalogue that the tables hold.
        tables: users and items.
        config: choices, with an index for each source that is to have one.
        base: path of the versions.
        checks: how much the version is checked before it is there.
        refreshed: what a later dataset brought; its records are not compared with the graph.

    """
    data = parts.data
    found = {n: find_index(n, sources[n], parts.named[n].data, one) for n, one in config.indexes.items()}
    indexes = {name: one for name, one in found.items() if one is not None}
    card = _card(parts, config, tables, refreshed).model_copy(
        update={"indexes": {name: one.report for name, one in indexes.items()}}
    )
    checks = bearable(checks, [one.report for one in indexes.values()])
    with tempfile.TemporaryDirectory() as scratch:
        transform = FeatureTransform(data.schema, data.dataset.transform)
        searches = {name: one.search for name, one in indexes.items() if one.search is not None}
        module = CascadeExport(sources, parts.ranking, config, transform, tables, Path(scratch), searches)
        signatures = module.signatures()

        def parity(loaded: Any) -> int:
            return check_cascade_parity(loaded, list(sources.values()), parts.ranking, data)

        compare = parity if refreshed is None else None
        finish = finisher(checks, card.model_name, signatures, tables, data.schema, compare)
        return save_version(module, signatures, base, card, finish)


def _card(parts: Parts, config: CascadeConfig, tables: ExportTables, refreshed: dict[str, Any] | None) -> ModelCard:
    settings = {name: settings_of(part.config) for name, part in parts.all.items()}
    return ModelCard(
        model_name=parts.name,
        task="cascade",
        schema_fingerprint=parts.data.schema.fingerprint,
        dataset=parts.data.schema.name,
        dataset_fingerprint=parts.data.dataset.fingerprint,
        config={"cascade": config.model_dump(mode="json"), **settings},
        metrics={name: metrics_of(part.job) for name, part in parts.all.items()},
        num_users=len(tables.user_ids),
        num_items=tables.catalogue.size,
        filters=tables.filters,
        refreshed=refreshed,
    )


def source_names(models: Sequence[str]) -> list[str]:
    """Names of the sources: those of the models, numbered from the second of a kind on."""
    return [
        name if models[:place].count(name) == 0 else f"{name}_{models[:place].count(name) + 1}"
        for place, name in enumerate(models)
    ]


def require_same_parts(first: Part, other: Part) -> None:
    """Refuse parts that do not mean the same by a feature, a user or an item.

    Raises:
        ArtifactError: the fingerprints of their schemas differ, or their users or items.

    """
    ours, theirs = first.data.schema.fingerprint, other.data.schema.fingerprint
    if ours != theirs:
        raise ArtifactError(
            f"{other.job.path}: its schema is {theirs}, that of {first.job.path} is {ours}; train both on one dataset"
        )
    if first.data.dataset.fingerprint != other.data.dataset.fingerprint:
        require_same_ids(first.data.dataset, other.data.dataset)


def _load(job: JobDirectory, kind: Any, flag: str) -> Part:
    model, data, config = load_model(job)
    if not isinstance(model, kind):
        raise ConfigError(
            f"{flag} {job.path}: {config.model_name} is a {model.task} model; --job-dir names those that retrieve, "
            "--ranker one that ranks"
        )
    return Part(job, model, data, config)


def quota_features(config: CascadeConfig, schema: Schema) -> list[str]:
    """Item features whose raw values the cascade reads: that of a quota.

    Raises:
        ConfigError: it is no categorical feature of items.

    """
    name = config.diversity.feature
    if name is None:
        return []
    features = [n for n, f in schema.of_role("item").items() if isinstance(f, CategoricalFeature)]
    if name not in features:
        raise ConfigError(f"diversity.feature: no categorical item feature {name!r}{did_you_mean(name, features)}")
    return [name]
