"""Training and validation rows from files that the caller names, instead of the dataset's own splits."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import tensorflow as tf

from tfrec.codec.packed import ROW_LENGTHS
from tfrec.dataset.directory import MANIFEST, DatasetDirectory
from tfrec.dataset.files import count_rows, record_dataset
from tfrec.dataset.records import PARSE_BATCH, example_parser
from tfrec.errors import ArtifactError, ConfigError, DataError
from tfrec.schema import SPLITS, USER_INDEX
from trainer.config import JobConfig

KEYS = {"train": "train_files", "validation": "eval_files"}  # of a job's config
FLAGS = {"train": "--train-files", "validation": "--eval-files"}
_KINDS = {tf.int64: "int64_list", tf.float32: "float_list", tf.string: "bytes_list"}


def open_dataset(path: str, train_files: Sequence[str] = (), eval_files: Sequence[str] = ()) -> DatasetDirectory:
    """A dataset, with the chosen files in the place of its splits if there are any.

    Args:
        path: the dataset; "" for the one in whose train/ the training files lie.
        train_files: patterns or paths of the files that are trained on; () for the dataset's own.
        eval_files: the same for validation.

    Raises:
        ConfigError: a pattern matches nothing, a file stands in both, or the dataset cannot be found from the files.
        ArtifactError: no dataset, or files of another one.
        DataError: records lack a column of the schema.

    """
    if not train_files and not eval_files:
        return DatasetDirectory(path)
    train, validation = _matches("train", train_files), _matches("validation", eval_files)
    both = sorted({*train} & {*validation})
    if both:
        raise ConfigError(f"{both[0]}: stands in --train-files and in --eval-files; rows are for one of them")
    around = path or _dataset_around(train)
    for flag, files in (("--train-files", train), ("--eval-files", validation)):
        for file in files:
            if Path(file).resolve().parent == Path(around).resolve() / "test":
                raise ConfigError(
                    f"{flag} {file}: is of the test split, which must not choose what it tests; "
                    "give the dataset a validation split, or name files of other rows"
                )
    return ChosenFiles(around, {"train": train, "validation": validation})


def identity(dataset: DatasetDirectory) -> dict[str, Any]:
    """What a job's config says of its data."""
    found: dict[str, Any] = {"dataset": str(dataset.path.resolve()), "dataset_fingerprint": dataset.fingerprint}
    if isinstance(dataset, ChosenFiles):
        found |= {key: tuple(dataset.chosen.get(part, ())) for part, key in KEYS.items()}
    return found


def open_job_dataset(config: JobConfig) -> DatasetDirectory:
    """The dataset of a job, with the files that it was started with.

    Raises:
        ArtifactError: it is no longer there.

    """
    try:
        return open_dataset(config.dataset, config.train_files, config.eval_files)
    except ConfigError as error:
        raise ArtifactError(f"a file that the job was trained on is gone ({error})") from None


