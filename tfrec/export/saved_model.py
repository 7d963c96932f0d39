"""One version of a served model: the SavedModel and its card, written beside and renamed when whole."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tensorflow as tf

import tfrec
from tfrec.config_file import Config
from tfrec.export.attribute_filters import AttributeFilter
from tfrec.export.canonical import make_canonical
from tfrec.export.meanings import of_inputs, of_outputs
from tfrec.export.signature import input_defaults
from tfrec.export.sizes import size_report
from tfrec.index import IndexConfig, IndexReport

CARD = "model_card.json"


class ModelCard(Config):
    """What a served model is: who asks for it years later should not have to guess."""

    model_name: str
    task: str
    schema_fingerprint: str
    dataset: str
    dataset_fingerprint: str
    config: dict[str, Any]
    metrics: dict[str, Any]
    num_users: int
    num_items: int
    filters: tuple[AttributeFilter, ...] = ()
    index: IndexReport | None = None
    index_config: IndexConfig | None = None  # what was asked for, so that a later version can be made like this one
    indexes: dict[str, IndexReport] = {}  # of the sources of a cascade
    refreshed: dict[str, Any] | None = None  # what a later dataset brought, where there was one


def next_version(base: Path) -> int:
    """1, or one above the highest version that is there."""
    versions = [int(entry.name) for entry in base.glob("*") if entry.is_dir() and entry.name.isdigit()]
    return max(versions, default=0) + 1


def save_version(
    module: tf.Module,
    signatures: dict[str, Any],
    base: Path,
    card: ModelCard,
    finish: Callable[[Path], dict[str, Any]] | None = None,
) -> Path:
    """Write the next version below `base` and return its directory.

    A server that watches `base` sees a version only when all of it is there.

    Args:
        module: what the signatures read.
        signatures: name → tf.function.
        base: directory of the versions.
        card: what the model is.
        finish: completes the written directory, and refuses it by raising; what it returns becomes part of the card.

    """
    base.mkdir(parents=True, exist_ok=True)
    temporary = base / f".{uuid.uuid4().hex[:8]}.tmp"
    try:
        tf.saved_model.save(module, str(temporary), signatures=signatures)
        make_canonical(temporary)
        facts = {} if finish is None else finish(temporary)
        content = card.model_dump(mode="json")
        content["versions"] = {"tfrec": tfrec.__version__, "tensorflow": tf.__version__}
        content["signatures"] = {name: describe(function) for name, function in signatures.items()}
        content["size"] = size_report(module, temporary)
        content |= facts
        (temporary / CARD).write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        target = base / str(next_version(base))
        temporary.rename(target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def describe(function: Any) -> dict[str, Any]:
    """Inputs and outputs of a signature, for the model card: type, shape and meaning, and what may be left out."""
    concrete = function.get_concrete_function()
    defaults = input_defaults(function)
    inputs, outputs = [spec.name for spec in function.input_signature], list(concrete.structured_outputs)
    return {
        "inputs": {spec.name: f"{spec.dtype.name} {list(spec.shape)}" for spec in function.input_signature},
        "optional": sorted(defaults),
        "outputs": {
            name: f"{spec.dtype.name} {list(spec.shape)}" for name, spec in concrete.structured_outputs.items()
        },
        "meaning": {"inputs": of_inputs(inputs), "outputs": of_outputs(outputs)},
    }
