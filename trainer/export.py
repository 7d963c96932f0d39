"""`python -m trainer.export`: a trained job → the next version of its SavedModel."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError
from tfrec.export import ModelCard, RankingExport, RetrievalExport, save_version
from tfrec.export.attribute_filters import AttributeFilter, parse_filters
from tfrec.feature_transform import FeatureTransform
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from trainer.data import JobData
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import job_card
from trainer.release.tables import export_tables

EXAMPLE = """\
example: python -m trainer.export --job-dir JOB
         python -m trainer.export --job-dir JOB --output EXPORT/two_tower --filter genres --filter "min_age<="

Writes the next version of the job's model; a server that watches the directory picks it up.
"""


def export_model(
    model: Recommender,
    data: JobData,
    base: Path,
    card: ModelCard,
    filters: tuple[AttributeFilter, ...] = (),
) -> Path:
    """Write the next version of a trained model below `base`."""
    transform = FeatureTransform(data.schema, data.dataset.transform)
    tables = export_tables(data, filters)
    with tempfile.TemporaryDirectory() as scratch:
        module: RetrievalExport | RankingExport
        if isinstance(model, RetrievalModel):
            module = RetrievalExport(model, transform, tables, Path(scratch))
        else:
            assert isinstance(model, RankingModel)
            module = RankingExport(model, transform, tables, Path(scratch))
        return save_version(module, module.signatures(), base, card)


def export_job(job: JobDirectory, output: str | None = None, filters: Sequence[str] = ()) -> Path:
    """Load the best weights of a job and export them.

    Args:
        job: a finished one.
        output: base path of the versions; that of the job by default.
        filters: declared as `--filter`.

    Raises:
        ArtifactError: no trained job, or its dataset has changed.
        ConfigError: a filter by something that items do not have, or of a model that lists no items.

    """
    model, data, config = load_model(job)
    declared = parse_filters(filters, data.schema)
    if declared and not isinstance(model, RetrievalModel):
        raise ConfigError(f"--filter: {config.model_name} orders what it is given; filter where the items are found")
    card = job_card(job, model, data, config, declared)
    return export_model(model, data, Path(output) if output else job.export(config.model_name), card, declared)


def main(arguments: list[str]) -> None:
    flags = ArgumentParser(prog="python -m trainer.export", example=EXAMPLE)
    flags.add_argument("--job-dir", required=True, help="a job of python -m trainer.task")
    flags.add_argument("--output", help="base path of the versions; JOB/export/<model> by default")
    flags.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="FEATURE",
        help="an item feature that requests may filter by: NAME, or NAME<= or NAME>= of a number; repeat it",
    )
    chosen = flags.parse(arguments)
    print(export_job(JobDirectory(chosen.job_dir), chosen.output, chosen.filter))


if __name__ == "__main__":
    sys.exit(run_command(main))
