"""What a store holds of one user."""

from __future__ import annotations

import dataclasses
import json
from typing import Any


@dataclasses.dataclass(frozen=True)
class UserRecord:
    """Raw features, the sequences of the last events (oldest first), and when the last one was."""

    features: dict[str, Any] = dataclasses.field(default_factory=dict)
    sequences: dict[str, list[Any]] = dataclasses.field(default_factory=dict)
    last_event_ms: int | None = None

    def to_json(self) -> str:
        """As the stores write it."""
        return json.dumps([self.features, self.sequences, self.last_event_ms], ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str | bytes) -> UserRecord:
        """Raises ValueError where the text is no record."""
        features, sequences, last_event_ms = json.loads(text)
        return cls(features, sequences, last_event_ms)

    def reloaded(self, loaded: UserRecord) -> UserRecord:
        """The record after a dataset said `loaded`: its features, and the sequences of whichever is fresher."""
        if self.last_event_ms is None or (loaded.last_event_ms or 0) >= self.last_event_ms:
            return loaded
        known = {name: self.sequences.get(name, values) for name, values in loaded.sequences.items()}
        return UserRecord(loaded.features, known, self.last_event_ms)
