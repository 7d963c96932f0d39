"""What a scheduler says beside the flags: the AIP_* variables of Vertex AI, and paths in Cloud Storage."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tfrec.errors import ConfigError

GCS = "gs://"
GCS_MOUNT = Path("/gcs")  # where Vertex AI mounts every bucket


@dataclass(frozen=True)
class Places:
    """Where results go that shall not lie in the job directory; None: there.

    Attributes:
        model: gets a copy of the exported model, saved_model.pb directly in it (AIP_MODEL_DIR).
        checkpoints: instead of JOB/checkpoints (AIP_CHECKPOINT_DIR).
        logs: of TensorBoard, instead of JOB/logs (AIP_TENSORBOARD_LOG_DIR).

    """

    model: Path | None = None
    checkpoints: Path | None = None
    logs: Path | None = None


def places_of(environment: Mapping[str, str], mount: Path = GCS_MOUNT) -> Places:
    """Read the AIP_* variables; an empty one is none.

    Raises:
        ConfigError: one of them names a bucket that is not mounted.

    """

    def place(name: str) -> Path | None:
        value = environment.get(name, "")
        return Path(local_path(name, value, mount)) if value else None

    return Places(place("AIP_MODEL_DIR"), place("AIP_CHECKPOINT_DIR"), place("AIP_TENSORBOARD_LOG_DIR"))


def local_path(what: str, path: str, mount: Path = GCS_MOUNT) -> str:
    """`gs://bucket/x` → `/gcs/bucket/x`; other paths as they are.

    Raises:
        ConfigError: the bucket is not mounted; `what` is the flag or variable that names it.

    """
    if not path.startswith(GCS):
        return path
    bucket, _, rest = path.removeprefix(GCS).partition("/")
    if not bucket or not (mount / bucket).is_dir():
        raise ConfigError(
            f"{what} {path}: the bucket is not mounted at {mount / bucket}; mount it there (Vertex AI does, "
            "elsewhere: gcsfuse), or name a local path"
        )
    return str(mount / bucket / rest)
