"""The configuration of a job: which model on which dataset, how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, create_model

from tfrec.config_file import Config, parse_config
from tfrec.errors import ArtifactError, ConfigError
from tfrec.models.base import ModelConfig
from tfrec.models.registry import model_class


class TrainConfig(Config):
    """How a model is trained. A model may bring other defaults for some keys (`training_defaults`)."""

    epochs: int = Field(20, ge=1, description="at most; early stopping may end before")
    batch_size: int = Field(1024, ge=1)
    optimizer: Literal["adam", "adagrad", "sgd"] = "adam"
    learning_rate: float = Field(0.001, gt=0)
    patience: int = Field(5, ge=1, description="epochs without a better validation metric before training stops")
    average_decay: float | None = Field(
        None, gt=0, lt=1, description="evaluate and export an exponential moving average of the weights"
    )
    monitor: str | None = Field(
        None, description="validation metric that decides; ndcg_at_10 or log_loss (rmse) by default"
    )


class JobConfig(Config):
    """config.yaml of a job."""

    model_name: str
    dataset: str
    dataset_fingerprint: str
    seed: int = 1
    model: ModelConfig
    train: TrainConfig

    def save(self, path: Path) -> None:
        content = self.model_dump(mode="json", serialize_as_any=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        temporary.replace(path)


def resolve_config(model_name: str, config_file: str | None, overrides: Sequence[str], **identity: Any) -> JobConfig:
    """Model's defaults ← config file (`model:` and `train:` sections) ← `--set` overrides.

    Args:
        model_name: of the registry.
        config_file: YAML, or None.
        overrides: `dotted.key=value` strings.
        identity: `dataset`, `dataset_fingerprint` and `seed`.

    Raises:
        ConfigError: unknown model or key, or a value that is not allowed.

    """
    found = model_class(model_name)
    sections = create_model(
        "Sections", __base__=Config, model=(found.Config, found.Config()), train=(TrainConfig, TrainConfig())
    )
    text, source = "{}", "defaults"
    if config_file is not None:
        try:
            text, source = Path(config_file).read_text(encoding="utf-8"), Path(config_file).name
        except OSError as error:
            raise ConfigError(f"--config {config_file}: cannot be read ({error.strerror})") from None
    chosen: Any = parse_config(text, sections, overrides, source=source)
    given = chosen.train.model_dump(exclude_unset=True)
    train = TrainConfig(**{**found.training_defaults, **given})
    return JobConfig(model_name=model_name, model=chosen.model, train=train, **identity)


def load_job_config(path: Path) -> JobConfig:
    """Read the config.yaml of a job.

    Raises:
        ArtifactError: the file is absent or damaged.

    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        sections = {
            "model": model_class(content["model_name"]).Config(**content["model"]),
            "train": content["train"],
        }
        return JobConfig(**{**content, **sections})
    except OSError:
        raise ArtifactError(
            f"{path.parent}: not a job (no {path.name}); train one with: python -m trainer.task"
        ) from None
    except (yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise ArtifactError(f"{path}: damaged ({str(error).splitlines()[0]}); train again") from None
