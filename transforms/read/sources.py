"""The files that a table of the log consists of, as they were found."""

from __future__ import annotations

from dataclasses import dataclass

from transforms.dataset_config import TableConfig, TableName


@dataclass(frozen=True)
class InputSource:
    """Files that are written alike: a whole table, or one part of the events.

    Attributes:
        config: how they are written.
        paths: the files, in the order of the config.
        columns: that all of them have; of nested ones the dotted paths.
        first_file_index: of `paths[0]`; file indices run on across the parts of a table.

    """

    config: TableConfig
    paths: tuple[str, ...]
    columns: tuple[str, ...]
    first_file_index: int = 0

    @property
    def split(self) -> str | None:
        return self.config.split

    @property
    def files(self) -> list[tuple[int, str]]:
        """(file index, path) of each file."""
        return list(enumerate(self.paths, start=self.first_file_index))


@dataclass(frozen=True)
class InputTable:
    """A table of the log, found and looked into."""

    name: TableName
    sources: tuple[InputSource, ...]
    size_bytes: int

    @property
    def paths(self) -> tuple[str, ...]:
        """All files; the place of a file is its index."""
        return tuple(path for source in self.sources for path in source.paths)

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that all files have, in the order of the first ones."""
        first, *rest = self.sources
        return tuple(name for name in first.columns if all(name in source.columns for source in rest))

    @property
    def split_of_file(self) -> tuple[str | None, ...]:
        """The split that the config gives to each file, by its index; all None where it gives none."""
        return tuple(source.split for source in self.sources for _ in source.paths)
