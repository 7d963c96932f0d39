"""What a search found: a table of its trials, which parameters mattered, and the best config as a file."""

from __future__ import annotations

import csv
import io
import warnings
from pathlib import Path
from typing import Any

import optuna
import yaml
from optuna.importance import PedAnovaImportanceEvaluator, get_param_importances
from optuna.trial import FrozenTrial
from rich.console import Console

from tfrec.console import whole_table
from trainer.config import resolve_config
from trainer.search.plan import SearchPlan
from trainer.search.study import REASON, completed, counted, directory_of

SHOWN = 10  # trials in the printed table
ENOUGH = 20  # finished trials from which on importance says something


def write_trials(study: optuna.Study, plan: SearchPlan) -> Path:
    """Write trials.csv: every trial, in order."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", "directory", "state", plan.monitor, "last_epoch", "seconds", *plan.space, "reason"])
    for trial in counted(study):
        seconds = "" if trial.duration is None else f"{trial.duration.total_seconds():.1f}"
        value = "" if trial.value is None else repr(trial.value)
        parameters = [trial.params.get(key, "") for key in plan.space]
        about = [trial.number, directory_of(trial), trial.state.name.lower(), value, trial.last_step or "", seconds]
        writer.writerow([*about, *parameters, trial.user_attrs.get(REASON, "")])
    return _write(plan.directory / "trials.csv", text.getvalue())


def write_best(study: optuna.Study, plan: SearchPlan) -> Path | None:
    """Write best.yaml, the settings in which the best trial differs from the model's defaults; None without a trial."""
    found = completed(study)
    if not found:
        return None
    best = found[0]
    ours = plan.config(best.params).model_dump(mode="json", serialize_as_any=True)
    identity = {"dataset": plan.base.dataset, "dataset_fingerprint": plan.base.dataset_fingerprint}
    defaults = resolve_config(plan.model, None, [], **identity).model_dump(mode="json", serialize_as_any=True)
    differences = {
        section: {key: value for key, value in ours[section].items() if value != defaults[section][key]}
        for section in ("model", "train", "evaluation")
    }
    place = f"trial {directory_of(best)} of {len(counted(study))}"
    head = f"# {plan.model}, {place}: validation {plan.monitor} {best.value}\n"
    content = {section: values for section, values in differences.items() if values}
    return _write(plan.directory / "best.yaml", head + yaml.safe_dump(content, sort_keys=False))


def importance(study: optuna.Study) -> dict[str, float]:
    """Share of each parameter in what makes a trial good (PED-ANOVA, Watanabe et al. 2023); {} for too few trials."""
    if len({trial.value for trial in completed(study)}) < ENOUGH:
        return {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls it experimental; its fANOVA wants scikit-learn
        return get_param_importances(study, evaluator=PedAnovaImportanceEvaluator())


def print_study(console: Console, study: optuna.Study, plan: SearchPlan) -> None:
    """The best trials, and which parameters mattered."""
    best = completed(study)
    table = whole_table("trial", f"validation {plan.monitor}", *(key.rpartition(".")[2] for key in plan.space))
    for trial in best[:SHOWN]:
        table.add_row(directory_of(trial), f"{trial.value:.4f}", *(_shown(trial, key) for key in plan.space))
    states = [trial.state.name.lower() for trial in counted(study)]
    console.print(" · ".join(f"{states.count(name)} {name}" for name in dict.fromkeys(states)), highlight=False)
    console.print(table)
    shares = importance(study)
    if shares:
        told = " · ".join(f"{key} {share:.0%}" for key, share in shares.items())
        console.print(f"what mattered: {told}", highlight=False)


def as_json(study: optuna.Study, plan: SearchPlan) -> dict[str, Any]:
    best = completed(study)
    return {
        "monitor": plan.monitor,
        "trials": len(counted(study)),
        "best": None
        if not best
        else {"directory": directory_of(best[0]), "value": best[0].value, "parameters": best[0].params},
        "importance": importance(study),
    }


def _shown(trial: FrozenTrial, key: str) -> str:
    value = trial.params.get(key)
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _write(path: Path, text: str) -> Path:
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)
    return path
