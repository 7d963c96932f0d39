"""`python -m trainer.export`: a trained job → the next version of its SavedModel."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.dataset.directory import RAW_PREFIX
from tfrec.dataset.records import read_part
from tfrec.export import ExportTables, ModelCard, RankingExport, RetrievalExport, save_version
from tfrec.feature_transform import FeatureTransform
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.schema import USER_INDEX
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import load_model

EXAMPLE = """\
example: python -m trainer.export --job-dir JOB
         python -m trainer.export --job-dir JOB --output EXPORT/two_tower

Writes the next version of the job's model; a server that watches the directory picks it up.
"""


def export_tables(data: JobData) -> ExportTables:
    """Users with their latest history, and all that they have seen."""
    users = read_part(data.dataset, "users")
    users.pop(USER_INDEX)
    ids = users.pop(RAW_PREFIX + data.schema.user_id)
    return ExportTables(ids, users, data.interactions("train", "validation", "test"), data.catalogue)


def export_model(model: Recommender, data: JobData, base: Path, card: ModelCard) -> Path:
    """Write the next version of a trained model below `base`."""
    transform = FeatureTransform(data.schema, data.dataset.transform)
    tables = export_tables(data)
    with tempfile.TemporaryDirectory() as scratch:
        module: RetrievalExport | RankingExport
        if isinstance(model, RetrievalModel):
            module = RetrievalExport(model, transform, tables, Path(scratch))
        else:
            assert isinstance(model, RankingModel)
            module = RankingExport(model, transform, tables, Path(scratch))
        return save_version(module, module.signatures(), base, card)


def export_job(job: JobDirectory, output: str | None = None) -> Path:
    """Load the best weights of a job and export them.

    Raises:
        ArtifactError: no trained job, or its dataset has changed.

    """
    model, data, config = load_model(job)
    metrics = {key: value for key, value in job.read_metrics().items() if key != "protocol"}
    card = ModelCard(
        model_name=config.model_name,
        task=model.task,
        schema_fingerprint=data.schema.fingerprint,
        dataset=data.schema.name,
        dataset_fingerprint=config.dataset_fingerprint,
        config=config.model_dump(mode="json", serialize_as_any=True, include={"model", "train", "seed"}),
        metrics=metrics,
        num_users=data.dataset.rows("users"),
        num_items=data.catalogue.size,
    )
    return export_model(model, data, Path(output) if output else job.export(config.model_name), card)


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.export", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of python -m trainer.task")
    flags.add_argument("--output", help="base path of the versions; JOB/export/<model> by default")
    chosen = flags.parse(arguments)
    print(export_job(JobDirectory(chosen.job_dir), chosen.output))


if __name__ == "__main__":
    sys.exit(run_command(main))
