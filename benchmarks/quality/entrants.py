"""Who competes: every model of the registry, and the other libraries of peers.yaml."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import optuna
import yaml

from tfrec.models.registry import model_class, model_names
from trainer.search.space import read_space

PEERS = Path(__file__).with_name("peers.yaml")
Settings = dict[str, Any]
Task = Literal["retrieval", "ranking"]


@dataclass(frozen=True)
class Entrant:
    """A model of one library.

    Attributes:
        name: unique; ours have the registry's.
        title: as tables print it.
        task: retrieval or ranking.
        module: of benchmarks.quality.peers; None for ours.
        environment: where that runs.
        has_seed: whether another seed gives another result.
        defaults: settings of every trial that `space` does not change.
        space: setting → range, as for `python -m trainer.tune`.

    """

    name: str
    title: str
    task: Task
    module: str | None = None
    environment: str | None = None
    has_seed: bool = True
    defaults: Settings = field(default_factory=dict)
    space: dict[str, str] = field(default_factory=dict)

    @property
    def is_ours(self) -> bool:
        return self.module is None

    def trials(self, number: int) -> list[Settings]:
        """The defaults, then draws from the space with a fixed generator; fewer where the space has no more."""
        space = read_space([f"{key}={text}" for key, text in self.space.items()])
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        sampler = optuna.samplers.RandomSampler(seed=0)
        study = optuna.create_study(sampler=sampler)
        found = [dict(self.defaults)]
        for _ in range(number - 1 if space else 0):
            drawn = study.ask({key: dimension.distribution for key, dimension in space.items()}).params
            chosen = {key: _rounded(space[key].value(drawn[key])) for key in space}
            if (settings := {**self.defaults, **chosen}) not in found:
                found.append(settings)
        return found


def our_models() -> list[Entrant]:
    found = []
    for name in model_names():
        kind = model_class(name)
        found.append(Entrant(name, name, kind.task, has_seed=kind.has_seed, space=dict(kind.search_space)))
    return found


def peers() -> list[Entrant]:
    content = yaml.safe_load(PEERS.read_text(encoding="utf-8"))
    return [Entrant(name=name, **{"task": "retrieval", **about}) for name, about in content.items()]


def _rounded(value: Any) -> Any:
    """Three digits, so that a table can print what was run."""
    return float(f"{value:.3g}") if isinstance(value, float) else value
