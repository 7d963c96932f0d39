"""The calls of a recommender, as steps: which signatures they use, and what comes of the answers.

What the methods take is what those of `Client` say; `context` and `features` are one set of features in two parts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving.client.ids import Ids, id_text
from serving.client.model_name import ModelName
from serving.client.questions import AskStatus, Models, Steps
from serving.client.results import (
    ModelMetadata,
    Prediction,
    Reason,
    ScoredBatch,
    ScoredItems,
    VersionState,
    reasons_of,
)
from serving.client.signature import Array, Signature, text_of
from serving.client.signature_inputs import padded_rows
from serving.client.stages import Staged, staged_of
from serving.client.user_questions import EXPLAIN, RANK, RECOMMEND, STAGES, UserQuestions
from serving.client.wish import Wish
from tfrec.errors import ConfigError

_ITEMS, _USER_EMBEDDING, _ITEM_EMBEDDING = "items", "user_embedding", "item_embedding"
_TITLE = "title"

Features = Mapping[str, Any]


class Calls:
    """The calls as steps; with `has_users` what a store says of the users comes along."""

    def __init__(self, models: Models, *, has_users: bool) -> None:
        self._models = models
        self._questions = UserQuestions(models, has_users=has_users)

    def recommend(
        self,
        model: str,
        user: Any,
        wish: Wish,
        exclude: Iterable[Any],
        allow: Iterable[Any],
        context: Features | None,
        features: Features,
    ) -> Steps[ScoredItems]:
        """Up to `wish.k` items for the user."""
        given = _joined(context, features)
        lists = ([list(exclude)], [list(allow)])
        found = yield from self._lists(model, [id_text(user)], wish, *lists, given, is_single=True)
        return found[0]

    def recommend_batch(
        self,
        model: str,
        users: Ids,
        wish: Wish,
        exclude: Sequence[Iterable[Any]],
        allow: Sequence[Iterable[Any]],
        context: Features | None,
        features: Features,
    ) -> Steps[ScoredBatch]:
        """The same for each user."""
        names = [id_text(user) for user in users]
        if not names:
            return ScoredBatch(())
        given = _joined(context, features)
        return (yield from self._lists(model, names, wish, exclude, allow, given, is_single=False))

    def stages(
        self,
        model: str,
        user: Any,
        wish: Wish,
        exclude: Iterable[Any],
        allow: Iterable[Any],
        context: Features | None,
        features: Features,
    ) -> Steps[Staged]:
        """A cascade's list, with what each stage said of its items."""
        given, names = _joined(context, features), [id_text(user)]
        controls = wish.controls(1, [list(exclude)], [list(allow)])
        stored = yield from self._questions.stored(names, given)
        answer = yield from self._questions.ask(model, STAGES, names, controls, given, stored, is_single=True)
        return staged_of(names[0], model, answer)

    def rank(
        self, model: str, user: Any, candidates: Ids, context: Features | None, features: Features
    ) -> Steps[ScoredItems]:
        """The candidates in the order in which the model expects the user to like them."""
        given = _joined(context, features)
        found = yield from self._ranked(model, [id_text(user)], [candidates], given, is_single=True)
        return found[0]

    def rank_batch(
        self, model: str, users: Ids, candidates: Sequence[Ids], context: Features | None, features: Features
    ) -> Steps[ScoredBatch]:
        """The same for each user with a list of candidates."""
        names = [id_text(user) for user in users]
        if not names:
            return ScoredBatch(())
        if len(candidates) != len(names):
            raise ConfigError(f"candidates: got {len(candidates)} lists for {len(names)} users; pass one each")
        return (yield from self._ranked(model, names, candidates, _joined(context, features), is_single=False))

    def explain(
        self, model: str, user: Any, ids: Ids, context: Features | None, features: Features
    ) -> Steps[list[tuple[Reason, ...]]]:
        """Why each of the items is recommended, the weightiest reason first."""
        if not len(ids):
            return []
        given, names = _joined(context, features), [id_text(user)]
        lists = {"candidate_ids": padded_rows([ids])}
        stored = yield from self._questions.stored(names, given)
        answer = yield from self._questions.ask(model, EXPLAIN, names, lists, given, stored, is_single=True)
        labels, weights = (answer.outputs[name][0][: len(ids)] for name in ("reasons", "weights"))
        return [reasons_of(*of_item) for of_item in zip(labels, weights, strict=True)]

    def embed(self, model: str, users: Ids, features: Features) -> Steps[Array]:
        """The vectors of users. float [batch, dim]"""
        names = [id_text(user) for user in users]
        stored = (yield from self._questions.stored(names, features)) if names else ()
        return (yield from self._vectors(model, _USER_EMBEDDING, names, features, stored))

    def embed_items(self, model: str, ids: Ids, features: Features) -> Steps[Array]:
        """The vectors of items. float [batch, dim]"""
        return (yield from self._vectors(model, _ITEM_EMBEDDING, [id_text(one) for one in ids], features, ()))

    def items(self, model: str, ids: Ids) -> Steps[list[dict[str, Any]]]:
        """The display features that the model holds of each item."""
        names = np.array([id_text(one) for one in ids], dtype=object)
        answer = yield from self._models.predict(model, _ITEMS, lambda _: {"item_ids": names})
        columns = {name: [_plain(value) for value in array.tolist()] for name, array in answer.outputs.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(names))]

    def titles(self, model: str, ids: Ids) -> Steps[list[str]]:
        """Each item's title; "" where the model holds none."""
        if not len(ids) or _ITEMS not in (yield from self._models.metadata(model)).signatures:
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

    def _lists(
        self,
        model: str,
        users: Sequence[str],
        wish: Wish,
        exclude: Sequence[Iterable[Any]],
        allow: Sequence[Iterable[Any]],
        given: Features,
        *,
        is_single: bool,
    ) -> Steps[ScoredBatch]:
        ask, ranker = self._questions, wish.ranker
        controls = wish.controls(len(users), exclude, allow)
        stored = yield from ask.stored(users, given)
        of_ranker = yield from ask.features_of(ranker, RANK)
        of_model = (yield from ask.features_of(model, RECOMMEND)) if ranker else frozenset()
        first = {name: value for name, value in given.items() if name in of_model or name not in of_ranker}
        found = yield from ask.score(model, RECOMMEND, users, controls, first, stored, is_single=is_single)
        if ranker is None or not any(row.ids for row in found):
            return found
        second = {name: value for name, value in given.items() if name in of_ranker}
        lists = {"candidate_ids": padded_rows([row.ids for row in found])}
        ranked = yield from ask.score(ranker, RANK, users, lists, second, stored, is_single=is_single)
        pairs = zip(ranked, found, strict=True)
        return ScoredBatch(tuple(dataclasses.replace(r.first(wish.k), candidates=c) for r, c in pairs))

    def _ranked(
        self, model: str, users: Sequence[str], candidates: Sequence[Ids], given: Features, *, is_single: bool
    ) -> Steps[ScoredBatch]:
        if not all(len(of_user) for of_user in candidates):
            raise ConfigError("rank: got no candidates; pass at least one item id")
        stored = yield from self._questions.stored(users, given)
        lists = {"candidate_ids": padded_rows(candidates)}
        return (yield from self._questions.score(model, RANK, users, lists, given, stored, is_single=is_single))

    def _vectors(
        self, model: str, signature: str, ids: Sequence[str], features: Features, stored: Sequence[Features]
    ) -> Steps[Array]:
        if not ids:
            return np.zeros((0, 0), np.float32)
        answer = yield from self._questions.ask(model, signature, ids, {}, features, stored, is_single=False)
        return answer.outputs["embeddings"]


def _joined(context: Features | None, features: Features) -> Features:
    return {**(context or {}), **features}


def _plain(value: Any) -> Any:
    return text_of(value) if isinstance(value, bytes) else value
