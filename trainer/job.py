"""Names inside a job directory."""

from __future__ import annotations

import json
from functools import cached_property
from pathlib import Path
from typing import Any

from tfrec.errors import ArtifactError, ConfigError
from trainer.request.environment import Places


class JobDirectory:
    """config.yaml · checkpoints/ · logs/ · metrics.json · predictions/ · report.html · export/<model>/<version>/.

    Checkpoints and logs may lie elsewhere (`Places`); places.json then says where, for the commands that come after.
    """

    def __init__(self, path: str | Path, places: Places | None = None) -> None:
        self.path = Path(path)
        self._given = places

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.json"

    @property
    def predictions(self) -> Path:
        """What the models answered, one Parquet file for each query set and model."""
        return self.path / "predictions"

    @property
    def baselines(self) -> Path:
        """The settings that the baselines were given."""
        return self.path / "baselines.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def calibration(self) -> Path:
        """The curve of a calibrated ranking model, as numbers."""
        return self.path / "calibration.json"

    @property
    def importance(self) -> Path:
        """What a ranking model has learnt, as figures: written with the report."""
        return self.path / "importance.json"

    @cached_property
    def places(self) -> Places:
        """Where checkpoints and logs lie, if not here."""
        recorded = self._recorded_places()
        given = self._given
        if given is None:
            return recorded
        if recorded.checkpoints != given.checkpoints and _has_checkpoint(recorded.checkpoints or self._own_checkpoints):
            raise ConfigError(
                f"--job-dir {self.path}: its checkpoints lie in {recorded.checkpoints or self._own_checkpoints}, "
                f"AIP_CHECKPOINT_DIR is {given.checkpoints or 'not set'}; set it to that, or name a new directory"
            )
        return given

    @property
    def checkpoints(self) -> Path:
        return self.places.checkpoints or self._own_checkpoints

    @property
    def logs(self) -> Path:
        return self.places.logs or self.path / "logs"

    @property
    def latest_checkpoints(self) -> Path:
        """The state of training: of the last finished epoch, or of a step in the one that runs."""
        return self.checkpoints / "latest"

    @property
    def best_checkpoint(self) -> Path:
        """Weights of the epoch with the best validation metric."""
        return self.checkpoints / "best"

    @property
    def has_results(self) -> bool:
        """Whether there is a checkpoint, or metrics were written."""
        return self.metrics.exists() or self.has_checkpoints

    @property
    def has_checkpoints(self) -> bool:
        return _has_checkpoint(self.checkpoints)

    def export(self, model: str) -> Path:
        """Base path of the exported versions of a model."""
        return self.path / "export" / model

    def create(self) -> None:
        """Make the directory, and note where its parts lie."""
        self.path.mkdir(parents=True, exist_ok=True)
        elsewhere = {"checkpoints": self.places.checkpoints, "logs": self.places.logs}
        if any(elsewhere.values()):
            _write_json(self._places_file, {name: str(path) for name, path in elsewhere.items() if path})
        else:
            self._places_file.unlink(missing_ok=True)

    def write_metrics(self, metrics: dict[str, Any]) -> None:
        _write_json(self.metrics, metrics)

    def write_calibration(self, content: dict[str, Any]) -> None:
        _write_json(self.calibration, content)

    def read_metrics(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads(self.metrics.read_text(encoding="utf-8"))
        except OSError:
            raise ArtifactError(f"{self.metrics}: absent; train with: python -m trainer.task") from None
        except ValueError as error:
            raise ArtifactError(f"{self.metrics}: damaged ({error}); run python -m trainer.task again") from None
        return found

    @property
    def _own_checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def _places_file(self) -> Path:
        return self.path / "places.json"

    def _recorded_places(self) -> Places:
        try:
            found = json.loads(self._places_file.read_text(encoding="utf-8"))
            return Places(**{name: Path(path) for name, path in found.items()})
        except FileNotFoundError:
            return Places()
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise ArtifactError(f"{self._places_file}: damaged ({error}); name a new directory") from None


def _has_checkpoint(checkpoints: Path) -> bool:
    return (checkpoints / "latest" / "checkpoint").exists()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)
