"""Jobs of one config, trained again on what an ablation leaves."""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import tensorflow as tf
from rich.console import Console

from tfrec.dataset.directory import DatasetDirectory
from tfrec.dataset.records import Arrays
from tfrec.errors import ConfigError
from trainer.ablation.changes import WHATS, Ablation, ablations, in_drawn_order, without
from trainer.ablation.dataset import changed_dataset
from trainer.checks.beyond_training import columns_read
from trainer.checks.claim import require_same_job
from trainer.config import JobConfig
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.report.results import JobResults
from trainer.request.files import open_job_dataset
from trainer.run import run_job

ORDER_SEED = 1


def require_one_config(jobs: Sequence[JobResults]) -> None:
    """Refuse jobs that differ in more than the seed.

    Raises:
        ConfigError: they do, or two have the same seed.

    """
    first = jobs[0]
    for other in jobs[1:]:
        if _without_seed(other.config) != _without_seed(first.config):
            raise ConfigError(
                f"--job-dir {other.job.path}: has another config than {first.job.path}; ablate one config at a time, "
                "given by jobs that differ in the seed alone"
            )
    if len({one.config.seed for one in jobs}) < len(jobs):
        raise ConfigError("--job-dir: two jobs have the same seed, so they are the same run; name one of them")


def _without_seed(config: JobConfig) -> str:
    return config.model_copy(update={"seed": 0}).model_dump_json(serialize_as_any=True)


def to_take_away(
    config: JobConfig, data: JobData, tells_time: Collection[str], wanted: Collection[str] | None
) -> list[Ablation]:
    """What there is in the model that can be taken away, in the order of `WHATS`.

    Raises:
        ConfigError: nothing, or not what is wanted.

    """
    reads = columns_read(build_model(config, data))
    possible = ablations(data.schema, reads, tells_time)
    missing = [what for what in wanted or () if what not in possible]
    if missing or not possible:
        what = f"no {' and no '.join(missing or WHATS)}"
        raise ConfigError(
            f"{config.model_name} reads {what}, so nothing can be taken away; it reads "
            f"{', '.join(sorted(reads))}; name features that tell the time with --time, or train a model with features "
            "of role context or a history"
        )
    return [possible[what] for what in WHATS if what in possible and (not wanted or what in wanted)]


def ablated_data(dataset: DatasetDirectory, ablation: Ablation, target: Path) -> DatasetDirectory:
    """The dataset without something; what is left says nothing of it, in training as in the questions of the test."""
    schema = dataset.schema

    def change(split: str, records: Arrays) -> Arrays:
        found = without(records, ablation, schema, ORDER_SEED)
        if ablation.what == "order" and split == "train":
            found = in_drawn_order(found, schema, ORDER_SEED)
        return found

    sign = f"without {ablation.what} in {', '.join(ablation.columns)}, seed {ORDER_SEED}"
    return changed_dataset(dataset, target, change, sign)


def retrained(
    job: JobResults, ablation: Ablation, output: Path, console: Console, say: Callable[[str], None]
) -> JobResults:
    """The job once more on the ablated dataset; one that an earlier run finished is not trained again.

    Raises:
        ConfigError: `output` holds the ablation of another job, or of other features.

    """
    name = f"without_{ablation.what}"
    dataset = ablated_data(open_job_dataset(job.config), ablation, output / "datasets" / name)
    evaluation = job.config.evaluation.model_copy(update={"baselines": (), "baselines_from": None, "windows": 0})
    config = job.config.model_copy(
        update={
            "dataset": str(dataset.path.resolve()),
            "dataset_fingerprint": dataset.fingerprint,
            "train_files": (),
            "eval_files": (),
            "evaluation": evaluation,
        }
    )
    directory = JobDirectory(output / name / f"seed_{config.seed}")
    require_same_job(config, directory)
    if not directory.metrics.exists():
        say(f"training without {ablation.what} ({', '.join(ablation.columns)}), seed {config.seed}")
        run_job(config, directory, console)
        tf.keras.backend.clear_session()
        gc.collect()
    return JobResults(directory)
