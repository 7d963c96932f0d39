"""A job directory belongs to one config, once an epoch is finished: another one would mix two runs."""

from __future__ import annotations

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError, TfrecError
from trainer.config import JobConfig, load_job_config
from trainer.job import JobDirectory


def claim(config: JobConfig, job: JobDirectory) -> None:
    """Write config.yaml into a new job directory, or see that it holds the same job; nothing else is touched.

    Raises:
        ConfigError: the directory holds another job, or the dataset is not the one it was trained on.

    """
    require_same_job(config, job)
    job.create()
    config.save(job.config)


def require_same_job(config: JobConfig, job: JobDirectory) -> None:
    """As `claim`, without writing."""
    if not (job.config.exists() and job.has_results):
        return
    earlier = load_job_config(job.config)
    if earlier.dataset_fingerprint != config.dataset_fingerprint:
        raise ConfigError(f"--job-dir {job.path}: {_difference(earlier, config)}; name a new directory")
    ours, theirs = config.model_dump(serialize_as_any=True), earlier.model_dump(serialize_as_any=True)
    for key in ("model_name", "seed", "model", "train"):
        if ours[key] != theirs[key]:
            raise ConfigError(
                f"--job-dir {job.path}: holds a job with another '{key}' ({theirs[key]}); name a new directory"
            )


def _difference(earlier: JobConfig, config: JobConfig) -> str:
    """In which way two datasets are not one; of the earlier one perhaps only the path is left."""
    if (earlier.train_files, earlier.eval_files) != (config.train_files, config.eval_files):
        return "was trained on other --train-files or --eval-files"
    if earlier.dataset == config.dataset:
        return f"{config.dataset} has changed since the job was started (it was {earlier.dataset_fingerprint})"
    try:
        before, now = DatasetDirectory(earlier.dataset).schema, DatasetDirectory(config.dataset).schema
    except TfrecError:
        return f"was trained on another dataset ({earlier.dataset})"
    if before.fingerprint == now.fingerprint:
        return f"was trained on another dataset ({earlier.dataset})"
    names = sorted({*before.features} | {*now.features})
    other = [name for name in names if before.features.get(name) != now.features.get(name)]
    what = f"the features {', '.join(other)}" if other else "label, time or split"
    return f"was trained on a dataset with another schema ({earlier.dataset}: differs in {what})"
