"""Records of users in Redis: shared by many machines."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from serving.users.record import UserRecord
from serving.users.store import Change, Records
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema

_SCHEMA, _USER = "tfrec:schema", "tfrec:user:"
# Of one command: a server that hangs must not hold the threads that ask it, whose callers have long gone on.
_TIMEOUT_SECONDS = 2.0


class RedisStore:
    """A `UserStore` at `redis://HOST:PORT/NUMBER` (`rediss://` with TLS). Connections are made when first used."""

    def __init__(self, url: str) -> None:
        try:
            import redis  # type: ignore[import-not-found]
        except ImportError:
            raise ConfigError(
                f"store: {url} needs the package redis; install it with: pip install 'tfrec[redis]'"
            ) from None
        try:
            self._redis: Any = redis.Redis.from_url(
                url, socket_timeout=_TIMEOUT_SECONDS, socket_connect_timeout=_TIMEOUT_SECONDS
            )
        except ValueError as error:
            raise ConfigError(f"store: got {url!r}: {error}; expected redis://HOST:PORT/NUMBER") from None
        self._url = url
        self.errors: tuple[type[Exception], ...] = (redis.RedisError, OSError)

    def schema(self) -> Schema:
        """The schema that it was loaded with."""
        content = self._redis.get(_SCHEMA)
        if content is None:
            raise ArtifactError(
                f"{self._url}: holds no users; load them with: "
                f"python -m serving.load_users --dataset DATASET --store {self._url}"
            )
        return Schema.model_validate_json(content)

    def set_schema(self, schema: Schema) -> None:
        """Say what the records to come are made of."""
        self._redis.set(_SCHEMA, schema.model_dump_json())

    def get(self, user_ids: Sequence[str]) -> Records:
        """The record of each user, None where there is none."""
        return _records(self._redis.mget([_USER + one for one in user_ids])) if user_ids else []

    def update(self, user_ids: Sequence[str], change: Change) -> None:
        """Replace the users' records, again from the start where another writer was faster (WATCH)."""
        keys = [_USER + one for one in user_ids]

        def replace(pipe: Any) -> None:
            records = change(_records(pipe.mget(keys)))
            pipe.multi()
            pipe.mset({key: record.to_json() for key, record in zip(keys, records, strict=True)})

        if keys:
            self._redis.transaction(replace, *keys)

    def close(self) -> None:
        """Close the connections."""
        self._redis.close()


def _records(values: Sequence[bytes | None]) -> Records:
    return [None if value is None else UserRecord.from_json(value) for value in values]
