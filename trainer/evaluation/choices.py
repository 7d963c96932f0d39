"""The settings that baselines were given, kept in a job so that it, or another one, need not look for them again."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tfrec import __version__
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.models.registry import model_class
from trainer.evaluation.config import EvaluationConfig
from trainer.job import JobDirectory

MONITOR_K = 10
TUNING_USERS = 5000  # of validation, by hash: enough to tell settings apart
SOURCE = "evaluation.baselines_from"
WAY_OUT = "leave it out to tune them here"
PROTOCOL = ("exclude", "fold_in", "users", "baseline_trials")  # keys of the evaluation that a choice depends on


@dataclass(frozen=True)
class Choice:
    """The settings of a baseline.

    Attributes:
        overrides: `model.key=value`, of its config.
        validation: NDCG@10 that they reached; None where there was nothing to choose, or nothing to choose by.
        trials: settings that were compared.

    """

    overrides: tuple[str, ...]
    validation: float | None
    trials: int

    @property
    def words(self) -> str:
        settings = ", ".join(override.removeprefix("model.") for override in self.overrides) or "default settings"
        if self.validation is None:
            return f"{settings}, not tuned"
        return f"{settings}: the best of {self.trials} on validation, with ndcg_at_10 {self.validation:.4f}"


class ChoiceStore:
    """Choices by baseline, and the file that they are written to."""

    def __init__(self, write_to: Path | None, key: dict[str, Any], choices: dict[str, Choice]) -> None:
        self._write_to, self._key, self._choices = write_to, key, dict(choices)

    def get(self, name: str) -> Choice | None:
        return self._choices.get(name)

    def add(self, name: str, choice: Choice) -> None:
        self._choices[name] = choice

    def save(self) -> None:
        """Write all choices, where there is a file."""
        if self._write_to is None:
            return
        chosen = {name: {**asdict(one), "among": _candidates(name)} for name, one in self._choices.items()}
        temporary = self._write_to.with_name(self._write_to.name + ".tmp")
        temporary.write_text(json.dumps({"for": self._key, "chosen": chosen}, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._write_to)


def open_choices(
    read_from: Path | None, write_to: Path | None, dataset: DatasetDirectory, config: EvaluationConfig
) -> ChoiceStore:
    """The choices that hold for this dataset and protocol: of a job's own file, else of the job that the config names.

    Raises:
        ConfigError: the named job chose for another dataset or protocol, among other settings, or for fewer baselines.

    """
    key = {"dataset": dataset.fingerprint, **config.model_dump(mode="json", include=set(PROTOCOL))}
    own = _own(read_from, key)
    if config.baselines_from is not None and not set(config.baselines) <= own.keys():
        own = {**_of_job(config.baselines_from, key, config.baselines), **own}
    return ChoiceStore(write_to, key, own)


def require_choices(own: Path, dataset: DatasetDirectory, config: EvaluationConfig) -> None:
    """Refuse, before anything is trained, a `baselines_from` that cannot be used; raises as `open_choices`."""
    open_choices(own, None, dataset, config)


def _own(path: Path | None, key: dict[str, Any]) -> dict[str, Choice]:
    """What a file of the job itself holds; what is absent, torn or of another version is chosen again."""
    try:
        found = json.loads(path.read_text(encoding="utf-8")) if path else {}
        if found.get("for") != key:
            return {}
        return {name: _choice(one) for name, one in found["chosen"].items() if one.get("among") == _candidates(name)}
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return {}


def _of_job(directory: str, key: dict[str, Any], names: tuple[str, ...]) -> dict[str, Choice]:
    where, path = f"{SOURCE} {directory}", JobDirectory(directory).baselines
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        theirs, chosen = (
            dict(found["for"]),
            {name: (_choice(one), one["among"]) for name, one in found["chosen"].items()},
        )
    except OSError:
        raise ConfigError(f"{where}: has no {path.name}; name an evaluated retrieval job, or {WAY_OUT}") from None
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ConfigError(f"{where}: its {path.name} cannot be used; evaluate that job again, or {WAY_OUT}") from None
    for what, ours in key.items():
        if theirs.get(what) != ours:
            said = "dataset" if what == "dataset" else f"evaluation.{what}"
            raise ConfigError(f"{where}: chose with {said} {theirs.get(what)}, this job has {ours}; {WAY_OUT}")
    if missing := [name for name in names if name not in chosen]:
        has = ", ".join(chosen) or "none"
        raise ConfigError(f"{where}: chose no settings of {', '.join(missing)} (only of {has}); {WAY_OUT}")
    if stale := [name for name in names if chosen[name][1] != _candidates(name)]:
        raise ConfigError(
            f"{where}: chose {', '.join(stale)} among the settings of another version; evaluate that job again, "
            f"or {WAY_OUT}"
        )
    return {name: chosen[name][0] for name in names}


def _choice(content: dict[str, Any]) -> Choice:
    return Choice(tuple(content["overrides"]), content["validation"], content["trials"])


def _candidates(name: str) -> str:
    """Changes with the settings among which a baseline's are chosen, and with how they are told apart."""
    build: Any = model_class(name)
    space, defaults = build.search_space, build.Config().model_dump(mode="json")
    content = json.dumps([__version__, MONITOR_K, TUNING_USERS, space, defaults], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
