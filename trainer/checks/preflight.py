"""What is checked at the start of every run, before a record is read or a table made."""

from __future__ import annotations

from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ConfigError
from tfrec.models.learning import GradientModel
from tfrec.models.registry import model_class
from trainer.checks.memory import Need, machine, memory_need, require_fit, smallest_gpu
from trainer.checks.values import require_rows
from trainer.cluster.placement import Placement
from trainer.config import JobConfig
from trainer.evaluation.unvalidated import STEPS
from trainer.training.whole_rows import require_whole_rows, training_rows


def preflight(config: JobConfig, dataset: DatasetDirectory, placement: Placement) -> Need:
    """Refuse a job that cannot run; return what memory it needs.

    Args:
        config: of the job.
        dataset: with the files that the job names.
        placement: of this process; parameter servers divide the tables.

    Raises:
        ConfigError: the job does not fit the machine, there is nothing to choose an epoch by, or the rows that the
            model learns from cannot come as the config wants.
        DataError: there is nothing to train on.

    """
    _require_xla_can(config, placement)
    require_whole_rows(config, placement)
    is_measured = issubclass(model_class(config.model_name), GradientModel) and config.train.monitor != STEPS
    require_rows(dataset, needs_validation=is_measured)
    _require_rows_to_calibrate(config, dataset)
    need = memory_need(config, dataset)
    require_fit(config, need, machine(), smallest_gpu(), placement.table_shards)
    return need


def _require_xla_can(config: JobConfig, placement: Placement) -> None:
    if config.train.xla and placement.name != "one":
        raise ConfigError(f"train.xla: compiles steps of one device, not of {placement.name}; leave it out")
    if config.train.xla and getattr(config.model, "mask_known_positives", False):
        raise ConfigError("train.xla: cannot compile model.mask_known_positives; set that to false, or leave xla out")
    if config.train.xla and training_rows(config) == "groups":
        raise ConfigError(
            "train.xla: cannot compile losses that compare events; set model.loss=pointwise, or leave xla out"
        )


def _require_rows_to_calibrate(config: JobConfig, dataset: DatasetDirectory) -> None:
    kind = getattr(config.model, "calibration", "none")
    if kind != "none" and not dataset.rows("validation"):
        raise ConfigError(
            f"model.calibration={kind}: is fitted on the validation split, and {dataset.path} has none; give "
            "split.validation a share, or leave it out"
        )
