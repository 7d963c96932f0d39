"""The command's flags → the log, the policy and the estimates."""

from __future__ import annotations

import argparse

from tfrec.off_policy import LoggedActions, OffPolicyEvaluation, evaluate_actions, evaluate_slates
from trainer.logged_policy.choice import Choice
from trainer.logged_policy.table import LogTable, actions_of_table, require_log, slates_of_table


def judge(chosen: argparse.Namespace) -> tuple[str, str, OffPolicyEvaluation]:
    """What was judged, on what, and what came of it.

    Raises:
        ConfigError, DataError, ArtifactError: flags, log or job are not usable.

    """
    if chosen.job_dir is not None:
        title, log = _job(chosen)
        return title, _units(log, "users"), evaluate_actions(log)
    table = LogTable(chosen.log)
    title = f"{chosen.log}, the policy of column {chosen.target_probability!r}"
    columns = {name: getattr(chosen, name) for name in ("reward", "propensity", "target_probability", "cluster")}
    if chosen.position is None:
        log = actions_of_table(table, predicted=chosen.predicted, predicted_target=chosen.predicted_target, **columns)
        return title, _units(log, chosen.cluster), evaluate_actions(log)
    slates = slates_of_table(
        table,
        request=chosen.request,
        position=chosen.position,
        position_propensity=chosen.position_propensity,
        position_target_probability=chosen.position_target_probability,
        **columns,
    )
    count = slates.rewards.shape[-2]
    independent = f"{len(slates.clusters):,} of {chosen.cluster}" if chosen.cluster else "taken to be independent"
    return title, f"{count:,} slates, {independent}", evaluate_slates(slates)


def _job(chosen: argparse.Namespace) -> tuple[str, LoggedActions]:
    from trainer.config import load_job_config
    from trainer.job import JobDirectory
    from trainer.logged_policy.job_log import actions_of_file, actions_of_split
    from trainer.logged_policy.job_policy import require_candidates
    from trainer.model import load_model

    job = JobDirectory(chosen.job_dir)
    require_candidates(load_job_config(job.config), chosen.candidates, chosen.log, chosen.request)
    if chosen.log is not None:
        require_log(chosen.log)
    model, data, config = load_model(job, chosen.dataset)
    choice = Choice(1.0 if chosen.temperature is None else chosen.temperature, chosen.epsilon)
    policy = f"{config.model_name} of {chosen.job_dir}, {choice}"
    if chosen.log is None:
        log = actions_of_split(model, data, chosen.split, choice, chosen.candidates)
        learnt = ", from which it learnt: estimators with its predictions flatter it" if chosen.split == "train" else ""
        return f"{policy}, on the {chosen.split} split of {data.dataset.path}{learnt}", log
    log = actions_of_file(
        model,
        data,
        LogTable(chosen.log),
        choice,
        chosen.candidates,
        user=chosen.user or data.schema.user_id,
        item=chosen.item or data.schema.item_id,
        reward=chosen.reward,
        propensity=chosen.propensity,
        request=chosen.request,
    )
    return f"{policy}, on {chosen.log}", log


def _units(log: LoggedActions, cluster: str | None) -> str:
    rows = log.rewards.shape[-1]
    if cluster is None:
        return f"{rows:,} rows, taken to be independent (name what they share with --cluster)"
    return f"{rows:,} rows of {len(log.clusters):,} {cluster}"
