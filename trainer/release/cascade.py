"""Trained jobs → one SavedModel that retrieves, filters, ranks and re-orders in one request."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tfrec.config_file import parse_config
from tfrec.errors import ArtifactError, ConfigError, did_you_mean
from tfrec.export import ModelCard, save_version
from tfrec.export.attribute_filters import AttributeFilter, parse_filters
from tfrec.export.cascade import CascadeConfig, CascadeExport
from tfrec.feature_transform import FeatureTransform
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.schema import CategoricalFeature, Schema
from trainer.config import JobConfig
from trainer.data import JobData, require_same_ids
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import metrics_of, settings_of
from trainer.release.checks import Checks, finisher
from trainer.release.parity import check_cascade_parity
from trainer.release.tables import export_tables


class Part(NamedTuple):
    """One trained job of a cascade."""

    job: JobDirectory
    model: Recommender
    data: JobData
    config: JobConfig


def export_cascade(
    sources: Sequence[JobDirectory],
    ranker: JobDirectory,
    output: str,
    settings: Sequence[str] = (),
    filters: Sequence[str] = (),
    checks: Checks = "quick",
) -> Path:
    """Write the next version of a cascade below `output`.

    Args:
        sources: jobs of retrieval models.
        ranker: job of a ranking model.
        output: base path of the versions.
        settings: `key=value` of `CascadeConfig`.
        filters: declared as `--filter`.
        checks: how much the version is checked before it is there.

    Raises:
        ArtifactError: a job is not trained, the jobs are of different features, users or items, or a check fails.
        ConfigError: a setting is not allowed, or a job is of the other kind.

    """
    config = parse_config("", CascadeConfig, settings)
    parts = [_load(job, RetrievalModel, "--job-dir") for job in sources]
    last = _load(ranker, RankingModel, "--ranker")
    for part in [*parts[1:], last]:
        require_same_parts(parts[0], part)
    data = last.data
    declared = parse_filters(filters, data.schema)
    _check_feature(config, data.schema)
    quota = [config.diversity.feature] if config.diversity.feature is not None else []
    names = source_names([part.config.model_name for part in parts])
    found = {n: part.model for n, part in zip(names, parts, strict=True) if isinstance(part.model, RetrievalModel)}
    assert isinstance(last.model, RankingModel)
    card = _card(config, {**dict(zip(names, parts, strict=True)), last.config.model_name: last}, declared)
    tables, model = export_tables(data, declared, quota), last.model
    with tempfile.TemporaryDirectory() as scratch:
        transform = FeatureTransform(data.schema, data.dataset.transform)
        module = CascadeExport(found, model, config, transform, tables, Path(scratch))
        signatures = module.signatures()

        def parity(loaded: Any) -> int:
            return check_cascade_parity(loaded, list(found.values()), model, data)

        finish = finisher(checks, card.model_name, signatures, tables, data.schema, parity)
        return save_version(module, signatures, Path(output), card, finish)


def _card(config: CascadeConfig, parts: dict[str, Part], filters: tuple[AttributeFilter, ...]) -> ModelCard:
    data = next(reversed(parts.values())).data
    return ModelCard(
        model_name="+".join(parts),
        task="cascade",
        schema_fingerprint=data.schema.fingerprint,
        dataset=data.schema.name,
        dataset_fingerprint=data.dataset.fingerprint,
        config={"cascade": config.model_dump(mode="json"), **{n: settings_of(p.config) for n, p in parts.items()}},
        metrics={name: metrics_of(part.job) for name, part in parts.items()},
        num_users=data.dataset.rows("users"),
        num_items=data.catalogue.size,
        filters=filters,
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


def _check_feature(config: CascadeConfig, schema: Schema) -> None:
    name = config.diversity.feature
    features = [n for n, f in schema.of_role("item").items() if isinstance(f, CategoricalFeature)]
    if name is not None and name not in features:
        raise ConfigError(f"diversity.feature: no categorical item feature {name!r}{did_you_mean(name, features)}")
