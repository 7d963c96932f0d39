"""Where records of users are kept: one small interface, and the addresses that choose what stands behind it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Protocol

from serving.users.event import Event, with_event
from serving.users.record import UserRecord
from tfrec.errors import ConfigError
from tfrec.schema import Schema

USERS_AT_ONCE = 500  # of a load: short transactions, between which events get their turn

Records = list[UserRecord | None]
Change = Callable[[Records], Sequence[UserRecord]]


class UserStore(Protocol):
    """Records by user id; safe to share between threads and processes."""

    errors: tuple[type[Exception], ...]  # what its methods raise where it can't be reached, or is broken

    def schema(self) -> Schema:
        """The schema that it was loaded with. Raises ArtifactError where nothing was loaded yet."""

    def set_schema(self, schema: Schema) -> None:
        """Say what the records to come are made of."""

    def get(self, user_ids: Sequence[str]) -> Records:
        """The record of each user, None where there is none."""

    def update(self, user_ids: Sequence[str], change: Change) -> None:
        """Replace the users' records by what `change` makes of them; nobody else's change comes between or is lost.

        `change` may be called again where somebody was faster.
        """

    def close(self) -> None:
        """Free the connections."""


def open_store(address: str) -> UserStore:
    """Return the store at `sqlite:PATH` or `redis://HOST:PORT/NUMBER`. Raises ConfigError for another address."""
    kind, _, rest = address.partition(":")
    if kind == "sqlite" and rest:
        from serving.users.sqlite_store import SqliteStore

        return SqliteStore(rest)
    if kind in ("redis", "rediss", "unix") and rest.startswith("//"):
        from serving.users.redis_store import RedisStore

        return RedisStore(address)
    raise ConfigError(f"store: got {address!r}; expected sqlite:PATH or redis://HOST:PORT/NUMBER")


def append(store: UserStore, user_id: str, event: Event, schema: Schema | None = None) -> None:
    """Add an event to the user's histories; of an unknown user it is the first."""
    rules = schema or store.schema()
    store.update([user_id], lambda found: [with_event(found[0] or UserRecord(), event, rules)])


def load(store: UserStore, schema: Schema, records: Iterable[tuple[str, UserRecord]]) -> int:
    """Put the records of a dataset into the store; return how many.

    Users that it has beside them stay, and so do histories with events after the dataset's.
    """
    store.set_schema(schema)
    count = 0
    waiting = iter(records)
    while chunk := list(islice(waiting, USERS_AT_ONCE)):
        loaded = [record for _, record in chunk]

        def change(found: Records, loaded: Sequence[UserRecord] = loaded) -> list[UserRecord]:
            return [new if old is None else old.reloaded(new) for old, new in zip(found, loaded, strict=True)]

        store.update([user_id for user_id, _ in chunk], change)
        count += len(chunk)
    return count
