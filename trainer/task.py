"""`python -m trainer.task`: a dataset → a trained, evaluated, exported model."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

from tfrec.command_line import run_command
from trainer.request.flags import TaskRequest, task_request
from trainer.training.interrupt import stop_on_sigterm

if TYPE_CHECKING:  # these load TensorFlow, and --help should not
    from rich.console import Console

    from tfrec.models.base import Recommender
    from trainer.cluster.placement import Placement
    from trainer.config import JobConfig
    from trainer.data import JobData
    from trainer.job import JobDirectory


def main(arguments: list[str]) -> None:
    request = task_request(arguments)
    from tfrec.console import people_console
    from trainer.cluster.parameter_server import take_part
    from trainer.cluster.placement import place
    from trainer.job import JobDirectory

    job, console = JobDirectory(request.job_dir, request.places), people_console()
    placement = place(
        request.strategy,
        logical_devices=request.logical_devices,
        shard_rows=request.shard_rows,
        timeout_seconds=request.cluster_timeout_seconds,
    )
    if placement.purpose != "train":
        take_part(placement, is_finished=job.metrics.exists)
        return
    result = _train(request, job, placement, console)
    if request.wants_json and placement.is_chief:
        json.dump(result, sys.stdout, indent=2)


def _train(request: TaskRequest, job: JobDirectory, placement: Placement, console: Console) -> dict[str, Any]:
    import tensorflow as tf

    from trainer.checks.dry_run import dry_run
    from trainer.exported import require_writable
    from trainer.run import run_job

    tf.get_logger().setLevel("ERROR")  # each model that is evaluated traces anew, which is no reason to warn
    if request.places.model is not None and placement.is_chief:
        require_writable(request.places.model)
    _ = placement.strategy  # finds the other machines, before TensorFlow does anything else
    config = _config(request)
    if request.is_dry_run:
        return dry_run(config, job, console, placement)
    result = run_job(
        config,
        job,
        console,
        placement=placement,
        profile=request.profile,
        on_evaluated=lambda model, data: _report(job, console, model, data),
    )
    if placement.is_chief and request.must_export:
        _export(request, job, console)
    return result


def _config(request: TaskRequest) -> JobConfig:
    from trainer.config import resolve_config
    from trainer.request.files import identity, open_dataset

    dataset = open_dataset(request.dataset, request.train_files, request.eval_files)
    return resolve_config(
        request.model,
        request.config_file,
        request.overrides,
        **identity(dataset),
        seed=request.seed,
        warm_start_from=request.warm_start_from,
    )


def _export(request: TaskRequest, job: JobDirectory, console: Console) -> None:
    """Export what is not yet exported, and copy it to where a scheduler wants it."""
    from trainer.export import export_job
    from trainer.exported import copy_version, current_version

    exported = current_version(job)
    if exported is None:
        exported = export_job(job)
        console.print(f"exported {exported}", highlight=False, soft_wrap=True)
    else:
        console.print(f"{exported} is up to date", highlight=False, soft_wrap=True)
    if request.places.model is not None:
        copy_version(exported, request.places.model)


def _report(job: JobDirectory, console: Console, model: Recommender, data: JobData) -> None:
    """Write the page; a job is done without it, so a page that fails is said and no more."""
    from trainer.report.write import write_report

    try:
        console.print(f"report {write_report(job, model=model, data=data)}", highlight=False, soft_wrap=True)
    except Exception as error:
        said = str(error).partition("\n")[0]
        console.print(f"no report ({type(error).__name__}: {said})", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    stop_on_sigterm("job")
    sys.exit(run_command(main))
