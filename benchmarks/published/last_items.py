"""Sequences whose last item is asked for, as the papers on sequential recommendation do it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from benchmarks.published.protocol import PublishedSplit
from benchmarks.training.datasets import kept_dataset

HISTORY = 200  # items that a model may read, as the papers on this file have it


@dataclass(frozen=True)
class LastItems(PublishedSplit):
    """One file of `user item`, each user's items in the order of time: the last one is test, the one before it
    validation. What is asked about test may read the validation item too.

    Attributes:
        file: below `name`.

    """

    has_validation: ClassVar[bool] = True
    is_ordered: ClassVar[bool] = True

    file: str

    def files(self, data_dir: Path) -> list[Path]:
        return [data_dir / self.name / self.file]

    def dataset(self, data_dir: Path, work: Path, *, cut: bool) -> Path:
        """One dataset serves both: a search looks at validation alone."""
        return kept_dataset(self.name, self.dataset_config(), data_dir / self.name, work)

    def dataset_config(self) -> dict[str, Any]:
        """The content of dataset.yaml. There are no times: the order of the file is the order of time."""
        return {
            "name": self.name,
            "events": {"files": self.file, "delimiter": " ", "header": False, "quote": None,
                       "columns": ["user", "item"]},
            "features": {
                "user": {"role": "user", "kind": "categorical", "id": True},
                "item": {"role": "item", "kind": "categorical", "id": True},
                "history": {"role": "user", "kind": "sequence", "length": HISTORY},
            },
            "split": {"strategy": "leave_one_out"},
        }  # fmt: skip
