"""The exported versions of a job's models: which are served under which label, and what they need of a server."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow.python.framework import op_def_registry

from serving.deploy.config import MODEL_NAME
from tfrec.errors import ArtifactError, ConfigError, did_you_mean

SERVE = "serve"
GRAPH_FILE = "saved_model.pb"
_UNKNOWN_ID = "smoke-test"  # an id that no log has: every model answers it


@dataclasses.dataclass(frozen=True)
class DeployedModel:
    """A model with the versions that clients reach as `stable` and `canary`; they may be one."""

    name: str
    base_path: Path
    stable: int
    canary: int

    @property
    def versions(self) -> tuple[int, ...]:
        """The versions to serve, in order."""
        return tuple(sorted({self.stable, self.canary}))

    def directory(self, version: int) -> Path:
        """Where a version is; its name may have leading zeros."""
        return versions_below(self.base_path)[version]


@dataclasses.dataclass(frozen=True)
class VersionFacts:
    """What stands in a version's files."""

    tensorflow: str  # the version that wrote it
    foreign_ops: tuple[str, ...]  # ops that TensorFlow itself does not have
    bytes_on_disk: int
    digest: str
    request: Mapping[str, Any]  # a body for REST that any answer-giving version takes


def versions_below(base: Path) -> dict[int, Path]:
    """The exported versions below a model's base path; `00000123` is version 123."""
    return {
        int(path.name): path
        for path in sorted(base.iterdir())
        if path.name.isdecimal() and path.name.isascii() and (path / GRAPH_FILE).is_file()
    }


def find_models(
    jobs: Sequence[Path], stable: Mapping[str, int], canary: Mapping[str, int]
) -> tuple[DeployedModel, ...]:
    """Return the models of `jobs`, by name; `stable` and `canary` choose versions by model.

    By default the highest version is the canary and the one before it stable; a single one is both.

    Raises:
        ArtifactError: a job without an exported version.
        ConfigError: two models of one name, or a version or model that is not there.

    """
    found: dict[str, DeployedModel] = {}
    for job in jobs:
        bases = [path for path in sorted((job / "export").glob("*")) if path.is_dir() and versions_below(path)]
        if not bases:
            raise ArtifactError(
                f"{job}: no exported version below export/; export one with: python -m trainer.export --job-dir {job}"
            )
        for base in bases:
            if not MODEL_NAME.fullmatch(base.name):
                raise ConfigError(f"{base}: a model's name may have letters, digits, '_', '-' and '.'; rename it")
            if base.name in found:
                raise ConfigError(
                    f"model {base.name!r} is in {found[base.name].base_path.parents[1]} and in {job}; leave one out"
                )
            found[base.name] = _labelled(base, stable.get(base.name), canary.get(base.name))
    for flag, chosen in (("--stable", stable), ("--canary", canary)):
        for name in chosen:
            if name not in found:
                raise ConfigError(f"{flag}: unknown model {name!r}{did_you_mean(name, found)}")
    return tuple(found[name] for name in sorted(found))


def _labelled(base: Path, stable: int | None, canary: int | None) -> DeployedModel:
    there = sorted(versions_below(base))
    for flag, chosen in (("--stable", stable), ("--canary", canary)):
        if chosen is not None and chosen not in there:
            listed = ", ".join(map(str, there))
            raise ConfigError(f"{flag} {base.name}={chosen}: no such version in {base}; there are: {listed}")
    canary = there[-1] if canary is None else canary
    if stable is None:
        stable = max((version for version in there if version < canary), default=canary)
    return DeployedModel(base.name, base.absolute(), stable, canary)


def read_version(model: DeployedModel, version: int) -> VersionFacts:
    """Read what a server must know of a version. Raises ArtifactError where its graph is damaged."""
    directory = model.directory(version)
    graph = _graph(directory)
    ops = {node.op for node in graph.graph_def.node}
    ops |= {node.op for function in graph.graph_def.library.function for node in function.node_def}
    functions = {function.signature.name for function in graph.graph_def.library.function}
    files = sorted(path for path in directory.rglob("*") if path.is_file())
    return VersionFacts(
        tensorflow=graph.meta_info_def.tensorflow_version or tf.__version__,
        foreign_ops=tuple(sorted(op for op in ops - functions if op_def_registry.get(op) is None)),
        bytes_on_disk=sum(path.stat().st_size for path in files),
        digest=_digest(directory, files),
        request=_request(graph, directory),
    )


def _graph(directory: Path) -> Any:
    path = directory / GRAPH_FILE
    content = saved_model_pb2.SavedModel()
    try:
        content.ParseFromString(path.read_bytes())
    except Exception as error:  # protobuf's own decode error, or the file system's
        raise ArtifactError(f"{path}: cannot be read ({error}); export the model again") from None
    for graph in content.meta_graphs:
        if SERVE in graph.meta_info_def.tags:
            return graph
    raise ArtifactError(f"{path}: has no graph tagged {SERVE!r}; export the model again")


def _digest(directory: Path, files: Sequence[Path]) -> str:
    """A fingerprint of all files; the variables' index, which is read, has a checksum of every tensor."""
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(directory)} {path.stat().st_size}\n".encode())
        if not path.name.startswith("variables.data-"):
            digest.update(path.read_bytes())
    return digest.hexdigest()


def _request(graph: Any, directory: Path) -> dict[str, Any]:
    """A body for `…:predict` with every input: REST of TensorFlow Serving fills in no defaults."""
    signature = graph.signature_def.get(tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY)
    if signature is None:
        listed = ", ".join(sorted(graph.signature_def)) or "none"
        raise ArtifactError(f"{directory}: has no signature 'serving_default' (it has: {listed}); export it again")
    inputs = {}
    for name in sorted(signature.inputs):
        if name in signature.defaults:
            inputs[name] = _plain(tf.make_ndarray(signature.defaults[name]))
        else:
            info = signature.inputs[name]
            dtype = tf.dtypes.as_dtype(info.dtype)
            value = _UNKNOWN_ID if dtype == tf.string else np.zeros((), dtype.as_numpy_dtype).item()
            for _ in info.tensor_shape.dim:
                value = [value]
            inputs[name] = value
    return {"signature_name": tf.saved_model.DEFAULT_SERVING_SIGNATURE_DEF_KEY, "inputs": inputs}


def _plain(values: np.ndarray[Any, Any]) -> Any:
    decode = np.vectorize(lambda value: value.decode(), otypes=[object])
    return (decode(values) if values.dtype == object else values).tolist()


def digest_of(facts: Mapping[str, Mapping[int, VersionFacts]]) -> str:
    """A short fingerprint of all versions: the tag of an image that holds them."""
    content = {name: {str(version): one.digest for version, one in of.items()} for name, of in facts.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:12]