class ChosenFiles(DatasetDirectory):
    """A dataset whose training or validation rows stand in other files of the same schema and the same ids."""

    def __init__(self, path: str | Path, chosen: dict[str, list[str]]) -> None:
        super().__init__(path)
        self.chosen = {part: list(files) for part, files in chosen.items() if files}
        for part, files in self.chosen.items():
            self._check(part, files)

    def files(self, part: str) -> list[str]:
        return self.chosen.get(part) or super().files(part)

    def rows_by_file(self, part: str) -> list[int]:
        return self._chosen_rows[part] if part in self.chosen else super().rows_by_file(part)

    @cached_property
    def fingerprint(self) -> str:
        """Of the dataset and of every byte of the chosen files, wherever they lie."""
        digest = hashlib.sha256(super().fingerprint.encode())
        for part, files in self.chosen.items():
            digest.update(part.encode())
            for file in files:
                digest.update(
                    (self._own_entries[file]["sha256"] if file in self._own_entries else _sha256(file)).encode()
                )
        return digest.hexdigest()[:16]

    @cached_property
    def _chosen_rows(self) -> dict[str, list[int]]:
        """Rows of each chosen file; those that are not the dataset's own are counted, once."""
        return {part: [self._rows_of(file, part) for file in files] for part, files in self.chosen.items()}

    def _rows_of(self, file: str, part: str) -> int:
        if file in self._own_entries:
            return int(self._own_entries[file]["records"])
        rows_per_record = self.rows_per_record(part)
        parse = example_parser(self.schema, part, rows_per_record, [USER_INDEX])
        return count_rows(file, parse, max(1, PARSE_BATCH // rows_per_record))

    @cached_property
    def _own_entries(self) -> dict[str, dict[str, Any]]:
        """What the manifest says of the dataset's own record files, by path."""
        listed = self.manifest["files"]
        return {str((self.path / part / entry["name"]).resolve()): entry for part in SPLITS for entry in listed[part]}

    def _check(self, part: str, files: list[str]) -> None:
        flag = FLAGS[part]
        if len({file.endswith(".gz") for file in files}) > 1:
            raise ConfigError(f"{flag}: some files are compressed (.gz) and some are not; name files of one kind")
        columns = example_parser(self.schema, part, self.rows_per_record(part))(tf.constant([], tf.string))
        dtypes = {name: value.dtype for name, value in columns.items()}
        for directory in sorted({Path(file).parent.parent for file in files} - {self.path.resolve()}):
            self._require_same_ids(flag, directory)
        for file in files:
            if file not in self._own_entries:
                self._require_columns(file, dtypes)

    def _require_same_ids(self, flag: str, directory: Path) -> None:
        """Files of another dataset are of use only if a row of users and items means the same there."""
        if not (directory / MANIFEST).exists():
            return
        other = DatasetDirectory(directory)
        for what, is_same in (
            (
                "another schema",
                other.schema.features == self.schema.features and other.schema.label == self.schema.label,
            ),
            ("other users", _checksums(other, "users") == _checksums(self, "users")),
            ("other items", _checksums(other, "items") == _checksums(self, "items")),
            ("another number of rows per record", other.rows_per_record("train") == self.rows_per_record("train")),
        ):
            if not is_same:
                raise ArtifactError(f"{flag}: {directory} has {what} than {self.path}; train on files of one dataset")

    def _require_columns(self, file: str, dtypes: dict[str, tf.DType]) -> None:
        found = _first_record(file)
        is_packed, must_be = any(name.endswith(ROW_LENGTHS) for name in found), self.rows_per_record("train") > 1
        if is_packed and not must_be:
            raise DataError(f"{file}: holds many rows in a record, {self.path} holds one; name files of one dataset")
        for name, dtype in dtypes.items():
            if name not in found:
                raise DataError(
                    f"{file}: its records have no column {name!r}, which the schema of {self.path} has "
                    f"(there: {', '.join(sorted(found))}); write them with the same dataset.yaml"
                )
            if found[name] not in (None, _KINDS[dtype]):
                raise DataError(
                    f"{file}: column {name!r} is a {found[name]}, the schema of {self.path} says {_KINDS[dtype]}; "
                    "write it with the same dataset.yaml"
                )


def _first_record(file: str) -> dict[str, str | None]:
    """Column → kind of list in the first record; None for an empty one."""
    try:
        serialized = next(record_dataset([file]).take(1).as_numpy_iterator())
        features = tf.train.Example.FromString(serialized).features.feature
    except StopIteration:
        raise DataError(f"{file}: holds no records; leave it out") from None
    except Exception:  # of TensorFlow or Protobuf, of several classes, with words that tell a user nothing
        raise DataError(
            f"{file}: not a TFRecord file of tf.train.Examples; name files such as DATASET/train/*"
        ) from None
    return {name: feature.WhichOneof("kind") for name, feature in features.items()}


def _matches(part: str, patterns: Sequence[str]) -> list[str]:
    """Absolute paths of what the patterns match, each once, in the order of the patterns."""
    found: dict[str, None] = {}
    for pattern in patterns:
        files = sorted(str(Path(path).resolve()) for path in glob.glob(pattern) if Path(path).is_file())
        if not files:
            raise ConfigError(f"{FLAGS[part]} {pattern}: matches no file")
        found |= dict.fromkeys(files)
    return list(found)


def _dataset_around(files: list[str]) -> str:
    directories = {Path(file).parent.parent for file in files}
    first = min(directories)
    if len(directories) > 1 or not (first / MANIFEST).exists():
        where = f"{first} has no {MANIFEST}" if len(directories) == 1 else "they lie in several directories"
        raise ConfigError(f"--train-files: are not of one dataset ({where}); name theirs with --dataset")
    return str(first)


def _checksums(dataset: DatasetDirectory, part: str) -> list[str]:
    return [entry["sha256"] for entry in dataset.manifest["files"][part]]


def _sha256(file: str) -> str:
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
