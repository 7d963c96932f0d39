"""A run into a temporary sibling of the output, which takes its place when all of it is there."""

from __future__ import annotations

import json
import re
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from apache_beam.io.filesystems import FileSystems
from rich.console import Console

from tfrec.dataset import directory
from tfrec.errors import ArtifactError, DataError, TfrecError
from tfrec.schema import SPLITS
from transforms import layout, storage
from transforms.base.load import load_base
from transforms.beam_options import beam_options
from transforms.dataset_config import DatasetConfig
from transforms.read.files import find_tables
from transforms.whole_run import Run, RunRequest

_OF_WORKER = re.compile(r"^tfrec\.errors\.(\w+): (.*?)(?: \[while running .*\])?$", re.MULTILINE)


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
        ArtifactError: `output` exists and is not a dataset.

    """
    console = Console(stderr=True)
    named, output, input_dir = output.rstrip("/"), storage.absolute(output), storage.absolute(input_dir)
    _check_output(output)
    options = beam_options(beam_arguments or [])
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
        run = Run(request, temporary, console)
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
    console.print(f"[bold]{named}[/]: {counts}; {manifest['rejected']} rows rejected", highlight=False, soft_wrap=True)
    if print_manifest:
        json.dump(manifest, sys.stdout, indent=2)
    return manifest


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
    """Beam wraps what a step raises, and on another machine keeps its text alone; give the caller the error itself."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, TfrecError):
            return cause
        cause = cause.__cause__ or cause.__context__
    kinds = {kind.__name__: kind for kind in TfrecError.__subclasses__()}
    for name, message in reversed(_OF_WORKER.findall(str(error))):
        if name in kinds:
            return kinds[name](message)
    return error
