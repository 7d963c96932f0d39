"""Names inside a job directory."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tfrec.errors import ArtifactError


class JobDirectory:
    """config.yaml · checkpoints/ · logs/ · metrics.json · export/<model>/<version>/."""

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def logs(self) -> Path:
        return self.path / "logs"

    @property
    def latest_checkpoints(self) -> Path:
        """The state of training after the last finished epoch."""
        return self.path / "checkpoints" / "latest"

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the epoch with the best validation metric."""
        return self.path / "checkpoints" / "best"

    @property
    def has_results(self) -> bool:
        """Whether an epoch was finished, or metrics were written."""
        return self.metrics.exists() or (self.latest_checkpoints / "checkpoint").exists()

    def export(self, model: str) -> Path:
        """Base path of the exported versions of a model."""
        return self.path / "export" / model

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        temporary = self.metrics.with_suffix(".tmp")
        temporary.write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
        temporary.replace(self.metrics)

    def read_metrics(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.metrics.read_text(encoding="utf-8"))
        except OSError:
            raise ArtifactError(f"{self.metrics}: absent; train with: python -m trainer.task") from None
        except ValueError as error:
            raise ArtifactError(f"{self.metrics}: damaged ({error}); run python -m trainer.task again") from None
        return found
