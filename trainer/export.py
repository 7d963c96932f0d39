"""`python -m trainer.export`: a trained job, or several as a cascade → the next version of a SavedModel."""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tfrec.command_line import ArgumentParser, run_command
from tfrec.errors import ConfigError
from tfrec.export import ModelCard, RankingExport, RetrievalExport, save_version
from tfrec.export.attribute_filters import AttributeFilter, parse_filters
from tfrec.export.search import Search
from tfrec.feature_transform import FeatureTransform
from tfrec.index import IndexConfig
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from trainer.data import JobData
from trainer.item_index import add_index_flags, find_index, index_config
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.release.cards import job_card
from trainer.release.cascade import export_cascade
from trainer.release.checks import CHECKS, Checks, bearable, finisher
from trainer.release.parity import check_parity
from trainer.release.tables import export_tables

EXAMPLE = """\
example: python -m trainer.export --job-dir JOB
         python -m trainer.export --job-dir JOB --output EXPORT/two_tower --filter genres --filter "min_age<="
         python -m trainer.export --job-dir JOB --ranker RANKING_JOB --output EXPORT/cascade --set candidates=300
         python -m trainer.export --job-dir JOB --index ivf --recall-at-least 0.95
         python -m trainer.export --job-dir JOB --ranker RANKING_JOB --output EXPORT/cascade --index auto

Writes the next version of the job's model; a server that watches the directory picks it up.
"""


def export_model(
    model: Recommender,
    data: JobData,
    base: Path,
    card: ModelCard,
    filters: tuple[AttributeFilter, ...] = (),
    checks: Checks = "quick",
    search: Search | None = None,
) -> Path:
    """Write the next version of a trained model below `base`."""
    transform = FeatureTransform(data.schema, data.dataset.transform)
    tables = export_tables(data, filters)
    with tempfile.TemporaryDirectory() as scratch:
        module: RetrievalExport | RankingExport
        if isinstance(model, RetrievalModel):
            module = RetrievalExport(model, transform, tables, Path(scratch), search)
        else:
            assert isinstance(model, RankingModel)
            module = RankingExport(model, transform, tables, Path(scratch))
        signatures = module.signatures()
        finish = finisher(
            checks, card.model_name, signatures, tables, data.schema, lambda loaded: check_parity(loaded, model, data)
        )
        return save_version(module, signatures, base, card, finish)


def export_job(
    job: JobDirectory,
    output: str | None = None,
    filters: Sequence[str] = (),
    checks: Checks = "quick",
    index: IndexConfig | None = None,
) -> Path:
    """Load the best weights of a job and export them.

    Args:
        job: a finished one.
        output: base path of the versions; that of the job by default.
        filters: declared as `--filter`.
        checks: how much the version is checked before it is there.
        index: how the best items are found; by scoring all, if not said.

    Raises:
        ArtifactError: no trained job, its dataset has changed, or a check fails.
        ConfigError: a filter by something that items do not have, or of a model that lists no items; or an index
            that the model has no vectors for, or that misses the recall.

    """
    model, data, config = load_model(job)
    declared = parse_filters(filters, data.schema)
    if declared and not isinstance(model, RetrievalModel):
        raise ConfigError(f"--filter: {config.model_name} orders what it is given; filter where the items are found")
    card = job_card(job, model, data, config, declared).model_copy(update={"index_config": index})
    search = None
    if index is not None and (found := find_index(config.model_name, model, data, index)) is not None:
        search, card = found.search, card.model_copy(update={"index": found.report})
        checks = bearable(checks, [found.report])
    base = Path(output) if output else job.export(config.model_name)
    return export_model(model, data, base, card, declared, checks, search)


def parser() -> ArgumentParser:
    flags = ArgumentParser(prog="python -m trainer.export", example=EXAMPLE)
    flags.add_argument(
        "--job-dir",
        required=True,
        action="append",
        help="a job of python -m trainer.task; several: sources of a cascade",
    )
    flags.add_argument("--ranker", metavar="JOB", help="job of a ranking model that orders what the others find")
    flags.add_argument("--output", help="base path of the versions; JOB/export/<model> by default, but of a cascade")
    flags.add_argument(
        "--filter",
        action="append",
        default=[],
        metavar="FEATURE",
        help="an item feature that requests may filter by: NAME, or NAME<= or NAME>= of a number; repeat it",
    )
    flags.add_argument(
        "--checks",
        choices=CHECKS,
        default="all",
        help="of the new version, before it is there: quick leaves out the load in a process with TensorFlow alone",
    )
    flags.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of the cascade")
    add_index_flags(flags)
    return flags


def main(arguments: list[str]) -> None:
    chosen = parser().parse(arguments)
    index = index_config(chosen)
    jobs = [JobDirectory(path) for path in chosen.job_dir]
    if chosen.ranker is None:
        if len(jobs) > 1 or chosen.set:
            raise ConfigError(
                "--set and several --job-dir are for cascades; add --ranker JOB, or export each by itself"
            )
        print(export_job(jobs[0], chosen.output, chosen.filter, chosen.checks, index))
        return
    if chosen.output is None:
        raise ConfigError("--ranker: a cascade belongs to no one job; say where to with --output")
    ranker = JobDirectory(chosen.ranker)
    print(export_cascade(jobs, ranker, chosen.output, chosen.set, chosen.filter, chosen.checks, index))


if __name__ == "__main__":
    sys.exit(run_command(main))
