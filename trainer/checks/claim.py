"""A job directory belongs to one config, once a checkpoint is in it: another one would mix two runs."""

from __future__ import annotations

from typing import Any

from tfrec.dataset.directory import MANIFEST, DatasetDirectory
from tfrec.errors import ConfigError, TfrecError
from trainer.config import JobConfig, load_job_config
from trainer.job import JobDirectory


def claim(config: JobConfig, job: JobDirectory) -> None:
    """Write config.yaml into a new job directory, or see that it holds the same job; nothing else is touched.

    Raises:
        ConfigError: the directory holds another job, or the dataset is not the one it was trained on.

    """
    require_same_job(config, job)
    if job.has_results:  # where the weights came from stays on record, though the flag is not given again
        config = config.model_copy(update={"warm_start_from": load_job_config(job.config).warm_start_from})
    try:
        job.create()
        config.save(job.config)
    except OSError as error:
        raise ConfigError(
            f"--job-dir {job.path}: cannot be written ({error.strerror}); name another directory"
        ) from None


def require_same_job(config: JobConfig, job: JobDirectory) -> None:
    """As `claim`, without writing."""
    if (job.path / MANIFEST).exists():
        raise ConfigError(f"--job-dir {job.path}: is a dataset; name another directory")
    if job.has_results and not job.config.exists():
        raise ConfigError(
            f"--job-dir {job.path}: {job.checkpoints} holds checkpoints of another job; name a directory of its own "
            "with AIP_CHECKPOINT_DIR, or the --job-dir that they belong to"
        )
    if not (job.config.exists() and job.has_results):
        return
    earlier = load_job_config(job.config)
    if earlier.dataset_fingerprint != config.dataset_fingerprint:
        raise ConfigError(f"--job-dir {job.path}: {_difference(earlier, config)}; name a new directory")
    ours, theirs = (_leaves(found.model_dump(mode="json", serialize_as_any=True)) for found in (config, earlier))
    keys = [key for key in ours | theirs if key.partition(".")[0] in ("model_name", "seed", "model", "train")]
    other = [f"{key} {theirs.get(key)} there, {ours.get(key)} here" for key in keys if ours.get(key) != theirs.get(key)]
    if other:
        raise ConfigError(f"--job-dir {job.path}: holds another job ({'; '.join(other[:5])}); name a new directory")


def _leaves(content: dict[str, Any], at: str = "") -> dict[str, Any]:
    """Dotted key → value."""
    found: dict[str, Any] = {}
    for key, value in content.items():
        found |= _leaves(value, f"{at}{key}.") if isinstance(value, dict) and value else {f"{at}{key}": value}
    return found


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
