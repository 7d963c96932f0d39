"""A run into a temporary sibling of the output, which takes its place when all of it is there."""

from __future__ import annotations

import contextlib
import json
import sys
import time
import uuid
from typing import Any

from rich.console import Console

from tfrec.dataset import directory
from tfrec.errors import DataError
from tfrec.schema import SPLITS
from transforms import layout, storage
from transforms.base.load import load_base
from transforms.beam_options import beam_options
from transforms.dataset_config import DatasetConfig
from transforms.failures import failure_of
from transforms.read.files import find_tables
from transforms.remote import check_remote
from transforms.replace import check_output, replace
from transforms.whole_run import Run, RunRequest


def write_dataset(
    config: DatasetConfig,
    input_dir: str,
    output: str,
    beam_arguments: list[str] | None = None,
    *,
    base: str | None = None,
    now_ms: int | None = None,
    print_manifest: bool = False,
) -> dict[str, Any]:
    """Run the transforms and return the manifest.

    An existing dataset at `output` is replaced, but only once the new one is whole.

    Args:
        config: dataset.yaml.
        input_dir: where its files are.
        output: the dataset directory to write.
        beam_arguments: flags for Beam.
        base: a dataset whose ids stay and whose users' histories go on; only later events are used.
        now_ms: the time of the run, the clock's by default; events more than a day later are of the future.
        print_manifest: to stdout, as JSON.

    Raises:
        ConfigError: the config does not fit the files, or a flag is unknown.
        DataError: the logs are absent, empty, or hold too many bad rows (which are then kept at `output`.rejected).
        ArtifactError: `output` exists and is not a dataset, or the system refuses to read or write.

    """
    named = output.rstrip("/")
    try:
        manifest = _write(config, input_dir, output, beam_arguments or [], base, now_ms)
    except BaseException as error:
        raise failure_of(error, named) from error
    counts = " · ".join(f"{part} {_rows(manifest, part):,}" for part in (*SPLITS, "users", "items"))
    line = f"[bold]{named}[/]: {counts}; {manifest['rejected']:,} rows not used"
    Console(stderr=True).print(line, highlight=False, soft_wrap=True)
    if print_manifest:
        json.dump(manifest, sys.stdout, indent=2)
    return manifest


def _write(
    config: DatasetConfig, input_dir: str, output: str, beam_arguments: list[str], base: str | None, now_ms: int | None
) -> dict[str, Any]:
    """Write into a temporary sibling, and put that in the place of `output` when it is whole."""
    output, input_dir = storage.absolute(output), storage.absolute(input_dir)
    options = beam_options(beam_arguments)
    check_remote(options, input_dir=input_dir, output=output)
    check_output(output, base)
    tables = find_tables(config, input_dir)
    request = RunRequest(
        config,
        tables,
        options,
        int(time.time() * 1000) if now_ms is None else now_ms,
        None if base is None else load_base(base, config.schema_of()),
    )
    temporary = f"{output}.{uuid.uuid4().hex[:8]}.tmp"
    storage.make_directory(temporary)
    try:
        manifest = Run(request, temporary, Console(stderr=True)).write()
        storage.remove(storage.join(temporary, layout.PREPARED))
    except BaseException as error:
        with contextlib.suppress(Exception):  # the reason for all this is the one to show
            if isinstance(failure_of(error, output), DataError):
                _keep_rejected(temporary, output)
            storage.remove(temporary)
        raise
    replace(temporary, output)
    storage.remove(f"{output}.rejected")  # of an earlier run that failed
    return manifest


def _keep_rejected(temporary: str, output: str) -> None:
    rejected = storage.join(temporary, directory.REJECTED)
    if storage.exists(rejected):
        storage.remove(f"{output}.rejected")
        storage.rename(rejected, f"{output}.rejected")


def _rows(manifest: dict[str, Any], part: str) -> int:
    return sum(entry["records"] for entry in manifest["files"][part])
