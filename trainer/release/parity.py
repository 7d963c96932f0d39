"""Raw rows through the exported graph against the records that Beam wrote of them, through the trained model.

The dataset keeps raw features of users and items beside the encoded ones. The raw ones are sent as a request, so that
the graph's transform encodes them; the encoded ones go straight into the model. A difference means that training and
serving do not see the same features.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from tfrec.dataset.directory import RAW_PREFIX, VOCABULARY
from tfrec.dataset.raw_features import raw_features, read_raw
from tfrec.dataset.records import Arrays, read_part
from tfrec.errors import ArtifactError
from tfrec.export.filters import NEVER
from tfrec.export.reranking import draws_scores
from tfrec.feature_transform import FeatureTransform, missing_value, raw_specs
from tfrec.models.base import RankingModel, Recommender, RetrievalModel
from tfrec.schema import PADDING_ID, CategoricalFeature, Feature, SequenceFeature
from trainer.data import JobData

ROWS, K, SEED = 32, 50, 1
RELATIVE, ABSOLUTE = 1e-3, 1e-4


class Rows:
    """A sample of users with an item each, raw and encoded."""

    def __init__(self, data: JobData, model: Recommender) -> None:
        self._data = data
        rng = np.random.default_rng(SEED)
        num_users = data.dataset.rows("users")
        self.users = np.sort(rng.choice(num_users, min(ROWS, num_users), replace=False))
        self.items = rng.integers(data.catalogue.size, size=len(self.users))
        needs, schema = model.required_features, data.schema
        users, items = read_part(data.dataset, "users"), data.catalogue.features
        context = {n: f for n, f in schema.of_role("context").items() if n in needs}
        self.user_encoded = {
            **{name: values[self.users] for name, values in users.items() if name in needs},
            **self._missing(context),
        }
        self.item_encoded = {name: values[self.items] for name, values in items.items() if name in needs}
        user_names = tuple(n for n in raw_features(data.dataset, "users") if n in needs)
        self.user_raw = {n: v[self.users] for n, v in read_raw(data.dataset, "users", user_names).items()}
        self.user_raw[schema.user_id] = users[RAW_PREFIX + schema.user_id][self.users]
        self.user_raw |= self._sequences({n: v for n, v in self.user_encoded.items() if n not in context})
        item_names = tuple(n for n in raw_features(data.dataset, "items") if n in needs)
        self.item_raw = {n: v[self.items] for n, v in read_raw(data.dataset, "items", item_names).items()}
        self.item_raw[schema.item_id] = data.catalogue.ids[self.items]

    def _missing(self, features: dict[str, Feature]) -> Arrays:
        """What the transform makes of values that no request gives."""
        if not features:
            return {}
        transform = FeatureTransform(self._data.schema, self._data.dataset.transform)
        raw = {
            name: tf.fill(
                [len(self.users)] + [1] * (spec.shape.rank - 1), tf.constant(missing_value(spec.dtype), spec.dtype)
            )
            for name, spec in raw_specs(features).items()
        }
        return {name: values.numpy() for name, values in transform(raw).items()}

    def _sequences(self, encoded: Arrays) -> Arrays:
        """Sequences of tokens as a request would hold them; none where one of them cannot be read back."""
        schema, found = self._data.schema, {}
        names = [name for name in encoded if isinstance(schema.features[name], SequenceFeature)]
        for name in names:
            source = schema.features.get(schema.sequence_source(name))
            tokens = self._data.dataset.path / VOCABULARY / f"{schema.sequence_source(name)}.txt"
            if not isinstance(source, CategoricalFeature) or not tokens.exists():
                return {}  # numbers stand beside items value by value: they are looked up, all or none
            known = np.array(tokens.read_bytes().split(b"\n")[:-1], object)
            ids = encoded[name]
            if ((ids != PADDING_ID) & (ids < source.first_token_id)).any():
                return {}  # what the vocabulary does not hold has no token to send
            found[name] = np.where(ids == PADDING_ID, b"", known[np.maximum(ids - source.first_token_id, 0)])
        return found


def check_parity(loaded: Any, model: Recommender, data: JobData) -> int:
    """Compare an export of one model with the model.

    Args:
        loaded: the SavedModel.
        model: what it was made of.
        data: the dataset whose users and items it holds.

    Returns:
        the number of rows that were compared; 0 of a model whose scores are another draw in each request.

    Raises:
        ArtifactError: they differ.

    """
    if isinstance(model, RetrievalModel) and draws_scores(model):
        return 0
    rows = Rows(data, model)
    if isinstance(model, RankingModel):
        encoded = {**rows.user_encoded, **rows.item_encoded}
        expected = model.predictions({name: tf.constant(values) for name, values in encoded.items()}).numpy()
        found = ask(loaded, "serving_default", {**rows.user_raw, **rows.item_raw})["scores"]
        _require_close(found, expected, data)
        return len(expected)
    assert isinstance(model, RetrievalModel)
    scores = model.scores({name: tf.constant(values) for name, values in rows.user_encoded.items()}).numpy()
    answer = ask(loaded, "recommend", {**rows.user_raw, **_unlimited(len(scores))})
    _require_close(answer["scores"], scores_of(answer["ids"], scores, data), data)
    return len(scores)


def check_cascade_parity(loaded: Any, sources: list[RetrievalModel], ranker: RankingModel, data: JobData) -> int:
    """As `check_parity`, of a cascade: the ranking of its list, and what its sources say of each item."""
    rows = Rows(data, ranker)
    raw = dict(rows.user_raw)
    of_sources = [Rows(data, one) for one in sources]
    for one in of_sources:
        raw |= one.user_raw
    answer = ask(loaded, "stages", {**raw, **_unlimited(len(rows.users))})
    index = {item: place for place, item in enumerate(data.catalogue.ids)}
    users, places = np.nonzero(answer["ids"] != b"")
    items = np.array([index[item] for item in answer["ids"][users, places]], np.int64)
    encoded = {name: values[users] for name, values in rows.user_encoded.items()}
    encoded |= {n: v[items] for n, v in data.catalogue.features.items() if n in ranker.required_features}
    expected = ranker.predictions({name: tf.constant(values) for name, values in encoded.items()}).numpy()
    _require_close(answer["scores"][users, places], expected, data)
    for place, (model, one) in enumerate(zip(sources, of_sources, strict=True)):
        if draws_scores(model):
            continue
        scores = model.scores({name: tf.constant(values) for name, values in one.user_encoded.items()}).numpy()
        found = answer["source_scores"][:, :, place]
        was_found = found > NEVER
        _require_close(found[was_found], scores_of(answer["ids"], scores, data)[was_found], data)
    return len(rows.users)


def ask(loaded: Any, signature: str, given: Arrays) -> Arrays:
    """Ask a signature; what is not given stands for "missing"."""
    function = loaded.signatures[signature]
    inputs = {}
    for name, spec in function.structured_input_signature[1].items():
        if name in given:
            inputs[name] = tf.constant(given[name], spec.dtype)
        else:
            inputs[name] = tf.fill([1] * spec.shape.rank, tf.constant(missing_value(spec.dtype), spec.dtype))
    return {name: value.numpy() for name, value in function(**inputs).items()}


def scores_of(ids: np.ndarray, scores: np.ndarray, data: JobData) -> np.ndarray:
    """Of listed items [rows, n] what the model says of them, −inf for padding."""
    index = {item: place for place, item in enumerate(data.catalogue.ids)}
    found = np.full(ids.shape, NEVER, np.float32)
    for row, place in zip(*np.nonzero(ids != b""), strict=True):
        found[row, place] = scores[row, index[ids[row, place]]]
    return found


def _unlimited(rows: int) -> Arrays:
    return {
        "k": np.full(rows, K, np.int32),
        "exclude_ids": np.full((1, 1), b"", object),
        "allow_ids": np.full((1, 1), b"", object),
        "exclude_seen": np.zeros(1, bool),
    }


def _require_close(found: np.ndarray, expected: np.ndarray, data: JobData) -> None:
    is_close = np.isclose(found, expected, rtol=RELATIVE, atol=ABSOLUTE)
    if not is_close.all():
        place = tuple(int(n[0]) for n in np.nonzero(~is_close))
        raise ArtifactError(
            f"{data.dataset.path}: raw rows through the export and their records through the model differ in "
            f"{int((~is_close).sum())} of {is_close.size} scores, first {found[place]:g} against {expected[place]:g}; "
            "run the transforms again, then train"
        )
