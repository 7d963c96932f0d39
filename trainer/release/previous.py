"""What the version before was asked for: a refreshed one keeps it, or requests that it answers would fail."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from tfrec.config_file import Config
from tfrec.errors import ArtifactError, ConfigError
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.export.cascade import CascadeConfig
from tfrec.export.saved_model import CARD, next_version
from tfrec.index import IndexConfig


@dataclass(frozen=True)
class Previous:
    """Choices of an export.

    Attributes:
        filters: declared as `--filter`.
        index: of a single model, if it had one.
        cascade: of a cascade.

    """

    filters: tuple[str, ...] = ()
    index: IndexConfig | None = None
    cascade: CascadeConfig | None = None


class _CardChoices(Config, extra="ignore"):
    """The part of a model card that holds them."""

    model_name: str | None = None
    filters: tuple[AttributeFilter, ...] = ()
    index_config: IndexConfig | None = None
    config: dict[str, object] = {}


def previous_choices(base: Path, model_name: str) -> Previous:
    """Those of the latest version below a base path; none where there is no version yet.

    Args:
        base: path of the versions.
        model_name: whose next version is to be written.

    Raises:
        ArtifactError: its card cannot be read.
        ConfigError: it is a version of another model, and clients of that would get answers of this one.

    """
    path = base / str(next_version(base) - 1) / CARD
    if not path.parent.is_dir():
        return Previous()
    try:
        card = _CardChoices.model_validate(json.loads(path.read_text(encoding="utf-8")))
        cascade = card.config.get("cascade")
        found = None if cascade is None else CascadeConfig.model_validate(cascade)
    except (OSError, ValueError, ValidationError) as error:
        first = str(error).splitlines()[0]
        raise ArtifactError(
            f"{path}: cannot be read ({first}); say what the version is to have with python -m trainer.export"
        ) from None
    if card.model_name not in (None, model_name):
        raise ConfigError(
            f"{base}: holds versions of {card.model_name}, not of {model_name}; name its jobs (of a cascade with "
            "--ranker), or another --output"
        )
    return Previous(tuple(one.declaration for one in card.filters), card.index_config, found)
