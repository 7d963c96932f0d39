"""Who predicts: models of the registry and of other libraries, with their settings, of models.yaml."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import Field, model_validator

from tfrec.config_file import Config, load_config

Settings = dict[str, Any]
MODELS = Path(__file__).with_name("models.yaml")


class Entrant(Config):
    """A row of the table."""

    title: str
    model: str | None = Field(None, description="of the registry")
    peer: str | None = Field(None, description="an algorithm of Surprise")
    settings: Settings = Field({}, description="that make it what the title says")
    chosen: dict[str, Settings] = Field({}, description="log → settings that were searched on a cut of its training")
    space: dict[str, str] = Field({}, description="what a search tries")
    logs: tuple[str, ...] | None = Field(None, description="on which it runs; null: all")

    @model_validator(mode="after")
    def _one_of_both(self) -> Entrant:
        if (self.model is None) == (self.peer is None):
            raise ValueError(f"{self.title}: needs 'model' or 'peer', and not both")
        return self

    @property
    def has_epochs(self) -> bool:
        """Whether training ends by validation: such a model learns from a little less."""
        if self.model is None:
            return False
        from tfrec.models.learning import GradientModel
        from tfrec.models.registry import model_class

        return issubclass(model_class(self.model), GradientModel)

    def on(self, log: str) -> Settings:
        return {**self.settings, **self.chosen.get(log, {})}


class Entrants(Config):
    """The content of models.yaml, by name."""

    models: dict[str, Entrant]


def entrants() -> dict[str, Entrant]:
    return load_config(MODELS, Entrants).models
