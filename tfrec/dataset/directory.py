"""Names inside a dataset directory, and its manifest."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from tfrec.errors import ArtifactError
from tfrec.schema import SPLITS, Schema

SCHEMA = "schema.json"
STATISTICS = "statistics.json"
MANIFEST = "manifest.json"
TRANSFORM = "transform"
VOCABULARY = "vocabulary"
REJECTED = "rejected"
RAW_PREFIX = "raw/"  # users/ and items/ keep raw values under this prefix, beside the encoded ones


def part_name(shard: int, shards: int, *, is_compressed: bool) -> str:
    """`part-00000-of-00016.tfrecord.gz`, numbered from 0."""
    return f"part-{shard:05d}-of-{shards:05d}.tfrecord" + (".gz" if is_compressed else "")


class DatasetDirectory:
    """A finished dataset.

    Raises:
        ArtifactError: the directory is absent or has no manifest, so no run of the transforms finished there.

    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not (self.path / MANIFEST).exists():
            raise ArtifactError(f"{self.path}: not a dataset (no {MANIFEST}); write one with: python -m transforms.run")

    @cached_property
    def schema(self) -> Schema:
        return Schema.load(self.path / SCHEMA)

    @cached_property
    def manifest(self) -> dict[str, Any]:
        return self._json(MANIFEST)

    @cached_property
    def statistics(self) -> dict[str, Any]:
        return self._json(STATISTICS)

    @property
    def transform(self) -> Path:
        return self.path / TRANSFORM

    @property
    def fingerprint(self) -> str:
        """Changes with the schema and with any byte of the records: what a resumed job compares."""
        return str(self.manifest["fingerprint"])

    def vocabulary_size(self, feature: str) -> int:
        """Tokens in the vocabulary of a feature, without padding and out-of-vocabulary slots."""
        return int(self.statistics["features"][feature]["vocabulary_size"])

    def files(self, part: str) -> list[str]:
        """Record files of a split, `users` or `items`, in order.

        Raises:
            ArtifactError: a file that the manifest names is absent or has another size.

        """
        if part not in (*SPLITS, "users", "items"):
            raise ValueError(f"no part {part!r}")
        paths = []
        for entry in self.manifest["files"][part]:
            path = self.path / part / entry["name"]
            if not path.exists() or path.stat().st_size != entry["bytes"]:
                raise ArtifactError(f"{path}: is absent or incomplete; copy the dataset again or rerun the transforms")
            paths.append(str(path))
        return paths

    def rows_per_record(self, part: str) -> int:
        """Rows that a record of this part holds (the last of a file may hold fewer); users and items have one each."""
        return int(self.manifest.get("rows_per_record", 1)) if part in SPLITS else 1

    def rows(self, part: str) -> int:
        """Rows of a part, however many of them share a record."""
        return sum(self.rows_by_file(part))

    def rows_by_file(self, part: str) -> list[int]:
        """Rows that each of `files(part)` must have, in their order."""
        return [int(entry["records"]) for entry in self.manifest["files"][part]]

    def _json(self, name: str) -> dict[str, Any]:
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{self.path / name}: cannot be read ({error}); rerun the transforms") from None
        return content
