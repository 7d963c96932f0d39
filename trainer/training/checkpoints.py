"""Checkpoints of a job: the latest state, and the best weights. A new one never costs the previous one."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.errors import ArtifactError
from trainer.cluster.placement import Placement
from trainer.job import JobDirectory

OTHER_MODEL = (ValueError, AssertionError, tf.errors.InvalidArgumentError)
# An IndexError is what TensorFlow makes of a tensor that ends too early.
TORN = (tf.errors.OpError, OSError, IndexError)
NODE = re.compile(r"\{\{[^}]*\}\}")  # which operation of the graph it was
UNWRITABLE = (tf.errors.OpError, OSError)


class Checkpoints:
    """Writes and restores what a job needs to go on."""

    def __init__(
        self,
        job: JobDirectory,
        model: tf.keras.Model,
        parts: dict[str, Any],
        say: Callable[[str], None],
        placement: Placement,
    ) -> None:
        """Name the parts.

        Args:
            job: where the checkpoints are.
            model: whose weights the best checkpoint holds.
            parts: what the latest checkpoint holds besides the model: optimiser and state, built.
            say: tells people what was found.
            placement: the chief's files count; the others of a synchronous job take part in saving.

        """
        self._job = job
        self._say = say
        for directory in (job.latest_checkpoints, job.best_checkpoint):
            mend_state(directory)
        latest, best = (
            str(placement.checkpoint_directory(path)) for path in (job.latest_checkpoints, job.best_checkpoint)
        )
        self._latest = tf.train.CheckpointManager(tf.train.Checkpoint(model=model, **parts), latest, max_to_keep=2)
        self._best = tf.train.CheckpointManager(tf.train.Checkpoint(model=model), best, max_to_keep=2)

    def save_latest(self, step: int) -> None:
        """Save the state after `step` steps; the checkpoint before stays until the next.

        Raises:
            ArtifactError: the disk is full or refuses; earlier checkpoints are untouched.

        """
        self._save(self._latest, step)

    def save_best(self, epoch: int) -> None:
        """Save the weights in the place of the best ones so far. Raises ArtifactError as `save_latest` does."""
        self._save(self._best, epoch)

    def _save(self, manager: tf.train.CheckpointManager, number: int) -> None:
        before = set(Path(manager.directory).glob("*"))
        try:
            _flush(manager.save(checkpoint_number=number))
        except UNWRITABLE as error:
            for path in set(Path(manager.directory).glob("ckpt-*")) - before:
                with contextlib.suppress(OSError):
                    path.unlink() if path.is_file() else None
            kept = manager.latest_checkpoint
            left = f"the one before, {Path(kept).name}, is kept" if kept else "there is none before it"
            raise ArtifactError(
                f"{manager.directory}: a checkpoint could not be written ({_first_line(error)}); {left}; "
                "make room and give the same command again"
            ) from None

    def restore_latest(self) -> bool:
        """Restore the newest checkpoint that can be read; whether there was one.

        Raises:
            ArtifactError: there are checkpoints, but none can be read, or they are of another model.

        """
        problems = []
        found = tf.train.get_checkpoint_state(str(self._job.latest_checkpoints))
        for path in reversed(found.all_model_checkpoint_paths if found else []):
            try:
                self._latest.checkpoint.restore(path).assert_existing_objects_matched()
            except OTHER_MODEL as error:
                raise ArtifactError(
                    f"{path}: is a checkpoint of another model ({_first_line(error)}); name a new --job-dir"
                ) from None
            except TORN as error:
                problems.append(f"{Path(path).name} ({_first_line(error)})")
                self._say(f"{path} is torn; trying the checkpoint before it")
            else:
                return True
        if problems:
            raise ArtifactError(
                f"{self._job.latest_checkpoints}: no checkpoint can be read: {', '.join(problems)}; "
                "remove the directory to train from the start"
            )
        return False

    def restore_best(self) -> None:
        """Put the best weights into the model. Raises ArtifactError if there are none."""
        restore_best(self._latest.checkpoint.model, self._job)


def restore_best(model: tf.keras.Model, job: JobDirectory) -> None:
    """Load the weights of the best epoch.

    Raises:
        ArtifactError: the job has no finished epoch, or the checkpoint is torn or of another model.

    """
    mend_state(job.best_checkpoint)
    found = tf.train.get_checkpoint_state(str(job.best_checkpoint))
    if found is None:
        raise ArtifactError(f"{job.best_checkpoint}: no finished epoch; train with: python -m trainer.task")
    torn = ""
    for path in reversed(found.all_model_checkpoint_paths):
        try:
            status = tf.train.Checkpoint(model=model).restore(path)
            status.expect_partial().assert_existing_objects_matched()
        except OTHER_MODEL as error:
            raise ArtifactError(f"{path}: is a checkpoint of another model ({_first_line(error)})") from None
        except TORN as error:
            torn = torn or f"{path}: is torn ({_first_line(error)})"
        else:
            if torn:
                print(f"{torn}; the best weights before it are taken", file=sys.stderr)
            return
    raise ArtifactError(f"{torn}; train again in a new --job-dir")


def mend_state(directory: Path) -> None:
    """Write TensorFlow's list of checkpoints anew where a power cut left it empty: the checkpoints themselves count."""
    if not (directory / "checkpoint").exists() or (directory / "checkpoint").stat().st_size:
        return
    indices = directory.glob("ckpt-*.index")
    paths = sorted((path.with_suffix("") for path in indices), key=lambda path: int(path.name.partition("-")[2]))
    (directory / "checkpoint").unlink()
    if paths:
        names = [str(path) for path in paths]
        tf.compat.v1.train.update_checkpoint_state(str(directory), names[-1], names)


def _flush(prefix: str) -> None:
    """Have the disk hold a checkpoint before an older one is removed in the next save."""
    folder = Path(prefix).parent
    for path in [*folder.glob(Path(prefix).name + ".*"), folder / "checkpoint", folder]:
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _first_line(error: BaseException) -> str:
    """The reason alone: TensorFlow puts the operation and a path before it."""
    text = NODE.sub("", getattr(error, "message", None) or str(error)).strip().partition("\n")[0]
    return text.rpartition("; ")[2].removesuffix(" [Op:SaveV2]")[:200]
