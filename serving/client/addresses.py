"""The addresses of servers."""

from __future__ import annotations

from collections.abc import Sequence

from tfrec.errors import ConfigError

HTTP, HTTPS = "http://", "https://"


def parse_addresses(target: str | Sequence[str]) -> tuple[str, ...]:
    """Return the servers of "host:8500", "host:8500,other:8500", a list of them, or URLs for REST.

    Raises ConfigError for none at all, and for gRPC and REST in one.
    """
    listed = target.split(",") if isinstance(target, str) else list(target)
    found = tuple(dict.fromkeys(one.strip().rstrip("/") for one in listed if one.strip()))
    if not found:
        raise ConfigError(f"server: got {target!r}; expected HOST:PORT, or several of them with commas between")
    if len({is_rest(one) for one in found}) > 1:
        raise ConfigError(f"server: got {', '.join(found)}; all must speak gRPC (HOST:PORT), or all REST (http://…)")
    return found


def is_rest(address: str) -> bool:
    """Whether an address is that of a REST port."""
    return address.startswith((HTTP, HTTPS))
