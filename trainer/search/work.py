"""The work of a search: one trial after another, in this process or in several."""

from __future__ import annotations

import gc
import multiprocessing
import signal
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import optuna
import tensorflow as tf
from optuna.trial import Trial, TrialState
from rich.console import Console

from tfrec.console import people_console
from tfrec.errors import ConfigError, Stopped, TfrecError
from trainer.job import JobDirectory
from trainer.run import run_job
from trainer.search.plan import SearchPlan
from trainer.search.processes import SIGNALS, end_with_parent, run_processes, stopped_by_signals
from trainer.search.study import (
    CONTINUES,
    REASON,
    SET_ASIDE,
    completed,
    counted,
    directory_of,
    next_trial,
    open_study,
)

# Parameters can be the cause: memory that a table does not get, or shapes that do not agree.
FAILURES = (TfrecError, tf.errors.OpError, ValueError, MemoryError)
HOPELESS = 3  # failures without a single success after which a search gives up


class _OutOfTimeError(Exception):
    """The time of the search is over; the trial goes on when the search does."""


def search(plan: SearchPlan, trials: int, deadline: float | None, jobs: int, console: Console) -> None:
    """Run trials until there are `trials`, or the deadline (of time.time) has passed.

    Raises:
        TfrecError: the first trials failed, one like the other.
        Stopped: a signal came; no process of the search runs any more.

    """
    if jobs == 1:
        work(plan, trials, deadline, nullcontext(), console)
        return
    context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
    lock, errors = context.Lock(), context.SimpleQueue()
    arguments = (plan, trials, deadline, lock, errors)
    workers = [context.Process(target=_work_apart, args=arguments, daemon=True) for _ in range(jobs)]
    run_processes(workers)
    if not errors.empty():
        raise ConfigError(errors.get())
    for number in SIGNALS:
        if any(worker.exitcode == 128 + number for worker in workers):
            raise Stopped(number, "a process of the search was stopped; the same command goes on")
    if any(worker.exitcode for worker in workers):
        codes = ", ".join(str(worker.exitcode) for worker in workers)
        raise ConfigError(f"a process of the search died (exit codes {codes}); give it fewer --jobs if memory ran out")


def work(
    plan: SearchPlan,
    trials: int,
    deadline: float | None,
    asking: AbstractContextManager[Any],
    console: Console,
) -> None:
    """Run one trial after another; `asking` is held while parameters are chosen."""
    study = open_study(plan)
    tf.get_logger().setLevel("ERROR")  # every trial traces anew, which is no reason to warn
    while deadline is None or time.time() < deadline:
        with asking:
            waiting = study.get_trials(deepcopy=False, states=(TrialState.WAITING,))
            if len(counted(study)) >= trials and not any(CONTINUES in trial.user_attrs for trial in waiting):
                return
            trial = next_trial(study, plan)
        try:
            _run(study, trial, plan, deadline)
        except (Stopped, KeyboardInterrupt):
            trial.set_user_attr(SET_ASIDE, True)
            raise
        except _OutOfTimeError:
            trial.set_user_attr(SET_ASIDE, True)
            where = directory_of(trial)
            console.print(f"trial {where}  out of time; the same command goes on with it", highlight=False)
            return
        _say(study, trial, plan, console)
        _give_up_if_hopeless(study)
        tf.keras.backend.clear_session()
        gc.collect()


def _run(study: optuna.Study, trial: Trial, plan: SearchPlan, deadline: float | None) -> None:
    """Train the job of a trial, and tell the study what became of it."""
    quiet = Console(quiet=True)
    job = JobDirectory(plan.directory / "trials" / directory_of(trial))
    try:
        config = plan.config(trial.params)
        found = run_job(
            config, job, quiet, on_epoch=reporter(study, trial, plan.monitor, deadline), must_evaluate=False
        )
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    except FAILURES as error:
        trial.set_user_attr(REASON, _reason(error))
        study.tell(trial, state=TrialState.FAIL)
    else:
        study.tell(trial, found[f"train/best_{plan.monitor}"])


def _reason(error: Exception) -> str:
    """One line; of what the library does not word itself, with the kind of error."""
    if isinstance(error, TfrecError):
        return str(error)
    text = str(getattr(error, "message", None) or error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text}".removesuffix(": ")


def reporter(
    study: optuna.Study, trial: Trial, monitor: str, deadline: float | None
) -> Callable[[int, dict[str, float]], None]:
    """What is called after each epoch: tells the study, and raises where the trial is to end."""
    known = study.get_trials(deepcopy=False)[trial.number].intermediate_values

    def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
        if epoch not in known:
            trial.report(metrics[monitor], epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
        if deadline is not None and time.time() >= deadline:
            raise _OutOfTimeError

    return on_epoch


def _say(study: optuna.Study, trial: Trial, plan: SearchPlan, console: Console) -> None:
    found = study.get_trials(deepcopy=False)[trial.number]
    shown = " ".join(f"{key.rpartition('.')[2]}={_short(value)}" for key, value in found.params.items())
    result = {
        TrialState.COMPLETE: f"{plan.monitor} {found.value or 0:.4f}",
        TrialState.PRUNED: f"pruned after epoch {found.last_step}",
        TrialState.FAIL: f"failed: {found.user_attrs.get(REASON)}",
    }[found.state]
    best = completed(study)
    mark = "  best" if best and best[0].number == found.number else ""
    console.print(f"trial {directory_of(found)}  {result}{mark}  {shown}", highlight=False, soft_wrap=True)


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _give_up_if_hopeless(study: optuna.Study) -> None:
    """Searching on is of no use if nothing can be trained at all."""
    ended = [trial for trial in counted(study) if trial.state.is_finished()]
    if len(ended) == HOPELESS and all(trial.state == TrialState.FAIL for trial in ended):
        raise ConfigError(f"the first {HOPELESS} trials failed, the last one so: {ended[-1].user_attrs.get(REASON)}")


def _work_apart(plan: SearchPlan, trials: int, deadline: float | None, asking: Any, errors: Any) -> None:
    end_with_parent()
    try:
        with stopped_by_signals():
            work(plan, trials, deadline, asking, people_console())
    except TfrecError as error:
        errors.put(str(error))
    except Stopped as stopped:
        sys.exit(stopped.exit_code)
    except KeyboardInterrupt:  # a second Ctrl-C while the first one is obeyed
        sys.exit(128 + signal.SIGINT)
