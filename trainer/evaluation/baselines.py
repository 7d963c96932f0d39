"""The models that every retrieval model is compared with, each with the settings that do best on validation."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import optuna
from rich.filesize import decimal

from tfrec.config_file import Config, parse_config
from tfrec.errors import ConfigError, TfrecError
from tfrec.metrics import ranking_metrics
from tfrec.models.base import FittedModel, ModelConfig, RetrievalModel
from tfrec.models.registry import model_class
from trainer.checks.memory import machine
from trainer.data import JobData
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.lists import ranked_chunks
from trainer.evaluation.query_sets import QuerySet, sample_users, validation_set
from trainer.search.space import Dimension, read_space

MONITOR_K = 10
TUNING_USERS = 5000  # of validation, by hash: enough to tell settings apart
SHARE_OF_MEMORY = 0.5  # that a baseline's tables may take


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
    """Choices that were made before, in a file of the job; they hold for one dataset, protocol and number of trials."""

    def __init__(self, read_from: Path | None, write_to: Path | None, key: dict[str, Any]) -> None:
        self._write_to, self._key = write_to, key
        self._choices: dict[str, Choice] = {}
        try:
            found = json.loads(read_from.read_text(encoding="utf-8")) if read_from else {}
            if found.get("for") == key:
                self._choices = {
                    name: Choice(**{**one, "overrides": tuple(one["overrides"])})
                    for name, one in found["chosen"].items()
                }
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            self._choices = {}  # absent, or written by another version: choose again

    def get(self, name: str) -> Choice | None:
        return self._choices.get(name)

    def add(self, name: str, choice: Choice) -> None:
        self._choices[name] = choice

    def save(self) -> None:
        """Write all choices, where there is a file."""
        if self._write_to is None:
            return
        content = {"for": self._key, "chosen": {name: asdict(choice) for name, choice in self._choices.items()}}
        temporary = self._write_to.with_name(self._write_to.name + ".tmp")
        temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self._write_to)


def open_choices(read_from: Path | None, write_to: Path | None, data: JobData, config: EvaluationConfig) -> ChoiceStore:
    """The choices for this dataset and protocol."""
    protocol = config.model_dump(mode="json", include={"exclude", "fold_in", "users", "baseline_trials"})
    return ChoiceStore(read_from, write_to, {"dataset": data.dataset.fingerprint, **protocol})


def fitted_baseline(
    name: str, data: JobData, config: EvaluationConfig, choices: ChoiceStore
) -> tuple[RetrievalModel, Choice]:
    """A baseline with its best settings, fitted on the training split.

    Raises:
        TfrecError: it cannot be built on this dataset, or is too big for this machine.

    """
    choice = choices.get(name)
    if choice is None:
        choice = tune(name, data, config)
        choices.add(name, choice)
    return _fitted(name, choice.overrides, data), choice


def tune(name: str, data: JobData, config: EvaluationConfig) -> Choice:
    """Try the default settings and others of the model's search space; the best NDCG@10 on validation wins.

    Validation alone is looked at. The same dataset and protocol give the same choice.
    """
    space = read_space([f"{key}={text}" for key, text in model_class(name).search_space.items()])
    found = validation_set(data, config)
    queries = sample_users(found.queries, TUNING_USERS, seed=1)
    if not space or not len(queries.users):
        return Choice((), None, 0)
    queries_set = QuerySet(found.name, found.meaning, queries)
    tried: list[tuple[tuple[str, ...], float]] = [((), _ndcg(_fitted(name, (), data), queries_set, config))]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=max(config.baseline_trials // 2, 1)),
    )
    distributions = {key: dimension.distribution for key, dimension in space.items()}
    study.enqueue_trial(_beside_the_default(name, space))
    while len(tried) < config.baseline_trials:
        trial = study.ask(distributions)
        overrides = tuple(space[key].override(parameter) for key, parameter in trial.params.items())
        value = _ndcg(_fitted(name, overrides, data), queries_set, config)
        study.tell(trial, value)
        tried.append((overrides, value))
    overrides, value = max(tried, key=lambda one: one[1])
    return Choice(overrides, value, len(tried))


def _beside_the_default(name: str, space: dict[str, Dimension]) -> dict[str, Any]:
    """The default settings, but with a middle value of what they leave off: for many logs the largest step of all."""
    defaults = model_class(name).Config()
    found: dict[str, Any] = {}
    for key, dimension in space.items():
        tries = dimension.probes()
        usual = dimension.parameter(getattr(defaults, key.removeprefix("model.")))
        found[key] = tries[len(tries) // 2] if usual is None else usual
    return found


def _ndcg(model: RetrievalModel, validation: QuerySet, config: EvaluationConfig) -> float:
    total = 0.0
    chunks = ranked_chunks(model, validation.queries, model.scores, length=MONITOR_K, batch_size=config.batch_size)
    for lists, _ in chunks:
        total += float(ranking_metrics(lists.hits, lists.relevant_counts, [MONITOR_K])[f"ndcg_at_{MONITOR_K}"].sum())
    return total / len(validation.queries.users)


def _fitted(name: str, overrides: tuple[str, ...], data: JobData) -> RetrievalModel:
    build: Any = model_class(name)
    config = _config(build.Config, overrides)
    inputs = data.model_inputs
    shapes = build.table_shapes(config, inputs.schema, inputs.num_ids, inputs.num_items)
    wanted, free = sum(4 * shape.rows * shape.dim for shape in shapes), machine().free_bytes
    if wanted > SHARE_OF_MEMORY * free:
        raise ConfigError(
            f"{name} needs {decimal(wanted)} for {inputs.num_items:,} items, more than half of the {decimal(free)} free"
        )
    model: RetrievalModel = build(config, inputs)
    assert isinstance(model, FittedModel)
    model.fit(inputs)
    model.refresh()
    return model


class _Sections(Config):
    model: Any = None


def _config(config_class: type[ModelConfig], overrides: tuple[str, ...]) -> ModelConfig:
    values = parse_config("{}", _Sections, overrides).model or {}
    try:
        return config_class(**values)
    except ValueError as error:
        raise TfrecError(str(error).splitlines()[0]) from None
