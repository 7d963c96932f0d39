"""Records of users in one SQLite file: nothing to install, readable while it is written."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from pathlib import Path

from serving.users.record import UserRecord
from serving.users.store import Change, Records
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema

_TABLES = """
CREATE TABLE IF NOT EXISTS about (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS users (id TEXT PRIMARY KEY, record TEXT NOT NULL) WITHOUT ROWID;
"""
_WRITER_WAITS_SECONDS = 10.0
_MOST_VARIABLES = 900  # of a statement: older builds of SQLite take 999


class SqliteStore:
    """A `UserStore` in the file at `path`. Writers of one machine wait for each other; readers for nobody (WAL)."""

    errors: tuple[type[Exception], ...] = (sqlite3.Error,)

    def __init__(self, path: str | Path) -> None:
        self._path = Path(path)
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        if not self._path.parent.is_dir():
            raise ConfigError(f"store: sqlite:{path}: the directory {self._path.parent} does not exist; make it first")

    def schema(self) -> Schema:
        """The schema that it was loaded with."""
        rows = self._connection().execute("SELECT value FROM about WHERE key = 'schema'").fetchall()
        if not rows:
            raise ArtifactError(
                f"sqlite:{self._path}: holds no users; load them with: "
                f"python -m serving.load_users --dataset DATASET --store sqlite:{self._path}"
            )
        return Schema.model_validate_json(rows[0][0])

    def set_schema(self, schema: Schema) -> None:
        """Say what the records to come are made of."""
        with self._connection() as connection:
            connection.execute("INSERT OR REPLACE INTO about VALUES ('schema', ?)", [schema.model_dump_json()])

    def get(self, user_ids: Sequence[str]) -> Records:
        """The record of each user, None where there is none."""
        return self._read(self._connection(), user_ids)

    def update(self, user_ids: Sequence[str], change: Change) -> None:
        """Replace the users' records in one transaction."""
        connection = self._connection()
        with connection:
            connection.execute("BEGIN IMMEDIATE")  # before reading: else two readers both become writers
            records = change(self._read(connection, user_ids))
            rows = [(one, record.to_json()) for one, record in zip(user_ids, records, strict=True)]
            connection.executemany("INSERT OR REPLACE INTO users VALUES (?, ?)", rows)

    def close(self) -> None:
        """Close the connections of all threads."""
        with self._lock:
            opened, self._opened = self._opened, []
        for connection in opened:
            connection.close()

    def _read(self, connection: sqlite3.Connection, user_ids: Sequence[str]) -> Records:
        found: dict[str, str] = {}
        for start in range(0, len(user_ids), _MOST_VARIABLES):
            chunk = list(user_ids[start : start + _MOST_VARIABLES])
            marks = ",".join("?" * len(chunk))
            found |= dict(connection.execute(f"SELECT id, record FROM users WHERE id IN ({marks})", chunk))
        return [UserRecord.from_json(found[one]) if one in found else None for one in user_ids]

    def _connection(self) -> sqlite3.Connection:
        """The connection of this thread: SQLite's transactions belong to connections."""
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            # autocommit: transactions begin where `update` says so.
            connection = sqlite3.connect(
                self._path, timeout=_WRITER_WAITS_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = NORMAL")
                connection.executescript(_TABLES)
            except sqlite3.DatabaseError as error:
                connection.close()
                if isinstance(error, sqlite3.OperationalError):
                    raise
                raise ArtifactError(f"sqlite:{self._path}: is no store of users ({error}); name another file") from None
            self._local.connection = connection
            with self._lock:
                self._opened.append(connection)
        return connection
