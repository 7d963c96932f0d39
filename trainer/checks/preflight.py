"""What is checked at the start of every run, before a record is read or a table made."""

from __future__ import annotations

from tfrec.dataset.directory import DatasetDirectory
from tfrec.models.base import GradientModel
from tfrec.models.registry import model_class
from trainer.checks.memory import Need, machine, memory_need, require_fit, smallest_gpu
from trainer.checks.values import require_rows
from trainer.config import JobConfig


def preflight(config: JobConfig, dataset: DatasetDirectory, table_shards: int = 1) -> Need:
    """Refuse a job that cannot run; return what memory it needs.

    Args:
        config: of the job.
        dataset: with the files that the job names.
        table_shards: parameter servers over which the tables are divided.

    Raises:
        ConfigError: the job does not fit the machine, or there is nothing to choose an epoch by.
        DataError: there is nothing to train on.

    """
    require_rows(dataset, needs_validation=issubclass(model_class(config.model_name), GradientModel))
    need = memory_need(config, dataset)
    require_fit(config, need, machine(), smallest_gpu(), table_shards)
    return need
