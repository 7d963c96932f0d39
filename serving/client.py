"""A client for recommender models behind a model server: TensorFlow Serving, or `python -m serving.server`.

with Client("localhost:8500") as client:
for item_id, score in client.recommend("two_tower", user=42, k=10):
print(item_id, score)
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from serving import tensors
from serving.connection import Connection
from serving.results import Reason, ScoredItems
from serving.signature_inputs import PADDING, SignatureInputs, padded_rows
from serving.tensors import Array
from tfrec.errors import ConfigError

RECOMMEND, RANK, ITEMS, EXPLAIN = "recommend", "rank", "items", "explain"
_CONTROLS = {
    RECOMMEND: frozenset({"k", "exclude_ids", "allow_ids", "exclude_seen"}),
    RANK: frozenset({"candidate_ids"}),
    EXPLAIN: frozenset({"candidate_ids"}),
}
_ITEM_IDS = "item_ids"
_TITLE = "title"

Id = str | int


class Client(Connection):
    """What a recommender's signatures do, as methods.

    All methods raise ConfigError when the call does not fit the model, besides the connection's ServingError.
    """

    def __enter__(self) -> Client:
        return self

    def recommend(
        self,
        model: str,
        user: Id,
        *,
        k: int = 10,
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        exclude_seen: bool = True,
        **features: Any,
    ) -> ScoredItems:
        """Return up to `k` items for `user`, best first.

        Items of `exclude` are left out, and with a non-empty `allow` all but those of it; `exclude_seen`
        leaves out the items of the user's known history, and of one that is given. `features` stand in for
        what the model knows of the user.
        """
        controls = _recommend_controls(k, [list(exclude)], [list(allow)], exclude_seen)
        return self._score(model, RECOMMEND, [user], controls, features, is_single=True)[0]

    def recommend_batch(
        self,
        model: str,
        users: Sequence[Id],
        *,
        k: int = 10,
        exclude: Sequence[Iterable[Id]] = (),
        allow: Sequence[Iterable[Id]] = (),
        exclude_seen: bool = True,
        **features: Any,
    ) -> list[ScoredItems]:
        """Return what `recommend` would for each of `users`, in one call.

        `exclude` and `allow` hold one list for each user; a feature is one value for all, or a list of one
        each.
        """
        if not users:
            return []
        for name, lists in (("exclude", exclude), ("allow", allow)):
            if len(lists) not in (0, len(users)):
                raise ConfigError(f"{name}: got {len(lists)} lists for {len(users)} users; pass one each")
        excluded, allowed = ([list(ids) for ids in lists] or [[] for _ in users] for lists in (exclude, allow))
        controls = _recommend_controls(k, excluded, allowed, exclude_seen)
        return self._score(model, RECOMMEND, users, controls, features, is_single=False)

    def rank(self, model: str, user: Id, candidates: Sequence[Id], **features: Any) -> ScoredItems:
        """Return `candidates` in the order in which the model expects `user` to like them, best first."""
        if not candidates:
            raise ConfigError("rank: got no candidates; pass at least one item id")
        controls = {"candidate_ids": padded_rows([candidates])}
        return self._score(model, RANK, [user], controls, features, is_single=True)[0]

    def explain(self, model: str, user: Id, ids: Sequence[Id], **features: Any) -> list[tuple[Reason, ...]]:
        """Return why the model recommends each of the items `ids` to `user`, the weightiest reason first.

        `features` as for `recommend`: what they say of the user counts instead of what the model knows.
        """
        if not ids:
            return []
        controls = {"candidate_ids": padded_rows([ids])}
        response = self._ask(model, EXPLAIN, [str(user)], controls, features, is_single=True)
        labels, weights = (tensors.decode(response.outputs[name])[0] for name in ("reasons", "weights"))
        return [
            tuple(Reason(label.decode(), float(weight)) for label, weight in zip(*of_item, strict=True) if label != b"")
            for of_item in zip(labels[: len(ids)], weights[: len(ids)], strict=True)
        ]

    def items(self, model: str, ids: Sequence[Id]) -> list[dict[str, Any]]:
        """Return the display features, such as `title`, that the model holds of each item."""
        tensor = tensors.encode(np.array([str(item_id) for item_id in ids], dtype=object))
        response = self.predict(model, ITEMS, lambda _: {_ITEM_IDS: tensor})
        columns = {name: _plain(tensors.decode(proto)) for name, proto in response.outputs.items()}
        return [{name: column[i] for name, column in columns.items()} for i in range(len(ids))]

    def titles(self, model: str, ids: Sequence[Id]) -> list[str]:
        """Return each item's title; "" where the model holds none."""
        if not ids or ITEMS not in self.metadata(model).signatures:
            return [""] * len(ids)
        return [str(item.get(_TITLE, "")) for item in self.items(model, ids)]

    def _score(
        self,
        model: str,
        signature: str,
        users: Sequence[Id],
        controls: Mapping[str, Array | None],
        features: Mapping[str, Any],
        *,
        is_single: bool,
    ) -> list[ScoredItems]:
        names = [str(user) for user in users]
        response = self._ask(model, signature, names, controls, features, is_single=is_single)
        ids, scores = (tensors.decode(response.outputs[name]) for name in ("ids", "scores"))
        version = response.model_spec.version.value
        return [
            _scored_items(name, row_ids, row_scores, model, version)
            for name, row_ids, row_scores in zip(names, ids, scores, strict=True)
        ]

    def _ask(
        self,
        model: str,
        signature: str,
        users: Sequence[str],
        controls: Mapping[str, Array | None],
        features: Mapping[str, Any],
        *,
        is_single: bool,
    ) -> Any:
        def make_inputs(definition: Any) -> dict[str, Any]:
            inputs = SignatureInputs(f"{signature} of model {model!r}", definition, _CONTROLS[signature])
            return inputs.make(users, controls, features, is_single=is_single)

        return self.predict(model, signature, make_inputs)


def _recommend_controls(
    k: int, exclude: list[list[Id]], allow: list[list[Id]], exclude_seen: bool
) -> dict[str, Array | None]:
    """Return the tensors of the controls that were asked for; None is left to the model's default."""
    if k < 1:
        raise ConfigError(f"k: got {k}; allowed: whole numbers from 1")
    num_rows = len(exclude)
    return {
        "k": np.full(num_rows, k, dtype=np.int32),
        "exclude_ids": padded_rows(exclude, prefix=[PADDING]) if any(exclude) else None,
        "allow_ids": padded_rows(allow, prefix=[PADDING]) if any(allow) else None,
        "exclude_seen": None if exclude_seen else np.zeros(num_rows, dtype=bool),
    }


def _scored_items(user: str, ids: Array, scores: Array, model: str, version: int) -> ScoredItems:
    kept = [
        (item_id.decode(), float(score))
        for item_id, score in zip(ids, scores, strict=True)
        if item_id != b"" and score != -math.inf
    ]
    return ScoredItems(
        user=user,
        ids=tuple(item_id for item_id, _ in kept),
        scores=tuple(score for _, score in kept),
        model=model,
        version=version,
    )


def _plain(values: Array) -> list[Any]:
    """Return a column as Python values, text as str."""
    return [value.decode() if isinstance(value, bytes) else value for value in values.tolist()]
