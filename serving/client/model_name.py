"""Which model, and which version of it, a call means."""

from __future__ import annotations

import dataclasses
import re

from tfrec.errors import ConfigError

_FORM = re.compile(r"(?P<name>[^/]+)(?:/versions/(?P<version>\d+)|/labels/(?P<label>[^/]+))?")


@dataclasses.dataclass(frozen=True)
class ModelName:
    """`NAME` (its highest version), `NAME/versions/7` or `NAME/labels/stable`, spelled as in REST paths."""

    text: str
    name: str
    version: int | None = None
    label: str | None = None

    @classmethod
    def parse(cls, text: str) -> ModelName:
        """Raises ConfigError for another form."""
        found = _FORM.fullmatch(text)
        if found is None:
            raise ConfigError(f"model: got {text!r}; expected NAME, NAME/versions/NUMBER or NAME/labels/LABEL")
        version = found["version"]
        return cls(text, found["name"], None if version is None else int(version), found["label"])
