"""The study: which parameters come next, what became of the trials, and what an interruption left."""

from __future__ import annotations

import fcntl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import optuna
from optuna.trial import FrozenTrial, Trial, TrialState

from tfrec.errors import ConfigError
from trainer.search.plan import SearchPlan

# Names under which a trial remembers things.
DIRECTORY = "directory"  # of its job, below trials/
REASON = "reason"  # why it failed
CONTINUES = "continues"  # number of a trial that was broken off, in whose directory it goes on
SET_ASIDE = "set_aside"  # it was broken off on purpose: by a signal, or out of time

RETRIES = 2  # of a trial whose process dies, which it may itself be the cause of (memory)


def open_study(plan: SearchPlan) -> optuna.Study:
    """The study of a directory, a new one with the base config as its first trial."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        storage=f"sqlite:///{plan.directory / 'study.db'}",
        study_name=plan.model,
        direction="minimize" if plan.lower_is_better else "maximize",
        pruner=_pruner(plan),
        load_if_exists=True,
    )
    if not study.trials:
        study.enqueue_trial(plan.defaults())
    return study


@contextmanager
def alone(plan: SearchPlan) -> Iterator[None]:
    """Hold the study directory for this command.

    Raises:
        ConfigError: another one searches there.

    """
    with open(plan.directory / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise ConfigError(
                f"--study-dir {plan.directory}: another command searches there; wait for it, or give it more --jobs"
            ) from None
        yield


def retry_broken_off(study: optuna.Study) -> int:
    """Queue what was running when the last command ended; return how many trials that are.

    A trial during which the process died more than `RETRIES` times has failed.
    """
    trials = study.get_trials(deepcopy=False)
    already = _continued(trials)
    broken_off = [trial for trial in trials if trial.state == TrialState.RUNNING]
    given_up = 0
    for trial in broken_off:
        deaths = sum(SET_ASIDE not in part.user_attrs for part in _parts(trials, trial))
        if deaths > RETRIES and trial.number not in already:
            reason = f"the process died {deaths} times while it ran, perhaps for want of memory"
            Trial(study, trial._trial_id).set_user_attr(REASON, reason)
            given_up += 1
        elif trial.number not in already:
            study.enqueue_trial(trial.params, user_attrs={DIRECTORY: directory_of(trial), CONTINUES: trial.number})
        study.tell(trial.number, state=TrialState.FAIL)
    return len(broken_off) - given_up


def next_trial(study: optuna.Study, plan: SearchPlan) -> Trial:
    """Ask for parameters: the queued ones, else the sampler's.

    What the sampler draws follows from the seed, the number of the draw and the trials before it: an interruption
    changes nothing, as it would if the sampler went on with random numbers of its own.
    """
    drawn = sum(CONTINUES not in trial.user_attrs for trial in started(study))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.sampler = optuna.samplers.TPESampler(seed=(plan.seed * 100_003 + drawn) % 2**32)
    trial = study.ask({key: dimension.distribution for key, dimension in plan.space.items()})
    if CONTINUES in trial.user_attrs:  # what its epochs reached is what later trials are compared with
        before = study.get_trials(deepcopy=False)[trial.user_attrs[CONTINUES]]
        for epoch, value in before.intermediate_values.items():
            trial.report(value, epoch)
    return trial


def started(study: optuna.Study) -> list[FrozenTrial]:
    """All trials but those that wait."""
    return [trial for trial in study.get_trials(deepcopy=False) if trial.state != TrialState.WAITING]


def counted(study: optuna.Study) -> list[FrozenTrial]:
    """Trials that are running or came to an end; of those that were broken off the one that goes on."""
    again = _continued(study.get_trials(deepcopy=False))
    return [trial for trial in started(study) if trial.number not in again]


def completed(study: optuna.Study) -> list[FrozenTrial]:
    """Finished trials, the best one first; of equal ones the earlier."""
    sign = 1 if study.direction == optuna.study.StudyDirection.MINIMIZE else -1
    found = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    return sorted(found, key=lambda trial: (sign * (trial.value or 0.0), trial.number))


def directory_of(trial: FrozenTrial | Trial) -> str:
    """Name of a trial's job below trials/."""
    return str(trial.user_attrs.get(DIRECTORY, f"{trial.number:04d}"))


def _continued(trials: list[FrozenTrial]) -> set[int]:
    return {trial.user_attrs[CONTINUES] for trial in trials if CONTINUES in trial.user_attrs}


def _parts(trials: list[FrozenTrial], trial: FrozenTrial) -> list[FrozenTrial]:
    """The trial and those that it goes on with, the last one first."""
    parts = [trial]
    while CONTINUES in parts[-1].user_attrs:
        parts.append(trials[parts[-1].user_attrs[CONTINUES]])
    return parts


def _pruner(plan: SearchPlan) -> optuna.pruners.BasePruner:
    if plan.pruner == "hyperband":
        return optuna.pruners.HyperbandPruner(min_resource=1, max_resource=max(plan.base.train.epochs, 2))
    if plan.pruner == "median":
        return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=3)
    return optuna.pruners.NopPruner()
