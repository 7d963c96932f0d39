"""What a client asks of a store of users: the side of `serving.users` that it sees."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Protocol

Features = Mapping[str, Any]

# Of the time that a call has left: a store that hangs, however patient its look-up is, leaves the model this much.
SHARE_OF_TIME = 0.5


class UserFeatures(Protocol):
    """Features and recent history of users; never an error, and never much later than asked for."""

    def of(self, users: Sequence[str], replaced: Collection[str], timeout_seconds: float) -> Sequence[Features]:
        """What is known of each user; nothing where the store has or says nothing.

        Histories are left out where the caller gives one of them (`replaced`): theirs would be of other events.
        """

    async def of_async(
        self, users: Sequence[str], replaced: Collection[str], timeout_seconds: float
    ) -> Sequence[Features]:
        """The same from an event loop."""
