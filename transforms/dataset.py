"""The whole run: three pipelines and the steps between them, into a temporary sibling that is renamed at the end."""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import apache_beam as beam
import numpy as np
from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import PipelineOptions
from rich.console import Console

from tfrec.dataset import directory
from tfrec.errors import ArtifactError, DataError, TfrecError
from tfrec.schema import SPLITS, Temporal
from transforms import layout, storage
from transforms.accounting import check_rows
from transforms.analysis import Analysis, Source
from transforms.beam_options import beam_options
from transforms.count import build_count
from transforms.dataset_config import DatasetConfig, TableName
from transforms.encode import build_encode
from transforms.gather import read_json
from transforms.manifest import make_manifest
from transforms.prepare import Prepared, build_prepare
from transforms.read.files import InputTable, find_tables
from transforms.read.typed import TypedRows
from transforms.shards import plan_encoding
from transforms.steps.split import temporal_cuts


def write_dataset(
    config: DatasetConfig,
    input_dir: str,
    output: str,
    beam_arguments: list[str] | None = None,
    *,
    print_manifest: bool = False,
) -> dict[str, Any]:
    """Run the transforms and return the manifest.

    An existing dataset at `output` is replaced, but only once the new one is whole.

    Raises:
        ConfigError: the config does not fit the files, or a flag is unknown.
        DataError: the logs are absent, empty, or hold too many bad rows (which are then kept at `output`.rejected).
        ArtifactError: `output` exists and is not a dataset.

    """
    console = Console(stderr=True)
    output = output.rstrip("/")
    _check_output(output)
    options = beam_options(beam_arguments or [])
    tables = find_tables(config, input_dir)
    temporary = f"{output}.{uuid.uuid4().hex[:8]}.tmp"
    storage.make_directory(temporary)
    try:
        run = _Run(config, tables, temporary, options, console)
        manifest = run.write()
        FileSystems.delete([storage.join(temporary, layout.PREPARED)])
        _replace(temporary, output)
        storage.remove(f"{output}.rejected")  # of an earlier run that failed
    except BaseException as error:
        if isinstance(error, DataError) and FileSystems.exists(storage.join(temporary, directory.REJECTED)):
            storage.remove(f"{output}.rejected")
            FileSystems.rename([storage.join(temporary, directory.REJECTED)], [f"{output}.rejected"])
        storage.remove(temporary)
        raise _as_tfrec_error(error) from error
    counts = " · ".join(f"{part} {run.rows(part):,}" for part in (*SPLITS, "users", "items"))
    console.print(f"[bold]{output}[/]: {counts}; {manifest['rejected']} rows rejected", highlight=False, soft_wrap=True)
    if print_manifest:
        json.dump(manifest, sys.stdout, indent=2)
    return manifest


class _Run:
    """One run, step by step; every step reads what the one before wrote."""

    def __init__(
        self,
        config: DatasetConfig,
        tables: dict[TableName, InputTable],
        output: str,
        options: PipelineOptions,
        console: Console,
    ) -> None:
        self._config = config
        self._schema = config.schema_of()
        self._tables = tables
        self._output = output
        self._options = options
        self._console = console
        self._files: list[dict[str, Any]] = []

    def write(self) -> dict[str, Any]:
        self._say("1/3 reading and ordering")
        with beam.Pipeline(options=self._options) as pipeline:
            build_prepare(pipeline, Prepared(self._config, self._tables, self._output))
        rows = read_json(layout.summary(self._output, "rows"))
        check_rows(rows, self._config, self._tables, self._output)
        times = read_json(layout.summary(self._output, "times"))
        cuts = self._cuts(times)
        self._say("2/3 counting")
        with beam.Pipeline(options=self._options) as pipeline:
            features = (self._schema.user_id, self._schema.item_id, *self._event_features())
            build_count(pipeline, self._schema, features, times["partitions"], cuts, self._output)
        splits = read_json(layout.summary(self._output, "splits"))
        if not splits["train"]["rows"]:
            raise DataError("the split leaves no training events; lower split.validation and split.test")
        sides = frozenset(side for side in ("users", "items") if side in self._tables)
        Analysis(Source(self._schema, self._output, frozenset(features), sides), splits).write()
        self._say("3/3 encoding and writing")
        plan = plan_encoding(self._config, self._output, tuple(times["partitions"]), cuts, splits)
        with beam.Pipeline(options=self._options) as pipeline:
            build_encode(pipeline, plan)
        self._files = read_json(layout.summary(self._output, "files"))
        manifest = make_manifest(self._config, self._tables, rows, self._files)
        content = (json.dumps(manifest, indent=2) + "\n").encode()
        storage.write_bytes(storage.join(self._output, directory.MANIFEST), content)
        return manifest

    def rows(self, part: str) -> int:
        return sum(entry["records"] for entry in self._files if entry["part"] == part)

    def _say(self, step: str) -> None:
        self._console.print(f"transforms {step}", style="dim", highlight=False)

    def _event_features(self) -> tuple[str, ...]:
        return TypedRows(self._config, self._tables, "events").feature_names

    def _cuts(self, times: dict[str, Any]) -> tuple[int, int] | None:
        if not isinstance(self._schema.split, Temporal):
            return None
        return temporal_cuts(np.array(times["times"]), np.array(times["counts"]), self._schema.split)


def _check_output(output: str) -> None:
    if FileSystems.exists(output) and not FileSystems.exists(storage.join(output, directory.MANIFEST)):
        is_empty_directory = Path(output).is_dir() and not any(Path(output).iterdir())
        if not is_empty_directory:
            raise ArtifactError(f"{output}: exists and is not a dataset; name another --output or remove it")


def _replace(temporary: str, output: str) -> None:
    """Put the new dataset in the place of the old one, which comes back if that fails.

    Two renames: for an instant between them there is no dataset at `output`, but never half of one.
    """
    if not FileSystems.exists(output):
        FileSystems.rename([temporary], [output])
        return
    old = f"{output}.{uuid.uuid4().hex[:8]}.old"
    FileSystems.rename([output], [old])
    try:
        FileSystems.rename([temporary], [output])
    except BaseException:
        FileSystems.rename([old], [output])
        raise
    FileSystems.delete([old])


def _as_tfrec_error(error: BaseException) -> BaseException:
    """Beam wraps what a step raises; give the caller the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TfrecError):
            return cause
        cause = cause.__cause__ or cause.__context__
    return error
