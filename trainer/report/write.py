"""A job → report.html, which needs no other file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jinja2
import tensorflow as tf
import yaml

from tfrec.errors import ConfigError, TfrecError
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.models.learning import FittedModel
from tfrec.models.registry import model_class
from trainer.data import JobData
from trainer.evaluation.direction import lower_is_better
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.report import names
from trainer.report.bias import bias_tables
from trainer.report.calibration import calibration_plot
from trainer.report.curves import learning_curves
from trainer.report.estimates import verdict
from trainer.report.examples import event_examples, user_examples
from trainer.report.facts import beyond_accuracy, beyond_rows, cost_facts, dataset_facts, feature_rows, split_rows
from trainer.report.item_map import ItemMap, item_map
from trainer.report.learnt.summary import Learnt, what_was_learnt, write_learnt
from trainer.report.next_context import next_context_rows
from trainer.report.plots import SERIES
from trainer.report.ranks import cut_curves, exposure_plots, shown_models
from trainer.report.ratings import rating_rows
from trainer.report.results import MAIN_SET, JobResults
from trainer.report.tables import column_names, main_table, set_rows, slice_tables

REPORT = "report.html"


def write_report(
    job: JobDirectory,
    *,
    model: Recommender | None = None,
    data: JobData | None = None,
    path: Path | None = None,
) -> Path:
    """Write the page; an existing one is replaced. The same job gives the same bytes.

    Of a ranking model importance.json is written too, into the job directory, unless the page goes elsewhere.

    Args:
        job: evaluated.
        model: with its best weights, where it is at hand; else it is loaded if the page needs it.
        data: the job's dataset, where it is at hand.
        path: where to; report.html in the job directory by default.

    Returns:
        Where the page is.

    Raises:
        ArtifactError: no job, no metrics, or a dataset that is absent or has changed.
        ConfigError: the page cannot be written.

    """
    results = JobResults(job, data)
    models = shown_models(results)
    table = main_table(results)
    is_kept = results.outcome(MAIN_SET) is not None
    learnt = _learnt(results, model)
    if learnt is not None and path is None:
        write_learnt(job.importance, learnt)
    text = environment().get_template("report.html").render(
        results=results,
        verdict=verdict(results, results.headline),
        headline=table.rows[0].cells[0],
        best_baseline=results.best_baseline(MAIN_SET, results.headline),
        table=table,
        columns=column_names(table),
        sets=set_rows(results),
        is_kept=is_kept,
        learning=learning_curves(results),
        cuts=cut_curves(models) if models else [],
        slices=slice_tables(results),
        calibration=calibration_plot(results),
        biases=bias_tables(results),
        learnt=learnt,
        ratings=rating_rows(results),
        next_context=next_context_rows(results),
        exposures=exposure_plots(results, models),
        beyond=beyond_accuracy(results),
        item_map=_item_map(results, model),
        examples=user_examples(results),
        events=event_examples(results),
        dataset=dataset_facts(results),
        splits=split_rows(results),
        features=feature_rows(results),
        beyond_training=beyond_rows(results),
        costs=cost_facts(results),
        protocol=_protocol(results),
        config=yaml.safe_dump(results.config.model_dump(mode="json", serialize_as_any=True), sort_keys=False),
    )  # fmt: skip
    return save_page(path or job.path / REPORT, text)


def environment() -> jinja2.Environment:
    """Templates in which every value is escaped, with the ways to write figures as filters."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    found.filters |= {
        "number": names.number,
        "metric": metric_filter,
        "p": names.p_value,
        "signed": names.signed,
        "set": names.set_name,
    }
    found.globals |= {"interval": names.interval, "SERIES": SERIES, "lower_is_better": lower_is_better}
    return found


def metric_filter(metric: str) -> str:
    return names.metric_name(metric)


def save_page(path: Path, text: str) -> Path:
    """Raises ConfigError if the file cannot be written."""
    temporary = path.with_name(path.name + ".tmp")
    try:
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); name another file") from None
    return path


def _item_map(results: JobResults, model: Recommender | None) -> ItemMap | None:
    """None too where the model cannot be had: an evaluation that was written elsewhere, or too little memory."""
    if not _has_towers(model_class(results.name)):
        return None
    try:
        return item_map(*_model_and_data(results, model))
    except (TfrecError, tf.errors.OpError, MemoryError):
        return None


def _learnt(results: JobResults, model: Recommender | None) -> Learnt | None:
    """Of a ranking model; None too where it cannot be had."""
    if results.task != "ranking":
        return None
    try:
        model, data = _model_and_data(results, model)
        assert isinstance(model, RankingModel)
        return what_was_learnt(model, data, results.headline)
    except (TfrecError, tf.errors.OpError, MemoryError):
        return None


def _model_and_data(results: JobResults, model: Recommender | None) -> tuple[Recommender, JobData]:
    if model is not None:
        return model, results.data
    model, data, _ = load_model(results.job)
    return model, data


def _has_towers(build: type[Recommender]) -> bool:
    """Whether to look for item vectors. A fitted model would be solved anew for them."""
    if issubclass(build, FittedModel) or not issubclass(build, RetrievalModel):
        return False
    return build.embeddings is not RetrievalModel.embeddings


def _protocol(results: JobResults) -> dict[str, Any]:
    found = results.metrics.get("protocol")
    return found if isinstance(found, dict) else {}
