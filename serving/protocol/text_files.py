"""Files that hold one message as protobuf text, as TF Serving's configuration files do."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from google.protobuf import text_format
from google.protobuf.message import Message

from tfrec.errors import ConfigError

_Message = TypeVar("_Message", bound=Message)


def read_text_proto(path: Path, message: _Message, flag: str) -> _Message:
    """Fill `message` from the file that `flag` names. Raises ConfigError, with the line, where that fails."""
    try:
        return text_format.Parse(path.read_text(encoding="utf-8"), message)
    except OSError as error:
        raise ConfigError(f"{flag}: can't read {path}: {error.strerror}") from error
    except (text_format.ParseError, UnicodeDecodeError) as error:
        kind = message.DESCRIPTOR.name
        raise ConfigError(f"{flag}: {path}:{error}; expected text of the message {kind}") from error
