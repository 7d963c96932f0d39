"""Users and items of a later dataset, encoded as the dataset was that a model learnt from.

Ids mean what the model's own vocabularies say, whatever the later dataset counts. Raw values go through the model's own
transform; what a dataset has no raw values of (histories, features that stand in the events alone) is read back by its
vocabulary and looked up in the model's.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from tfrec.dataset.directory import VOCABULARY, DatasetDirectory
from tfrec.dataset.raw_features import read_raw
from tfrec.dataset.records import Arrays
from tfrec.errors import ArtifactError
from tfrec.feature_transform import FeatureTransform
from tfrec.schema import FIRST_OOV_ID, CategoricalFeature, Feature, NumericFeature, SequenceFeature, TextFeature

CHUNK = 65_536  # rows that are encoded at once


def require_same_features(trained: DatasetDirectory, later: DatasetDirectory) -> None:
    """Refuse a dataset whose features are others than those that a model reads.

    Raises:
        ArtifactError: they are.

    """
    ours, theirs = trained.schema.features, later.schema.features
    if ours != theirs:
        names = sorted({*ours, *theirs})
        name = next(name for name in names if ours.get(name) != theirs.get(name))
        raise ArtifactError(
            f"{later.path}: feature {name!r} is not the same as in {trained.path}, where the model was trained; "
            "train on the new dataset instead"
        )


def reencode(trained: DatasetDirectory, later: DatasetDirectory, part: str, encoded: Arrays) -> Arrays:
    """Encode users or items of a later dataset for a model.

    Args:
        trained: the dataset that the model learnt from.
        later: the other one, with the same features.
        part: "users" or "items".
        encoded: feature → what the later dataset has of them, as its own transform encoded it.

    Returns:
        feature → encoded values, in the order of the later dataset.

    Raises:
        ArtifactError: a number has no raw values, and the datasets scale it differently.

    """
    raw = {name: values for name, values in read_raw(later, part).items() if _has_values(values)}
    of_raw = _transformed(FeatureTransform(trained.schema, trained.transform), raw, trained)
    found: Arrays = {}
    for name, values in encoded.items():
        if name in of_raw:
            found[name] = of_raw[name]
        else:
            found[name] = _translated(trained, later, name, values)
    return found


def _has_values(values: np.ndarray) -> bool:
    return bool((values != b"").any()) if values.dtype == object else bool((~np.isnan(values)).any())


def _transformed(transform: FeatureTransform, raw: Arrays, dataset: DatasetDirectory) -> Arrays:
    """Raw features, a part of the rows at a time."""
    schema = dataset.schema
    weights = {name: getattr(feature, "of", None) for name, feature in schema.features.items()}
    names = [n for n in raw if n in schema.encoded and (weights[n] is None or weights[n] in raw)]
    if not names:
        return {}
    rows = len(raw[names[0]])
    parts = [
        {n: v.numpy() for n, v in transform({n: tf.constant(raw[n][start : start + CHUNK]) for n in names}).items()}
        for start in range(0, max(rows, 1), CHUNK)
    ]
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def _translated(trained: DatasetDirectory, later: DatasetDirectory, name: str, values: np.ndarray) -> np.ndarray:
    """Encoded values of one feature, with the ids of the trained dataset."""
    source, feature = name, trained.schema.features[name]
    if isinstance(feature, SequenceFeature):
        source = trained.schema.sequence_source(name)
        if source not in trained.schema.features:
            return values  # labels and times are taken as they are
        feature = trained.schema.features[source]
    if isinstance(feature, TextFeature):
        feature = feature.as_categorical
    if isinstance(feature, CategoricalFeature):
        return values if feature.hash_buckets is not None else id_map(trained, later, source, feature)[values]
    if isinstance(feature, NumericFeature) and not _same_scale(trained, later, source):
        raise ArtifactError(
            f"{later.path}: keeps no raw values of {name!r}, and scales it otherwise than {trained.path}; "
            f"write it with: python -m transforms.run --base {trained.path}"
        )
    return values


def id_map(trained: DatasetDirectory, later: DatasetDirectory, name: str, feature: Feature) -> np.ndarray:
    """Id in the later dataset → id in the trained one, by token; the first of the unknown where it has none. int64"""
    assert isinstance(feature, CategoricalFeature)
    first = feature.first_token_id
    known = {token: first + place for place, token in enumerate(_tokens(trained, name))}
    of_tokens = [known.get(token, FIRST_OOV_ID) for token in _tokens(later, name)]
    return np.array([*range(first), *of_tokens], np.int64)


def _tokens(dataset: DatasetDirectory, name: str) -> list[bytes]:
    return (dataset.path / VOCABULARY / f"{name}.txt").read_bytes().split(b"\n")[:-1]


def _same_scale(trained: DatasetDirectory, later: DatasetDirectory, name: str) -> bool:
    ours, theirs = (one.statistics["features"].get(name, {}).get("encoding") for one in (trained, later))
    return bool(ours == theirs)
