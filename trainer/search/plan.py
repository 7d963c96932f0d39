"""What a search is: the jobs it may try, and what must stay the same when it goes on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError
from tfrec.models.registry import model_class
from trainer.config import JobConfig, resolve_config
from trainer.evaluation.direction import LOWER_IS_BETTER
from trainer.evaluation.validation import monitors, require_monitor
from trainer.request.flags import assignments
from trainer.search.space import Dimension, read_space

PRUNERS = ("median", "hyperband", "none")


@dataclass(frozen=True)
class SearchPlan:
    """All that decides which jobs are tried; processes that share a search get a copy each.

    Attributes:
        dataset: directory.
        model: name.
        directory: of the study.
        given_space: as for `read_space`; () for the model's own.
        config_file, overrides: settings that all trials share.
        seed: of the search and of every trial.
        pruner: one of `PRUNERS`.

    """

    dataset: str
    model: str
    directory: Path
    given_space: tuple[str, ...] = ()
    config_file: str | None = None
    overrides: tuple[str, ...] = ()
    seed: int = 1
    pruner: str = "median"

    @cached_property
    def space(self) -> dict[str, Dimension]:
        own = model_class(self.model).searched(self._dataset.schema)
        return read_space(self.given_space or [f"{key}={text}" for key, text in own.items()])

    @cached_property
    def base(self) -> JobConfig:
        """The config that trials differ from."""
        return self.config({})

    def config(self, parameters: Mapping[str, Any]) -> JobConfig:
        """The config of a trial."""
        chosen = [self.space[key].override(parameter) for key, parameter in parameters.items()]
        return resolve_config(
            self.model,
            self.config_file,
            [*self.overrides, *chosen],
            dataset=str(Path(self.dataset).resolve()),
            dataset_fingerprint=self._dataset.fingerprint,
            seed=self.seed,
        )

    @property
    def monitor(self) -> str:
        """The validation metric that decides."""
        return self.base.train.monitor or self._monitors[0]

    @property
    def _monitors(self) -> list[str]:
        return monitors(model_class(self.model), self.base.model, self._dataset.schema)

    @property
    def lower_is_better(self) -> bool:
        return self.monitor in LOWER_IS_BETTER

    def defaults(self) -> dict[str, Any]:
        """Parameters of the base config, where they lie in the space: the first trial."""
        values = self.base.model_dump(mode="json", serialize_as_any=True)
        found = {key: dimension.parameter(_at(values, key)) for key, dimension in self.space.items()}
        return {key: parameter for key, parameter in found.items() if parameter is not None}

    def check(self) -> None:
        """Try the ends of every range on the config classes.

        Raises:
            ConfigError: nothing is searched, a key is unknown, a value is not allowed, or --set has the key too.

        """
        if not self.space:
            raise ConfigError(f"{self.model} brings no search space of its own; name keys with --space KEY=RANGE")
        require_monitor(self.monitor, self._monitors)
        fixed = {key for override in self.overrides for key, _ in assignments(override)}
        for key, dimension in self.space.items():
            where = f"--space {key}={dimension.text}"
            if key == "train.monitor":
                raise ConfigError(f"{where}: trials are compared by one metric; choose it with --set train.monitor=…")
            if key in fixed:
                raise ConfigError(f"{where}: a flag or --set gives it a value; keep one of them")
            for parameter in dimension.probes():
                try:
                    self.config({key: parameter})
                except ConfigError as error:
                    raise ConfigError(f"{where}: {str(error).removeprefix('--set: ')}") from None

    def claim(self) -> None:
        """Write study.yaml into a new study directory, or see that it holds the same search.

        Raises:
            ConfigError: it holds another one.

        """
        path = self.directory / "study.yaml"
        ours = {
            "model": self.model,
            "dataset": self.base.dataset,
            "dataset_fingerprint": self.base.dataset_fingerprint,
            "monitor": self.monitor,
            "seed": self.seed,
            "pruner": self.pruner,
            "space": {key: dimension.text for key, dimension in self.space.items()},
            "base": self.base.model_dump(mode="json", serialize_as_any=True, include={"model", "train", "evaluation"}),
        }
        self.directory.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            temporary = path.with_suffix(".tmp")
            temporary.write_text(yaml.safe_dump(ours, sort_keys=False), encoding="utf-8")
            temporary.replace(path)
            return
        try:
            theirs = dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, yaml.YAMLError) as error:
            raise ArtifactError(f"{path}: damaged ({str(error).splitlines()[0]}); name a new directory") from None
        for key, value in ours.items():
            if key != "dataset" and theirs.get(key) != value:
                raise ConfigError(
                    f"--study-dir {self.directory}: holds a search with another '{key}' ({theirs.get(key)}); "
                    "name a new directory"
                )

    @cached_property
    def _dataset(self) -> DatasetDirectory:
        return DatasetDirectory(self.dataset)


def _at(values: dict[str, Any], key: str) -> Any:
    for part in key.split("."):
        values = values.get(part, {}) if isinstance(values, dict) else {}
    return values
