"""Paths on other file systems than the local one: tried before a pipeline is built, with errors of one line."""

from __future__ import annotations

from apache_beam.io.filesystems import FileSystems
from apache_beam.options.pipeline_options import DirectOptions, PipelineOptions, S3Options, StandardOptions

from tfrec.dataset import directory
from tfrec.errors import ConfigError
from transforms import s3, storage

EXTRAS = {"s3": "aws", "gs": "gcp", "hdfs": "hadoop", "azfs": "azure"}  # of apache-beam, by the scheme that needs them
GUIDE = "see docs/cluster.md"


def check_remote(options: PipelineOptions, *, input_dir: str, output: str) -> None:
    """Have Beam open files with these options, and look whether it can.

    Raises:
        ConfigError: Beam does not open such paths here, a bucket is absent, access is refused, or flags get lost.

    """
    FileSystems.set_options(options)  # Beam itself does so no earlier than it builds a pipeline
    if any("://" in path for path in (input_dir, output)):
        _check_workers(options)
    for flag, path in (("--input-dir", input_dir), ("--output", output)):
        if "://" in path:
            _check_opens(f"{flag}={path}", path)
    if "://" in output and not storage.has_directories(output) and not s3.bucket_and_key(output)[1]:
        raise ConfigError(f"--output={output}: is a whole bucket; name a directory in it: {output}/DATASET")


def _check_workers(options: PipelineOptions) -> None:
    """Hand no flags to Beam that it loses: DirectRunner starts its worker processes without any."""
    has_processes = options.view_as(DirectOptions).direct_running_mode == "multi_processing"
    given = [name for name in options.view_as(S3Options).get_all_options(drop_default=True) if name.startswith("s3_")]
    if given and has_processes and options.view_as(StandardOptions).runner == "FnApiRunner":
        raise ConfigError(
            f"--{given[0]}: does not reach the workers of --direct_running_mode=multi_processing; give what S3 needs "
            f"in the environment (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL_S3 …); {GUIDE}"
        )


def _check_opens(what: str, path: str) -> None:
    scheme = path.partition("://")[0]
    if scheme not in EXTRAS:
        raise ConfigError(
            f"{what}: cannot be opened; allowed: local paths, {', '.join(f'{name}://' for name in EXTRAS)}"
        )
    try:
        if scheme == "s3":
            s3.list_once(path)
        else:
            FileSystems.exists(storage.join(path, directory.MANIFEST))
    except Exception as error:  # of whichever library is below
        why = (str(error).splitlines() or [type(error).__name__])[0]
        if isinstance(error, ImportError) or "ensure" in why:  # that something is installed, says Beam at length
            why = f"the library is absent: pip install 'apache-beam[{EXTRAS[scheme]}]'"
        raise ConfigError(f"{what}: cannot be opened ({why}); {GUIDE}") from error
