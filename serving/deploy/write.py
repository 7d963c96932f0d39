"""Files that are kept in step with their source, unless somebody has changed one by hand."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from tfrec.errors import ArtifactError, ConfigError

RECORD = ".deploy.json"


def write_files(out: Path, files: Mapping[str, str]) -> list[str]:
    """Write `files` below `out`, remove what an earlier run wrote and this one does not; return the changed names.

    Nothing is touched when one of them was changed by hand since: ConfigError names it. What a run that died has left
    behind is its own.
    """
    recorded = _read_record(out)
    present = {name: _content(out / name) for name in {*files, *recorded}}
    for name, content in sorted(present.items()):
        if content is None or content == files.get(name):
            continue
        if recorded.get(name) != _digest(content):
            how = "was changed by hand" if name in recorded else "is not from python -m serving.deploy"
            raise ConfigError(
                f"{out / name}: {how}; say it with --set or --config where they can, "
                "move the file away to have it written anew, or choose another --out"
            )
    changed = [name for name in files if present[name] != files[name]]
    for name in changed:
        _replace(out / name, files[name])
    gone = [name for name in recorded if name not in files and present[name] is not None]
    for name in gone:
        (out / name).unlink()
    record = {name: _digest(content) for name, content in sorted(files.items())}
    if record != recorded:
        _replace(out / RECORD, json.dumps(record, indent=2) + "\n")
    return sorted([*changed, *gone])


def _read_record(out: Path) -> dict[str, str]:
    text = _content(out / RECORD)
    if text is None:
        return {}
    try:
        return {str(name): str(digest) for name, digest in json.loads(text).items()}
    except (ValueError, AttributeError) as error:
        raise ArtifactError(f"{out / RECORD}: damaged ({error}); choose another --out") from None


def _content(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read ({error}); choose another --out") from None


def _replace(path: Path, content: str) -> None:
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(content, encoding="utf-8")
        temporary.chmod(0o755 if path.suffix == ".sh" else 0o644)
        temporary.replace(path)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be written ({error.strerror}); choose another --out") from None


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()
