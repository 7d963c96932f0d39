"""The tasks of a cluster find each other before TensorFlow starts, which would wait for a wrong address in silence."""

from __future__ import annotations

import socket
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager

from tfrec.errors import ConfigError
from trainer.cluster.tf_config import Address, Cluster

TIMEOUT_SECONDS = 300.0  # machines of one job start minutes apart
_PROBE_SECONDS = 2.0  # for one connection
_ROUND_SECONDS = 0.2  # between two rounds of connections
_SAY_AFTER_SECONDS = 10.0


def print_for_people(line: str) -> None:
    """What people read goes to stderr."""
    print(line, file=sys.stderr, flush=True)


def why_unreachable(address: Address) -> str | None:
    """None if something listens there; else the reason in words."""
    try:
        socket.create_connection((address.host, address.port), timeout=_PROBE_SECONDS).close()
    except socket.gaierror:
        return "the host name does not resolve"
    except TimeoutError:
        return "no answer"
    except OSError as error:
        return (error.strerror or str(error)).lower()
    return None


@contextmanager
def listening(cluster: Cluster) -> Iterator[None]:
    """Within, the port of this task answers, so that the others see that it is there.

    Raises:
        ConfigError: another process has the port.

    """
    family = socket.AF_INET6 if ":" in cluster.own.host else socket.AF_INET
    with closing(socket.socket(family, socket.SOCK_STREAM)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", cluster.own.port))
            listener.listen(1024)
        except OSError as error:
            raise ConfigError(
                f"TF_CONFIG: port {cluster.own.port} of this task ({cluster.role} {cluster.index}) cannot be taken "
                f"({(error.strerror or str(error)).lower()}); end the process that has it, or give another port"
            ) from None
        yield


def wait_for(
    tasks: Mapping[str, Address],
    timeout_seconds: float = TIMEOUT_SECONDS,
    say: Callable[[str], None] = print_for_people,
) -> None:
    """Return when every task answers.

    Args:
        tasks: name → address.
        timeout_seconds: how long.
        say: gets one line when it takes longer.

    Raises:
        ConfigError: some still do not answer; names them and why.

    """
    started = time.monotonic()
    missing = dict(tasks)
    is_told = False
    while True:
        reasons = {name: reason for name, address in missing.items() if (reason := why_unreachable(address))}
        missing = {name: missing[name] for name in reasons}
        if not missing:
            return
        names = ", ".join(f"{name} ({missing[name]}: {reason})" for name, reason in reasons.items())
        elapsed = time.monotonic() - started
        if elapsed >= timeout_seconds:
            raise ConfigError(
                f"TF_CONFIG: not there after {timeout_seconds:g} s: {names}; start these tasks or correct the addresses"
            )
        if elapsed >= _SAY_AFTER_SECONDS and not is_told:
            say(f"waiting for {names}")
            is_told = True
        time.sleep(_ROUND_SECONDS)


def gather(
    cluster: Cluster, timeout_seconds: float = TIMEOUT_SECONDS, say: Callable[[str], None] = print_for_people
) -> None:
    """Wait for all other tasks while this one can be seen. TensorFlow takes over the port right afterwards."""
    with listening(cluster):
        wait_for(cluster.others(), timeout_seconds, say)
