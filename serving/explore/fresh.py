"""What a store says of users: what the models are asked with, and so what the page shows."""

from __future__ import annotations

from serving.explore.catalogue import UNKNOWN_ITEM
from serving.users.dataset_users import UNKNOWN
from serving.users.lookup import LookupCounts, UserLookup


class FreshUsers:
    """Histories of a store of users.

    `lookup` is for the client of the models too: what stands on the page is what it sends.
    """

    def __init__(self, address: str, timeout_seconds: float) -> None:
        """Open the store at `address`, for calls of that time. Raises ArtifactError where it does not answer."""
        self.lookup = UserLookup.at(address, timeout_seconds)
        self._timeout_seconds = timeout_seconds
        self._history = self.lookup.schema().history

    def history(self, user: str) -> tuple[str, ...] | None:
        """The user's items, latest last; None where the store has or says nothing, and the model's own count."""
        (found,) = self.lookup.of([user], (), self._timeout_seconds)
        items = found.get(self._history) if self._history else None
        return None if items is None else tuple(UNKNOWN_ITEM if item == UNKNOWN else str(item) for item in items)

    @property
    def counts(self) -> LookupCounts:
        """Look-ups so far, by how they ended."""
        return self.lookup.counts

    def close(self) -> None:
        """Close the store."""
        self.lookup.close()
