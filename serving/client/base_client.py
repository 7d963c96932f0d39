"""What a client is before it speaks, whichever way it waits for answers."""

from __future__ import annotations

from collections.abc import Sequence

from serving.client.addresses import is_rest, parse_addresses
from serving.client.calls import Calls
from serving.client.options import ClientOptions
from serving.client.questions import Models
from serving.client.user_features import UserFeatures
from tfrec.errors import ConfigError


class BaseClient:
    """Addresses, deadline, options and the calls as steps. Its heirs ask what the steps ask."""

    def __init__(
        self,
        target: str | Sequence[str],
        timeout_seconds: float = 1.0,
        *,
        options: ClientOptions | None = None,
        users: UserFeatures | None = None,
    ) -> None:
        if not timeout_seconds > 0:
            raise ConfigError(f"timeout_seconds: got {timeout_seconds:g}; allowed: above 0")
        self._options = options or ClientOptions()
        self._addresses = parse_addresses(target)
        self.target = ",".join(self._addresses)
        self._timeout_seconds = timeout_seconds
        self._users = users
        is_unversioned = is_rest(self._addresses[0])  # whose answers do not say which version they are of
        models = Models(self.target, self._options.metadata_seconds if is_unversioned else None)
        self._calls = Calls(models, has_users=users is not None)
