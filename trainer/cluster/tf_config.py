"""TF_CONFIG: which processes train together, and which of them this one is.

`{"cluster": {"chief": ["a:2222"], "worker": ["b:2222"], "ps": ["c:2222"]}, "task": {"type": "worker", "index": 0}}`,
as Vertex AI, Kubeflow and others set it. Google's older `master` means `chief`. Every mistake is one line here, because
TensorFlow itself waits without a word for an address that is wrong.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tfrec.errors import ConfigError, did_you_mean

ROLES = ("chief", "worker", "ps", "evaluator")
_OLDER_NAMES = {"master": "chief"}


@dataclass(frozen=True)
class Address:
    """Where a task listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Cluster:
    """The tasks of a TF_CONFIG and the place of this process among them.

    Attributes:
        tasks: role → addresses by index; roles without tasks are absent.
        role: of this process; one of ROLES.
        index: of this process among those of its role.

    """

    tasks: Mapping[str, tuple[Address, ...]]
    role: str
    index: int

    def of(self, role: str) -> tuple[Address, ...]:
        return self.tasks.get(role, ())

    @property
    def own(self) -> Address:
        return self.of(self.role)[self.index]

    @property
    def num_trainers(self) -> int:
        """Tasks that compute gradients when there are no parameter servers."""
        return len(self.of("chief")) + len(self.of("worker"))

    @property
    def has_servers(self) -> bool:
        return bool(self.of("ps"))

    @property
    def is_chief(self) -> bool:
        """Whether this process alone writes; the first worker does where no task is called chief."""
        return self.role == "chief" or (self.role == "worker" and self.index == 0 and not self.of("chief"))

    @property
    def trainer_index(self) -> int:
        """Number of this process among chief and workers; the chief is 0."""
        return self.index if self.role == "chief" else self.index + len(self.of("chief"))

    @property
    def spec(self) -> dict[str, list[str]]:
        """What TensorFlow takes; evaluators are no part of it."""
        return {
            role: [str(found) for found in self.of(role)] for role in ROLES if role != "evaluator" and self.of(role)
        }

    def others(self) -> dict[str, Address]:
        """`worker 1` → its address, for all tasks but this one and the evaluators."""
        return {
            f"{role} {index}": address
            for role in ROLES
            for index, address in enumerate(self.of(role))
            if role != "evaluator" and (role, index) != (self.role, self.index)
        }


def read_cluster(environment: Mapping[str, str] = os.environ) -> Cluster | None:
    """The cluster that TF_CONFIG describes; None without one, and where it names this process alone.

    Raises:
        ConfigError: TF_CONFIG is not what TensorFlow could start with.

    """
    text = environment.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        content = json.loads(text)
    except ValueError as error:
        raise _wrong(f"not JSON ({error}); got {text[:60]!r}") from None
    if not isinstance(content, dict):
        raise _wrong(f"an object is needed, got {text[:60]!r}")
    tasks = _tasks(content.get("cluster") or {})
    if not tasks:
        return None
    role, index = _task(content.get("task"), tasks)
    cluster = Cluster(tasks, role, index)
    _require_complete(cluster)
    is_alone = cluster.num_trainers == 1 and not cluster.has_servers and role != "evaluator"
    return None if is_alone else cluster


def _tasks(content: Any) -> dict[str, tuple[Address, ...]]:
    if not isinstance(content, dict):
        raise _wrong(f"'cluster' maps roles to lists of addresses; got {content!r}")
    tasks: dict[str, tuple[Address, ...]] = {}
    owners: dict[Address, str] = {}
    for name, addresses in content.items():
        role = _role(name, "cluster")
        if role in tasks:
            raise _wrong("cluster: 'master' is the older name of 'chief'; give one of them")
        if not isinstance(addresses, list):
            raise _wrong(f"cluster.{name}: a list of addresses is needed, got {addresses!r}")
        found = tuple(_address(address, f"cluster.{name}[{index}]") for index, address in enumerate(addresses))
        for index, address in enumerate(found):
            place = f"{name}[{index}]"
            if address in owners:
                raise _wrong(f"cluster: {owners[address]} and {place} have the same address {address}")
            owners[address] = place
        if found:
            tasks[role] = found
    return tasks


def _role(name: Any, where: str) -> str:
    role = _OLDER_NAMES.get(name, name)
    if role not in ROLES:
        raise _wrong(f"{where}: unknown role {name!r}{did_you_mean(str(name), ROLES)}; allowed: {', '.join(ROLES)}")
    return str(role)


def _address(text: Any, where: str) -> Address:
    host, colon, port = text.rpartition(":") if isinstance(text, str) else ("", "", "")
    if not (host and colon):
        raise _wrong(f"{where}: 'host:port' is needed, got {text!r}")
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 1 << 16):
        raise _wrong(f"{where}: the port of {text!r} is not a number from 1 to 65535")
    host = host.removeprefix("[").removesuffix("]")
    if not host or any(sign in host for sign in "/ @"):
        raise _wrong(f"{where}: 'host:port' is needed, without a scheme; got {text!r}")
    return Address(host, int(port))


def _task(task: Any, tasks: Mapping[str, tuple[Address, ...]]) -> tuple[str, int]:
    if not isinstance(task, dict) or "type" not in task:
        raise _wrong('\'task\' must say which one this process is, such as {"type": "worker", "index": 0}')
    role, index = _role(task["type"], "task.type"), task.get("index", 0)
    if isinstance(index, str) and index.isascii() and index.isdigit():
        index = int(index)
    if isinstance(index, bool) or not isinstance(index, int) or index < 0:
        raise _wrong(f"task.index: a whole number from 0 is needed, got {index!r}")
    count = len(tasks.get(role, ()))
    if role == "evaluator" and count == 0:  # TensorFlow's own convention: evaluators stand outside of the cluster
        return role, index
    if count == 0:
        raise _wrong(f"task.type: this process is a {role}, but cluster has none; it has {', '.join(tasks)}")
    if index >= count:
        raise _wrong(f"task.index: got {index}, but cluster.{role} has {count} (0 to {count - 1})")
    return role, index


def _require_complete(cluster: Cluster) -> None:
    if len(cluster.of("chief")) > 1:
        raise _wrong(f"cluster.chief: there is one chief, got {len(cluster.of('chief'))}")
    if cluster.has_servers:
        for role in ("chief", "worker"):
            if not cluster.of(role):
                raise _wrong(
                    f"cluster: parameter servers (ps) need a {role}, and there is none; name one or leave ps out"
                )
    elif not cluster.num_trainers:
        raise _wrong("cluster: nobody trains; name a chief or workers")


def _wrong(message: str) -> ConfigError:
    return ConfigError(f"TF_CONFIG: {message}")
