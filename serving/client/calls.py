"""The calls of a recommender, as steps: which signatures they use, and what comes of the answers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.client.ids import Ids, id_text
from serving.client.model_name import ModelName
from serving.client.questions import AskStatus, AskUsers, Models, Steps
from serving.client.results import ModelMetadata, Prediction, Reason, ScoredBatch, ScoredItems, VersionState
from serving.client.signature import Array, Signature
from serving.client.signature_inputs import PADDING, SignatureInputs, Stored, padded_rows
from tfrec.errors import ConfigError

RECOMMEND, RANK, ITEMS, EXPLAIN = "recommend", "rank", "items", "explain"
USER_EMBEDDING, ITEM_EMBEDDING = "user_embedding", "item_embedding"
_CONTROLS = {
    RECOMMEND: frozenset({"k", "exclude_ids", "allow_ids", "exclude_seen"}),
    RANK: frozenset({"candidate_ids"}),
    EXPLAIN: frozenset({"candidate_ids"}),
}
_TITLE = "title"
_PROPENSITIES, _NUM_CANDIDATES = "propensities", "num_candidates"  # of what explores and can say it

Controls = Mapping[str, Array | None]


@dataclasses.dataclass(frozen=True)
class Wish:
    """What is asked of `recommend` for every user of a call; `ranker` orders `candidates` items of the model."""

    k: int = 10
    exclude_seen: bool = True
    ranker: str | None = None
    candidates: int = 100

    def __post_init__(self) -> None:
        for name in ("k", "candidates"):
            if getattr(self, name) < 1:
                raise ConfigError(f"{name}: got {getattr(self, name)}; allowed: whole numbers from 1")


class Calls:
    """The calls as steps; with `has_users` what a store says of the users comes along."""

    def __init__(self, models: Models, *, has_users: bool) -> None:
        self._models = models
        self._has_users = has_users

    def recommend(
        self,
        model: str,
        users: Sequence[Any],
        wish: Wish,
        exclude: Sequence[Iterable[Any]],
        allow: Sequence[Iterable[Any]],
        features: Mapping[str, Any],
        *,
        is_single: bool,
    ) -> Steps[ScoredBatch]:
        """Up to `wish.k` items for each user; `exclude` and `allow` have a list each, or none at all."""
        names = [id_text(user) for user in users]
        if not names:
            return ScoredBatch(())
        for name, lists in (("exclude", exclude), ("allow", allow)):
            if len(lists) not in (0, len(names)):
                raise ConfigError(f"{name}: got {len(lists)} lists for {len(names)} users; pass one each")
        depth = wish.k if wish.ranker is None else max(wish.k, wish.candidates)
        controls = {
            "k": np.full(len(names), depth, dtype=np.int32),
            "exclude_ids": _id_lists(exclude),
            "allow_ids": _id_lists(allow),
            "exclude_seen": None if wish.exclude_seen else np.zeros(len(names), dtype=bool),
        }
        stored = yield from self._stored(names, features)
        of_ranker = yield from self._features_of(wish.ranker, RANK)
        of_model = (yield from self._features_of(model, RECOMMEND)) if wish.ranker else frozenset()
        first = {name: value for name, value in features.items() if name in of_model or name not in of_ranker}
        found = yield from self._score(model, RECOMMEND, names, controls, first, stored, is_single=is_single)
        if wish.ranker is None or not any(row.ids for row in found):
            return found
        second = {name: value for name, value in features.items() if name in of_ranker}
        of_user = {"candidate_ids": padded_rows([row.ids for row in found])}
        ranked = yield from self._score(wish.ranker, RANK, names, of_user, second, stored, is_single=is_single)
        pairs = zip(ranked, found, strict=True)
        return ScoredBatch(tuple(dataclasses.replace(r.first(wish.k), candidates=c) for r, c in pairs))

    def rank(
        self,
        model: str,
        users: Sequence[Any],
        candidates: Sequence[Ids],
        features: Mapping[str, Any],
        *,
        is_single: bool,
    ) -> Steps[ScoredBatch]:
        """Each user's candidates in the order in which the model expects the user to like them."""
        names = [id_text(user) for user in users]
        if not names:
            return ScoredBatch(())
        if len(candidates) != len(names):
            raise ConfigError(f"candidates: got {len(candidates)} lists for {len(names)} users; pass one each")
        if not all(len(of_user) for of_user in candidates):
            raise ConfigError("rank: got no candidates; pass at least one item id")
        stored = yield from self._stored(names, features)
        lists = {"candidate_ids": padded_rows(candidates)}
        return (yield from self._score(model, RANK, names, lists, features, stored, is_single=is_single))

    def explain(self, model: str, user: Any, ids: Ids, features: Mapping[str, Any]) -> Steps[list[tuple[Reason, ...]]]:
        """Why each of the items is recommended, the weightiest reason first."""
        if not len(ids):
            return []
        names = [id_text(user)]
        stored = yield from self._stored(names, features)
        lists = {"candidate_ids": padded_rows([ids])}
        answer = yield from self._ask(model, EXPLAIN, names, lists, features, stored, is_single=True)
        labels, weights = (answer.outputs[name][0][: len(ids)] for name in ("reasons", "weights"))
        return [
            tuple(Reason(_text(label), float(weight)) for label, weight in zip(*of_item, strict=True) if len(label))
            for of_item in zip(labels, weights, strict=True)
        ]

    def embed(self, model: str, signature: str, ids: Ids, features: Mapping[str, Any]) -> Steps[Array]:
        """The vectors of users or items. float [batch, dim]"""
        names = [id_text(one) for one in ids]
        if not names:
            return np.zeros((0, 0), np.float32)
        stored = (yield from self._stored(names, features)) if signature == USER_EMBEDDING else ()
        answer = yield from self._ask(model, signature, names, {}, features, stored, is_single=False)
        return answer.outputs["embeddings"]

    def items(self, model: str, ids: Ids) -> Steps[list[dict[str, Any]]]:
        """The display features that the model holds of each item."""
        names = np.array([id_text(one) for one in ids], dtype=object)
        answer = yield from self._models.predict(model, ITEMS, lambda _: {"item_ids": names})
        columns = {name: [_plain(value) for value in array.tolist()] for name, array in answer.outputs.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(names))]

    def titles(self, model: str, ids: Ids) -> Steps[list[str]]:
        """Each item's title; "" where the model holds none."""
        if not len(ids) or ITEMS not in (yield from self._models.metadata(model)).signatures:
            return [""] * len(ids)
        found = yield from self.items(model, ids)
        return [str(item.get(_TITLE, "")) for item in found]

    def predict(self, model: str, inputs: Mapping[str, Any], signature: str) -> Steps[Prediction]:
        """Run any signature on arrays, taken as they are; what is left out is sent as its default."""

        def make(found: Signature) -> dict[str, Array]:
            # Over gRPC the server would fill it in, over REST it refuses the request.
            dtypes = {name: spec.dtype for name, spec in found.inputs.items()}
            given = {name: np.asarray(value, dtype=dtypes.get(name)) for name, value in inputs.items()}
            return {**found.defaults, **given}

        return (yield from self._models.predict(model, signature, make))

    def metadata(self, model: str) -> Steps[ModelMetadata]:
        """The model's signatures."""
        return (yield from self._models.metadata(model))

    def status(self, model: str) -> Steps[list[VersionState]]:
        """The states of its versions, highest first."""
        return (yield AskStatus(ModelName.parse(model)))

    def _stored(self, users: Sequence[str], given: Mapping[str, Any]) -> Steps[Stored]:
        if not self._has_users:
            return ()
        return (yield AskUsers(tuple(users), frozenset(given)))

    def _features_of(self, model: str | None, signature: str) -> Steps[frozenset[str]]:
        found = None if model is None else (yield from self._models.metadata(model)).signatures.get(signature)
        if model is None or found is None:
            return frozenset()
        return SignatureInputs(f"{signature} of model {model!r}", found, _CONTROLS[signature]).features

    def _score(
        self,
        model: str,
        signature: str,
        users: Sequence[str],
        controls: Controls,
        features: Mapping[str, Any],
        stored: Stored,
        *,
        is_single: bool,
    ) -> Steps[ScoredBatch]:
        answer = yield from self._ask(model, signature, users, controls, features, stored, is_single=is_single)
        return ScoredBatch(tuple(_scored_items(user, i, model, answer) for i, user in enumerate(users)))

    def _ask(
        self,
        model: str,
        signature: str,
        ids: Sequence[str],
        controls: Controls,
        features: Mapping[str, Any],
        stored: Stored,
        *,
        is_single: bool,
    ) -> Steps[Prediction]:
        def make(found: Signature) -> dict[str, Array]:
            owner = f"{signature} of model {model!r}"
            inputs = SignatureInputs(owner, found, _CONTROLS.get(signature, frozenset()))
            return inputs.make(ids, controls, features, stored=stored, is_single=is_single)

        return (yield from self._models.predict(model, signature, make))


def _id_lists(lists: Sequence[Iterable[Any]]) -> Array | None:
    """The lists behind a first "", as servers that pad want it; None, the model's default, where all are empty."""
    rows = [list(ids) for ids in lists]
    return padded_rows(rows, prefix=[PADDING]) if any(rows) else None


def _scored_items(user: str, row: int, model: str, answer: Prediction) -> ScoredItems:
    """One row of an answer, without padding."""
    of_row = {name: values[row] for name, values in answer.outputs.items()}
    scores = of_row["scores"].tolist()
    kept = [i for i, one in enumerate(of_row["ids"]) if len(one) and scores[i] != -math.inf]
    says_chances = _PROPENSITIES in of_row and _NUM_CANDIDATES in of_row
    return ScoredItems(
        user,
        tuple(_text(of_row["ids"][i]) for i in kept),
        tuple(scores[i] for i in kept),
        model,
        answer.version,
        propensities=tuple(float(of_row[_PROPENSITIES][i]) for i in kept) if says_chances else None,
        num_candidates=int(of_row[_NUM_CANDIDATES]) if says_chances else None,
    )


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _plain(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
