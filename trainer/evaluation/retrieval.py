"""All metrics of a retrieval model and of the baselines, on every query set."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.errors import DataError, TfrecError
from tfrec.metrics import Profiles
from tfrec.models.base import RetrievalModel
from trainer.data import JobData
from trainer.evaluation.baselines import fitted_baseline, settings_to_try
from trainer.evaluation.choices import ChoiceStore, open_choices
from trainer.evaluation.config import EvaluationConfig
from trainer.evaluation.facts import item_facts, user_groupings, vector_features
from trainer.evaluation.judge import Judge
from trainer.evaluation.lists import Scorer, ranked_chunks, retrieval_scorer
from trainer.evaluation.predictions import ListsFile
from trainer.evaluation.query_sets import QuerySet, query_sets

# Of a baseline; memory that does not suffice is not worth a model that was trained for hours.
FAILURES = (TfrecError, tf.errors.OpError, MemoryError)


def evaluate_retrieval_job(
    model: RetrievalModel,
    data: JobData,
    config: EvaluationConfig,
    predictions: Path | None = None,
    store: ChoiceStore | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, Any]:
    """Flat metrics of the model and of the baselines, and the protocol in words.

    Args:
        model: trained.
        data: of its job.
        config: the protocol.
        predictions: directory for the lists; None to keep none.
        store: settings of the baselines that were chosen before; those that are chosen now are added.
        say: hears, for people, what is tuned and how long it took.

    Raises:
        DataError: no set has a query.

    """
    sets = query_sets(data, config)
    if not any(len(found.queries.users) for found in sets):
        raise DataError(
            f"{data.dataset.path}: nothing to evaluate, no user of validation or test has an unseen item there; "
            "give split.validation and split.test a share, or say --set evaluation.exclude=nothing"
        )
    run = _Run(data, config, sets, predictions)
    protocol = words(data, config, sets)
    model.refresh()
    result = run.answers(model, None)
    store = store or open_choices(None, None, data.dataset, config)
    _announce(data, config, store, say)
    started = time.perf_counter()
    for name in config.baselines:
        try:
            baseline, choice = fitted_baseline(name, data, config, store)
            answers = run.answers(baseline, name)
        except FAILURES as error:
            protocol[f"baseline {name}"] = f"left out: {str(error).partition(chr(10))[0] or type(error).__name__}"
            continue
        protocol[f"baseline {name}"] = choice.words
        result |= answers
    if config.baselines:
        say(f"baselines tuned and evaluated in {time.perf_counter() - started:.1f} s")
    store.save()
    run.drop_older_files()
    return {**result, "protocol": protocol}


def _announce(data: JobData, config: EvaluationConfig, store: ChoiceStore, say: Callable[[str], None]) -> None:
    """Tuning may take longer than the training, so people hear of it before."""
    wanted = {name: settings_to_try(name, data, config) for name in config.baselines if store.get(name) is None}
    tuned = {name: count for name, count in wanted.items() if count > 1}
    if tuned:
        names = ", ".join(f"{name} ({count} settings)" for name, count in tuned.items())
        shorter = "evaluation.baselines and evaluation.baseline_trials make it shorter"
        say(f"tuning baselines on validation: {names}; {shorter}")
    elif config.baselines:
        say(f"baselines: {', '.join(config.baselines)}, nothing left to tune")


class _Run:
    """What all models of an evaluation share."""

    def __init__(self, data: JobData, config: EvaluationConfig, sets: list[QuerySet], predictions: Path | None) -> None:
        self._config, self._sets, self._predictions = config, sets, predictions
        self._facts, self._groupings = item_facts(data), user_groupings(data)
        # Where nothing is excluded, users still have what they took in training.
        known = [found.queries.seen if config.exclude == "seen" else data.model_inputs.train for found in sets]
        profiles = {id(seen): Profiles.of(seen, self._facts) for seen in {id(seen): seen for seen in known}.values()}
        self._profiles = {found.name: profiles[id(seen)] for found, seen in zip(sets, known, strict=True)}
        self._written: set[Path] = set()

    def answers(self, model: RetrievalModel, baseline: str | None) -> dict[str, float]:
        """Flat metrics of one model on all sets; that of the job (baseline None) has intervals too."""
        result: dict[str, float] = {}
        # Tracing costs more than it saves where each baseline answers a few batches.
        scorer = retrieval_scorer(model) if baseline is None else model.scores
        for found in self._sets:
            for name, judge in self._judged(model, scorer, found, baseline).items():
                prefix = f"{name}/{baseline}" if baseline else name
                result |= {f"{prefix}/{metric}": value for metric, value in judge.metrics().items()}
                if baseline is None:
                    result[f"{name}/users"] = judge.users
        return result

    def _judged(self, model: RetrievalModel, scorer: Scorer, found: QuerySet, baseline: str | None) -> dict[str, Judge]:
        """The judges of a set and of its parts, after they saw all lists; the lists are kept."""
        config, is_own = self._config, baseline is None
        judges = {
            name: Judge(config.ks, self._facts, self._profiles[found.name], self._groupings, has_intervals=is_own)
            for name in (found.name, *found.parts)
        }
        chunks = ranked_chunks(
            model,
            found.queries,
            scorer,
            length=config.list_length,
            batch_size=config.batch_size,
            candidates=found.candidates,
            has_auc=config.auc and found.candidates is None,
        )
        with ExitStack() as stack:
            files = {}
            if self._predictions is not None and len(found.queries.users):
                paths = {
                    name: self._predictions / f"{name}{'' if is_own else f'.{baseline}'}.parquet" for name in judges
                }
                self._written |= set(paths.values())
                files = {name: stack.enter_context(ListsFile(path)) for name, path in paths.items()}
            for lists, values in chunks:
                for name, judge in judges.items():
                    is_part = name != found.name
                    part = found.parts[name][1](lists) if is_part else lists
                    judge.add(part, None if is_part else values)
                    if name in files:
                        files[name].write(part)
        return judges

    def drop_older_files(self) -> None:
        """Remove the lists of an earlier evaluation that had other sets or baselines."""
        if self._predictions is not None:
            for path in set(self._predictions.glob("*.parquet")) - self._written:
                path.unlink()


def words(data: JobData, config: EvaluationConfig, sets: list[QuerySet]) -> dict[str, str]:
    """What the numbers mean, for people."""
    seen = "items seen in earlier splits are excluded" if config.exclude == "seen" else "nothing is excluded"
    unseen = "with an unseen item in it" if config.exclude == "seen" else "with an event in it"
    who = f"every user of the split {unseen}"
    if config.users is not None:
        who = f"{config.users.count:,} users at most, drawn with seed {config.users.seed}, of those {unseen}"
    found = {
        "ranking": f"full catalogue; {seen}; ties go to the lower item index",
        "users": f"{who}; metrics are means over users",
        "intervals": "low and high: 95 %, bootstrap over users",
    }
    if config.protocol is not None:
        found["preset"] = config.protocol
    if alike := vector_features(data):
        found["diversity"] = f"1 − mean cosine of the items' {', '.join(alike)}"
    if above := [str(k) for k in config.ks if k > data.catalogue.size]:
        found["ks"] = f"above the catalogue of {data.catalogue.size:,} items, where lists end: {', '.join(above)}"
    for one in sets:
        found[one.name] = one.meaning if len(one.queries.users) else f"{one.meaning}; no user has a query in it"
        found |= {name: meaning for name, (meaning, _) in one.parts.items()}
    return found
