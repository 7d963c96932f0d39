"""The configuration of a job: which model on which dataset, how it is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, create_model, field_validator, model_validator

from tfrec.config_file import Config, parse_config
from tfrec.errors import ArtifactError, ConfigError
from tfrec.models.base import ModelConfig
from tfrec.models.registry import model_class
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.presets import resolve_preset

Optimizer = Literal["adam", "dense_adam", "adagrad", "ftrl", "sgd"]


class Schedule(Config):
    """How the learning rate changes over the steps; `trainer/training/schedule.py` has the formulas."""

    kind: Literal["constant", "linear", "cosine", "exponential", "inverse_sqrt"] = "constant"
    warmup_steps: int = Field(0, ge=0, description="steps in which the rate rises from 0")
    decay_steps: int | None = Field(None, ge=1, description="steps after which `end` is reached; all steps by default")
    end: float = Field(0.01, ge=0, le=1, description="share of the rate that is left at the end")

    @model_validator(mode="after")
    def _can_decay(self) -> Schedule:
        if self.kind == "exponential" and not self.end:
            raise ValueError("an exponential schedule never reaches 0; give 'end' a small share such as 0.01")
        return self


class WideOptimizer(Config):
    """How the linear part of a model is trained, where it has one."""

    name: Optimizer = "ftrl"
    learning_rate: float = Field(0.05, gt=0)
    l1: float = Field(0.0, ge=0, description="of FTRL: makes weights exactly 0")
    l2: float = Field(0.0, ge=0, description="of FTRL")


class TrainConfig(Config):
    """How a model is trained. A model may bring other defaults for some keys (`training_defaults`)."""

    epochs: int = Field(20, ge=1, description="at most; early stopping may end before")
    steps: int | None = Field(None, ge=1, description="at most; no limit by default")
    batch_size: int = Field(1024, ge=1, description="rows, of all replicas together")
    optimizer: Optimizer = Field(
        "adam", description="adam updates only the rows of the batch; dense_adam every row of every table in every step"
    )
    learning_rate: float = Field(0.001, gt=0)
    beta_2: float = Field(0.999, gt=0, lt=1, description="of adam and dense_adam: how slowly squared gradients fade")
    wide_optimizer: WideOptimizer | None = Field(None, description="of the linear part; as the rest by default")
    schedule: Schedule = Schedule()
    clip_norm: float | None = Field(None, gt=0, description="largest joint norm of the gradients of a step")
    precision: Literal["float32", "bfloat16", "float16"] = Field(
        "float32", description="in which matrices are multiplied while training; weights and evaluation stay float32"
    )
    xla: bool = Field(False, description="compile the step with XLA; helps on a GPU, not on a CPU")
    input: Literal["auto", "memory", "stream"] = Field(
        "auto", description="hold the training rows in memory, or read the records again in every epoch"
    )
    patience: int = Field(5, ge=1, description="epochs without a better validation metric before training stops")
    average_decay: float | None = Field(
        None, gt=0, lt=1, description="evaluate and export an exponential moving average of the weights"
    )
    monitor: str | None = Field(
        None,
        description="validation metric that decides; ndcg_at_10 or log_loss (rmse) by default; steps: none does, the "
        "last epoch is kept, and no validation split is needed",
    )
    checkpoint_minutes: float = Field(5.0, gt=0, description="between two checkpoints within an epoch")
    projector: bool = Field(False, description="write the item vectors for TensorBoard's embedding projector")


class JobConfig(Config):
    """config.yaml of a job."""

    model_name: str
    dataset: str
    dataset_fingerprint: str
    warm_start_from: tuple[str, ...] = Field((), description="jobs whose weights this one starts with")
    train_files: tuple[str, ...] = Field((), description="instead of the dataset's training split")
    eval_files: tuple[str, ...] = Field((), description="instead of the dataset's validation split")
    seed: int = 1
    model: ModelConfig
    train: TrainConfig
    evaluation: EvaluationConfig = EvaluationConfig()

    @field_validator("warm_start_from", mode="before")
    @classmethod
    def _one_or_none(cls, given: Any) -> Any:
        return () if given is None else (given,) if isinstance(given, str) else given  # as older jobs have it

    def save(self, path: Path) -> None:
        content = self.model_dump(mode="json", serialize_as_any=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        temporary.replace(path)


def resolve_config(model_name: str, config_file: str | None, overrides: Sequence[str], **identity: Any) -> JobConfig:
    """Model's defaults ← config file (`model:`, `train:` and `evaluation:` sections) ← `--set`
    overrides; the preset that `evaluation.protocol` names lies under what else its section holds.

    Args:
        model_name: of the registry.
        config_file: YAML, or None.
        overrides: `dotted.key=value` strings.
        identity: `dataset`, `dataset_fingerprint`, `seed`, `train_files` and `eval_files`.

    Raises:
        ConfigError: unknown model or key, or a value that is not allowed.

    """
    found = model_class(model_name)
    sections = create_model(
        "Sections",
        __base__=Config,
        model=(found.Config, found.Config()),
        train=(TrainConfig, TrainConfig()),
        evaluation=(EvaluationConfig, EvaluationConfig()),
    )
    text, source = "{}", "defaults"
    if config_file is not None:
        try:
            text, source = Path(config_file).read_text(encoding="utf-8"), Path(config_file).name
        except UnicodeDecodeError:
            raise ConfigError(f"--config {config_file}: is not UTF-8 text; name a YAML file") from None
        except OSError as error:
            raise ConfigError(f"--config {config_file}: cannot be read ({error.strerror})") from None
    chosen: Any = parse_config(text, sections, overrides, source=source)
    given = chosen.train.model_dump(exclude_unset=True)
    train = TrainConfig(**_over(found.training_defaults, given))
    evaluation = resolve_preset(chosen.evaluation)
    return JobConfig(model_name=model_name, model=chosen.model, train=train, evaluation=evaluation, **identity)


def _over(brought: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    """What is given over what a model brings along; of a section key by key, unless it names another rule."""
    sections = {key: value for key, value in brought.items() if isinstance(value, dict) and key in given}
    merged = {
        key: {**section, **given[key]}
        for key, section in sections.items()
        if given[key] is not None and given[key].get("name", section.get("name")) == section.get("name")
    }
    return {**brought, **given, **merged}


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
