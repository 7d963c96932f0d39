"""The blocking client.

with Client("localhost:8500") as client:
    for item_id, score in client.recommend("two_tower", user=42, k=10):
        print(item_id, score)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from serving.client.base_client import BaseClient
from serving.client.deadline import Deadline
from serving.client.ids import Id
from serving.client.options import ClientOptions
from serving.client.questions import AskUsers, Question, Steps
from serving.client.results import ModelMetadata, Prediction, Reason, ScoredBatch, ScoredItems, VersionState
from serving.client.sender import Sender
from serving.client.servers import blocking_server
from serving.client.signature import Array
from serving.client.stages import Staged
from serving.client.tables import chunks_of
from serving.client.user_features import SHARE_OF_TIME, UserFeatures
from serving.client.walk import walk
from serving.client.wish import Wish

R = TypeVar("R")


class Client(BaseClient):
    """What a recommender's signatures do, as methods; safe to share between threads.

    `target` is "host:port", or several with commas between: the requests go to the server with the fewest under
    way. http:// or https:// in front of it means the REST port.
    `timeout_seconds` is the deadline of every call with all its steps and retries. `users` is a store whose features
    and fresh histories go into the requests (`serving.users`). A `model` is its name, or NAME/versions/7, or
    NAME/labels/canary.

    All calls raise ServingError when no server can be reached, or one answers with an error, and ConfigError when the
    call does not fit the model.
    """

    def __init__(
        self,
        target: str | Sequence[str],
        timeout_seconds: float = 1.0,
        *,
        options: ClientOptions | None = None,
        users: UserFeatures | None = None,
    ) -> None:
        super().__init__(target, timeout_seconds, options=options, users=users)
        self._sender = Sender([blocking_server(one, self._options) for one in self._addresses], self._options)

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._sender.close()

    def recommend(
        self,
        model: str,
        user: Id,
        *,
        k: int = 10,
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        exclude_seen: bool = True,
        ranker: str | None = None,
        candidates: int = 100,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredItems:
        """Return up to `k` items for `user`, best first.

        Items of `exclude` are left out, and with a non-empty `allow` all but those of it; `exclude_seen`
        leaves out the items of the user's known history, and of one that is given. A `ranker` is a second model, which
        orders that many `candidates` of the first. `context` and `features` say what is so in this request; they
        stand in for what the models know of the user.
        """
        wish = Wish(k, exclude_seen, ranker, candidates)
        return self._run(self._calls.recommend(model, user, wish, exclude, allow, context, features))

    def recommend_batch(
        self,
        model: str,
        users: Sequence[Id] | Array,
        *,
        k: int = 10,
        exclude: Sequence[Iterable[Id]] = (),
        allow: Sequence[Iterable[Id]] = (),
        exclude_seen: bool = True,
        ranker: str | None = None,
        candidates: int = 100,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredBatch:
        """Return what `recommend` would for each of `users`, in one request.

        `exclude` and `allow` hold one list for each user; a feature is one value for all, or a list, NumPy array or
        pandas Series of one each.
        """
        wish = Wish(k, exclude_seen, ranker, candidates)
        return self._run(self._calls.recommend_batch(model, users, wish, exclude, allow, context, features))

    def recommend_table(
        self,
        model: str,
        table: Any,
        *,
        user: str,
        k: int = 10,
        exclude_seen: bool = True,
        ranker: str | None = None,
        candidates: int = 100,
        rows_per_request: int = 256,
    ) -> ScoredBatch:
        """Return the items of each row of a table: a pandas DataFrame, or a mapping of equally long columns.

        Its column `user` has the ids, each other one is a feature of its name. Every request of `rows_per_request` rows
        has a deadline of its own.
        """
        rows: list[ScoredItems] = []
        for ids, features in chunks_of(table, user, rows_per_request):
            rows += self.recommend_batch(
                model,
                ids,
                k=k,
                exclude_seen=exclude_seen,
                ranker=ranker,
                candidates=candidates,
                context=features,
            )
        return ScoredBatch(tuple(rows))

    def rank(
        self,
        model: str,
        user: Id,
        candidates: Sequence[Id] | Array,
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredItems:
        """Return `candidates` in the order in which the model expects `user` to like them, best first."""
        return self._run(self._calls.rank(model, user, candidates, context, features))

    def rank_batch(
        self,
        model: str,
        users: Sequence[Id] | Array,
        candidates: Sequence[Sequence[Id] | Array],
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredBatch:
        """Return what `rank` would for each of `users` and their list of `candidates`, in one request.

        A feature is one value for all users, or one each.
        """
        return self._run(self._calls.rank_batch(model, users, candidates, context, features))

    def stages(
        self,
        model: str,
        user: Id,
        *,
        k: int = 10,
        exclude: Iterable[Id] = (),
        allow: Iterable[Id] = (),
        exclude_seen: bool = True,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> Staged:
        """Return what `recommend` would of a cascade, with what each stage said of every item."""
        wish = Wish(k, exclude_seen)
        return self._run(self._calls.stages(model, user, wish, exclude, allow, context, features))

    def explain(
        self,
        model: str,
        user: Id,
        ids: Sequence[Id] | Array,
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> list[tuple[Reason, ...]]:
        """Return why the model recommends each of the items `ids` to `user`, the weightiest reason first.

        `features` as for `recommend`: what they say of the user counts instead of what the model knows.
        """
        return self._run(self._calls.explain(model, user, ids, context, features))

    def embed(self, model: str, users: Sequence[Id] | Array, **features: Any) -> Array:
        """Return the vectors of `users`. float [batch, dim]"""
        return self._run(self._calls.embed(model, users, features))

    def embed_items(self, model: str, ids: Sequence[Id] | Array, **features: Any) -> Array:
        """Return the vectors of items. float [batch, dim]"""
        return self._run(self._calls.embed_items(model, ids, features))

    def items(self, model: str, ids: Sequence[Id] | Array) -> list[dict[str, Any]]:
        """Return the display features, such as `title`, that the model holds of each item."""
        return self._run(self._calls.items(model, ids))

    def titles(self, model: str, ids: Sequence[Id] | Array) -> list[str]:
        """Return each item's title; "" where the model holds none."""
        return self._run(self._calls.titles(model, ids))

    def predict(self, model: str, inputs: Mapping[str, Any], signature: str = "serving_default") -> Prediction:
        """Run a signature on arrays as they are: for models of any kind."""
        return self._run(self._calls.predict(model, inputs, signature))

    def metadata(self, model: str) -> ModelMetadata:
        """Return the model's signatures; asked for once, and again when another version has answered."""
        return self._run(self._calls.metadata(model))

    def status(self, model: str) -> list[VersionState]:
        """Return the states of the model's versions, highest version first."""
        return self._run(self._calls.status(model))

    def _run(self, steps: Steps[R]) -> R:
        """Take the steps of a call, all within one deadline."""
        deadline = Deadline.after(self._timeout_seconds)
        return walk(steps, lambda question: self._answer(question, deadline))

    def _answer(self, question: Question, deadline: Deadline) -> Any:
        if not isinstance(question, AskUsers):
            return self._sender.send(question, deadline)
        assert self._users is not None
        return self._users.of(question.users, question.replaced, deadline.remaining_seconds() * SHARE_OF_TIME)
