"""The calibration of a ranking model: fitted on validation when training is over, kept beside its checkpoints."""

from __future__ import annotations

import json

from tfrec.errors import ArtifactError, DataError
from tfrec.models.base import RankingModel, Recommender
from tfrec.schema import LABEL
from trainer.data import JobData
from trainer.evaluation.scores import predict, scorer_of
from trainer.job import JobDirectory

KIND = "kind"


def calibrate(model: Recommender, data: JobData, job: JobDirectory) -> None:
    """Fit the calibration that the model's config asks for, if it does, and keep it in the job.

    The best weights stay as they are, and their logits too: fitting again gives the same curve.

    Raises:
        DataError: no validation row has a weight.

    """
    if not isinstance(model, RankingModel) or model.calibration is None:
        return
    records = data.validation
    logits = predict(model, records, scorer_of(model.corrected_logits))
    weights = model.metric_weights(records)
    try:
        model.calibration.fit(logits, records[LABEL], weights)
    except ValueError as error:
        raise DataError(
            f"{data.dataset.path}, validation: {error}; give the split more rows, or leave model.calibration out"
        ) from None
    job.write_calibration({KIND: model.calibration.name, "curve": model.calibration.curve()})


def restore_calibration(model: Recommender, job: JobDirectory) -> None:
    """Put the fitted curve into the model, if it has one.

    Raises:
        ArtifactError: there is none, because training is not finished, or it is damaged.

    """
    if not isinstance(model, RankingModel) or model.calibration is None:
        return
    try:
        content = json.loads(job.calibration.read_text(encoding="utf-8"))
        if content[KIND] != model.calibration.name:
            raise ValueError(f"is of kind {content[KIND]}")
        model.calibration.restore(content["curve"])
    except FileNotFoundError:
        raise ArtifactError(
            f"{job.calibration}: absent; the curve is fitted when training is over: run python -m trainer.task again"
        ) from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{job.calibration}: damaged ({error}); run python -m trainer.task again") from None
