"""Version directories: which ones a base path holds, and which of them are written to the end."""

from __future__ import annotations

import re
from pathlib import Path

from tfrec.errors import ArtifactError

_VERSION_NAME = re.compile(r"[0-9]+")
_LARGEST_VERSION = 2**63 - 1  # what a request's int64 can name
_GRAPH_FILES = ("saved_model.pb", "saved_model.pbtxt")
_SHARD_NAME = re.compile(r"variables\.data-[0-9]{5}-of-([0-9]{5})")

Fingerprint = frozenset[tuple[str, int, int]]


def find_versions(base_path: Path) -> dict[int, Path]:
    """Return the complete version directories below `base_path` by version; `00000123` is version 123.

    Raises OSError when `base_path` can't be read.
    """
    return {
        int(path.name): path
        for path in sorted(base_path.iterdir())
        if _VERSION_NAME.fullmatch(path.name) and int(path.name) <= _LARGEST_VERSION and is_complete(path)
    }


def is_complete(version_dir: Path) -> bool:
    """Tell whether the SavedModel in `version_dir` has all its files.

    TensorFlow writes the graph last, but a copy may bring it first: so the variables' index and each of the
    shards that their names promise must be there too.
    """
    if not any((version_dir / name).is_file() for name in _GRAPH_FILES):
        return False
    variables = version_dir / "variables"
    if not variables.is_dir():
        return True
    shards = [match for path in variables.iterdir() if (match := _SHARD_NAME.fullmatch(path.name))]
    has_index = (variables / "variables.index").is_file()
    return has_index and bool(shards) and len(shards) == int(shards[0].group(1))


def fingerprint(version_dir: Path) -> Fingerprint:
    """Return names, sizes and times of the directory's files: a new value means that somebody writes."""
    entries = set()
    for path in version_dir.rglob("*"):
        try:
            stat = path.stat()
        except OSError:
            continue  # gone since it was listed
        entries.add((str(path.relative_to(version_dir)), stat.st_size, stat.st_mtime_ns))
    return frozenset(entries)


def check_base_path(name: str, base_path: Path) -> None:
    """Raise ArtifactError, with the likely right path, when `base_path` can't be a model's base path."""
    where = f"model {name!r}: base path {base_path}"
    if not base_path.is_dir():
        raise ArtifactError(
            f"{where} is not a directory; it holds one folder per version, such as {base_path}/1: "
            "export a model there, or correct the path"
        )
    if any((base_path / graph_file).exists() for graph_file in _GRAPH_FILES):
        raise ArtifactError(
            f"{where} is itself a SavedModel; pass the directory above its version folder: {base_path.parent}"
        )
    if any(_VERSION_NAME.fullmatch(path.name) for path in base_path.iterdir()):
        return
    models = [path for path in sorted(base_path.iterdir()) if path.is_dir() and find_versions(path)]
    if models:
        raise ArtifactError(
            f"{where} holds models, not versions; pass one of them, such as {models[0]}, or name all of them "
            "in a --model_config_file"
        )
