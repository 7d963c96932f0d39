"""Which versions of a model are served."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable


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
