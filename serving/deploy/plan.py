"""Everything that the files say, worked out once: models, versions, image, memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from serving.deploy.config import DeployConfig
from serving.deploy.versions import DeployedModel, VersionFacts, digest_of, find_models, read_version
from tfrec.errors import ConfigError

STOCK_IMAGE = "tensorflow/serving"
_SCANN = "Scann>"
_MEBIBYTE = 1 << 20
_MEMORY_BASE, _MEMORY_STEP = 1024, 256  # MiB


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is deployed."""

    config: DeployConfig
    models: tuple[DeployedModel, ...]
    facts: Mapping[str, Mapping[int, VersionFacts]]  # by model and version
    image: str  # what runs the models
    memory: str

    @property
    def image_with_models(self) -> str:
        """The image that the Dockerfile builds; other versions get another tag, so that a roll-out replaces pods."""
        return f"{self.config.repository}:{digest_of(self.facts)}"

    @property
    def is_image_derived(self) -> bool:
        """Whether nobody named the image: its tag is the models' TensorFlow, and was not looked up anywhere."""
        return self.config.image is None

    @property
    def foreign_ops(self) -> dict[str, tuple[str, ...]]:
        """Models that TensorFlow Serving's own image cannot run, with the ops that it lacks."""
        found = {name: {op for one in of.values() for op in one.foreign_ops} for name, of in self.facts.items()}
        return {name: tuple(sorted(ops)) for name, ops in found.items() if ops}


def make_plan(jobs: Sequence[Path], config: DeployConfig, stable: Mapping[str, int], canary: Mapping[str, int]) -> Plan:
    """Read the jobs' exports. Raises ArtifactError and ConfigError as `find_models`, and for ops without an image."""
    models = find_models(jobs, stable, canary)
    facts = {model.name: {version: read_version(model, version) for version in model.versions} for model in models}
    plan = Plan(config, models, facts, config.image or _stock_image(facts), config.memory or _memory(facts))
    if config.image is None and plan.foreign_ops:
        name, ops = next(iter(plan.foreign_ops.items()))
        build = (
            "build the one of ScaNN's tf_serving directory for this TensorFlow"
            if ops[0].startswith(_SCANN)
            else "build a TensorFlow Serving that links them"
        )
        raise ConfigError(
            f"model {name!r}: the image {plan.image} lacks its ops {', '.join(ops)}; {build}, "
            "and name it with --image NAME:TAG"
        )
    return plan


def _stock_image(facts: Mapping[str, Mapping[int, VersionFacts]]) -> str:
    """TensorFlow Serving's image of the newest TensorFlow among the versions: older graphs run on newer servers.

    Releases of TensorFlow Serving have TensorFlow's numbers, but not every TensorFlow has one; no registry is asked.
    """
    written_by = {one.tensorflow for of in facts.values() for one in of.values()}
    return f"{STOCK_IMAGE}:{max(written_by, key=_as_numbers)}"


def _as_numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) if part.isdecimal() else 0 for part in version.split("."))


def _memory(facts: Mapping[str, Mapping[int, VersionFacts]]) -> str:
    """A start to correct by what is seen: three times the files, for a swap holds old and new, above a base."""
    on_disk = sum(one.bytes_on_disk for of in facts.values() for one in of.values())
    needed = _MEMORY_BASE + 3 * on_disk / _MEBIBYTE
    return f"{math.ceil(needed / _MEMORY_STEP) * _MEMORY_STEP}Mi"
