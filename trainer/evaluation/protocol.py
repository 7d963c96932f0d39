"""Whether a protocol goes with a model and a dataset: asked before anything is trained."""

from __future__ import annotations

from pathlib import Path

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.models.base import RetrievalModel, Task
from tfrec.models.learning import FittedModel
from tfrec.models.registry import model_class
from tfrec.schema import SPLITS
from trainer.evaluation.config import EvaluationConfig

# Keys of the evaluation config that mean something for one kind of model only.
ONLY: dict[Task, tuple[str, ...]] = {
    "retrieval": ("exclude", "negatives", "windows", "fold_in", "users", "baselines_from"),
    "ranking": ("gauc_by",),
}


def require_protocol(config: EvaluationConfig, task: Task, dataset: DatasetDirectory) -> None:
    """Refuse a protocol that cannot be followed.

    Raises:
        ConfigError: it is of another kind of model, needs another split, timestamps, request ids or a file that is not
            there, or names a baseline that cannot be one.

    """
    _require_task(config, task)
    _require_baselines(config.baselines)
    schema, strategy = dataset.schema, dataset.schema.split.strategy
    if config.split not in (None, strategy):
        raise ConfigError(
            f"evaluation.split: the protocol is for a dataset split by {config.split!r}, {dataset.path} was split by "
            f"{strategy!r}; split it so, or say --set evaluation.split=null"
        )
    if config.windows and schema.timestamp is None:
        raise ConfigError(
            f"evaluation.windows: {dataset.path} has no timestamps to cut by; add 'timestamp' to its dataset.yaml, or "
            "leave windows at 0"
        )
    if config.gauc_by == "request" and schema.request is None:
        raise ConfigError(
            f"evaluation.gauc_by=request: {dataset.path} has no request ids; add 'request' to its dataset.yaml, or "
            "choose user"
        )
    file = config.negatives.file if config.negatives is not None else None
    if file is not None and not Path(file).is_file():
        raise ConfigError(f"evaluation.negatives.file {file}: no such file; say --set evaluation.negatives.file=PATH")
    if not any(dataset.rows(split) for split in SPLITS if split != "train"):
        raise ConfigError(
            f"{dataset.path}: nothing to evaluate, validation and test are empty; give split.validation and split.test "
            "a share"
        )


def _require_task(config: EvaluationConfig, task: Task) -> None:
    usual = EvaluationConfig()
    for other, keys in ONLY.items():
        for key in keys:
            if other != task and getattr(config, key) != getattr(usual, key):
                preset = f" (of the preset {config.protocol!r})" if config.protocol else ""
                raise ConfigError(
                    f"evaluation.{key}{preset}: is for {other} models, and this is a {task} model; leave it out"
                )


def _require_baselines(names: tuple[str, ...]) -> None:
    for name in names:
        found = model_class(name)
        if not (issubclass(found, RetrievalModel) and issubclass(found, FittedModel)):
            raise ConfigError(
                f"evaluation.baselines: {name} is not a retrieval model that is solved in one go; train a job of it, "
                "and compare the two with python -m trainer.compare"
            )
