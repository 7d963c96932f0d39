"""What a server is told: its models, and how to serve them."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class LatestVersions:
    """Serve the `num_versions` highest versions."""

    num_versions: int = 1

    def choose(self, versions: Iterable[int]) -> set[int]:
        """Return those of `versions` to serve."""
        return set(sorted(versions)[-self.num_versions :])

    def missing(self, versions: Iterable[int]) -> set[int]:
        """Return the versions that were asked for and are not among `versions`."""
        return set()


@dataclasses.dataclass(frozen=True)
class AllVersions:
    """Serve every version there is."""

    def choose(self, versions: Iterable[int]) -> set[int]:
        """Return those of `versions` to serve."""
        return set(versions)

    def missing(self, versions: Iterable[int]) -> set[int]:
        """Return the versions that were asked for and are not among `versions`."""
        return set()


@dataclasses.dataclass(frozen=True)
class SpecificVersions:
    """Serve exactly the named versions."""

    versions: frozenset[int]

    def choose(self, versions: Iterable[int]) -> set[int]:
        """Return those of `versions` to serve."""
        return set(versions) & self.versions

    def missing(self, versions: Iterable[int]) -> set[int]:
        """Return the versions that were asked for and are not among `versions`."""
        return set(self.versions.difference(versions))


VersionPolicy = LatestVersions | AllVersions | SpecificVersions


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """One model: the name that requests use, and the directory that holds a folder per integer version."""

    name: str
    base_path: Path
    version_policy: VersionPolicy = LatestVersions()


@dataclasses.dataclass(frozen=True)
class LoadOptions:
    """How versions are found and loaded.

    `poll_wait_seconds` is the time between two looks at the file system: 0 looks once, a negative value
    never.
    """

    poll_wait_seconds: float = 1.0
    max_num_load_retries: int = 5
    load_retry_interval_seconds: float = 60.0


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """A whole server. `port` 0 takes any free one."""

    models: tuple[ModelOptions, ...]
    host: str = "127.0.0.1"
    port: int = 8500
    load: LoadOptions = LoadOptions()
    grpc_max_threads: int = 4 * (os.cpu_count() or 1)
    enable_serialization_as_tensor_content: bool = False
    drain_timeout_seconds: float = 20.0
