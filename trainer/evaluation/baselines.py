"""The models that every retrieval model is compared with, each with the settings that do best on validation."""

from __future__ import annotations

from typing import Any

import optuna
from rich.filesize import decimal

from tfrec.config_file import Config, parse_config
from tfrec.errors import ConfigError, TfrecError
from tfrec.metrics import ranking_metrics
from tfrec.models.base import ModelConfig, RetrievalModel
from tfrec.models.learning import FittedModel
from tfrec.models.registry import model_class
from trainer.checks.memory import machine
from trainer.data import JobData
from trainer.evaluation.choices import MONITOR_K, TUNING_USERS, Choice, ChoiceStore
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.lists import ranked_chunks
from trainer.evaluation.query_sets import QuerySet, sample_users, validation_set
from trainer.search.space import Dimension, read_space

TUNING_FLOPS = 3e12  # of all settings of a baseline: a minute or two of a core
FEWEST_SETTINGS = 3
SHARE_OF_MEMORY = 0.5  # that a baseline's tables may take


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


def settings_to_try(name: str, data: JobData, config: EvaluationConfig) -> int:
    """How many settings `tune` compares where there is something to compare them by; 1 where nothing can be chosen.

    Fewer than asked for where a fit takes long, so that a baseline costs minutes at most.
    """
    build = model_class(name)
    if not build.searched(data.schema):
        return 1
    flops = build.fit_flops(data.catalogue.size) if issubclass(build, FittedModel) else 0.0
    affordable = int(TUNING_FLOPS / flops) if flops else config.baseline_trials
    return min(config.baseline_trials, max(affordable, FEWEST_SETTINGS))


def tune(name: str, data: JobData, config: EvaluationConfig) -> Choice:
    """Try the default settings and others of the model's search space; the best NDCG@10 on validation wins.

    Validation alone is looked at. The same dataset and protocol give the same choice.
    """
    space = read_space([f"{key}={text}" for key, text in model_class(name).searched(data.schema).items()])
    found = validation_set(data, config)
    queries = sample_users(found.queries, TUNING_USERS, seed=1)
    if not space or not len(queries.users):
        return Choice((), None, 0)
    queries_set = QuerySet(found.name, found.meaning, queries)
    trials = settings_to_try(name, data, config)
    tried: list[tuple[tuple[str, ...], float]] = [((), _ndcg(_fitted(name, (), data), queries_set, config))]
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(seed=1, n_startup_trials=max(trials // 2, 1)),
    )
    distributions = {key: dimension.distribution for key, dimension in space.items()}
    study.enqueue_trial(_beside_the_default(name, space))
    while len(tried) < trials:
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
