"""Protocols of papers, by name: small YAML files that hold only their differences."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from tfrec.config_file import Config, parse_config
from tfrec.errors import ConfigError, did_you_mean
from trainer.evaluation.config import EvaluationConfig

PRESETS = Path(__file__).parents[1] / "presets"


class _Sections(Config):
    evaluation: EvaluationConfig = EvaluationConfig()


def preset_names() -> list[str]:
    return sorted(path.stem for path in PRESETS.glob("*.yaml"))


def preset(name: str) -> dict[str, Any]:
    """The `evaluation:` section of a preset.

    Raises:
        ConfigError: there is none of this name.

    """
    path = PRESETS / f"{name}.yaml"
    if name not in preset_names():
        raise ConfigError(f"evaluation.protocol: no preset {name!r}{did_you_mean(name, preset_names())}")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    return {**content["evaluation"], "protocol": name}


def resolve_preset(chosen: EvaluationConfig) -> EvaluationConfig:
    """What the preset says, where `chosen` names one, under what was given beside it.

    Raises:
        ConfigError: there is no such preset, or what is given does not go with it.

    """
    if chosen.protocol is None:
        return chosen
    together = _under(preset(chosen.protocol), chosen.model_dump(mode="json", exclude_unset=True))
    return _parse(together, (), source=f"preset {chosen.protocol}")


def changed(base: EvaluationConfig, protocol: str | None, overrides: Sequence[str]) -> EvaluationConfig:
    """The section of a job with overrides, or that of a preset with them.

    Args:
        base: of the job.
        protocol: a preset that takes its place; None to keep it.
        overrides: `evaluation.key=value`.

    Raises:
        ConfigError: an unknown preset or key, or a value that is not allowed.

    """
    if protocol is None:
        return _parse(base.model_dump(mode="json"), overrides, source="config.yaml")
    return _parse(preset(protocol), overrides, source=f"preset {protocol}")


def _parse(section: dict[str, Any], overrides: Sequence[str], *, source: str) -> EvaluationConfig:
    return parse_config(yaml.safe_dump({"evaluation": section}), _Sections, overrides, source=source).evaluation


def _under(base: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """`given` over `base`, key by key at every depth."""
    merged = dict(base)
    for key, value in given.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        merged[key] = _under(base[key], value) if both else value
    return merged
