"""The client for asyncio.

async with AsyncClient("localhost:8500") as client:
    items = await client.recommend("two_tower", user=42, k=10)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from serving.client.addresses import is_rest, parse_addresses
from serving.client.async_sender import AsyncSender
from serving.client.calls import ITEM_EMBEDDING, USER_EMBEDDING, Calls, Wish
from serving.client.deadline import Deadline
from serving.client.errors import ServingError
from serving.client.ids import Id
from serving.client.options import ClientOptions
from serving.client.questions import AskUsers, Models, Question, Steps
from serving.client.results import ModelMetadata, Prediction, Reason, ScoredBatch, ScoredItems, VersionState
from serving.client.servers import asyncio_server
from serving.client.signature import Array
from serving.client.tables import chunks_of
from serving.client.user_features import UserFeatures
from tfrec.errors import ConfigError

R = TypeVar("R")


class AsyncClient:
    """What a recommender's signatures do, as coroutines; belongs to one event loop, where many calls may be under way.

    `target` is "host:port", or several with commas between: the requests go to the server with the fewest under
    way. http:// or https:// in front of it means the REST port, where each call under way takes a thread.
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
        if not timeout_seconds > 0:
            raise ConfigError(f"timeout_seconds: got {timeout_seconds:g}; allowed: above 0")
        options = options or ClientOptions()
        addresses = parse_addresses(target)
        self.target = ",".join(addresses)
        self._timeout_seconds = timeout_seconds
        self._users = users
        self._sender = AsyncSender([asyncio_server(one, options) for one in addresses], options)
        models = Models(self.target, options.metadata_seconds if is_rest(addresses[0]) else None)
        self._calls = Calls(models, has_users=users is not None)

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._sender.close()

    async def recommend(
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
        batch = await self._run(
            self._calls.recommend(
                model,
                [user],
                Wish(k, exclude_seen, ranker, candidates),
                [list(exclude)],
                [list(allow)],
                {**(context or {}), **features},
                is_single=True,
            )
        )
        return batch[0]

    async def recommend_batch(
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
        given = {**(context or {}), **features}
        return await self._run(self._calls.recommend(model, list(users), wish, exclude, allow, given, is_single=False))

    async def recommend_table(
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
            rows += await self.recommend_batch(
                model,
                ids,
                k=k,
                exclude_seen=exclude_seen,
                ranker=ranker,
                candidates=candidates,
                context=features,
            )
        return ScoredBatch(tuple(rows))

    async def rank(
        self,
        model: str,
        user: Id,
        candidates: Sequence[Id] | Array,
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredItems:
        """Return `candidates` in the order in which the model expects `user` to like them, best first."""
        given = {**(context or {}), **features}
        batch = await self._run(self._calls.rank(model, [user], [candidates], given, is_single=True))
        return batch[0]

    async def rank_batch(
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
        given = {**(context or {}), **features}
        return await self._run(self._calls.rank(model, list(users), candidates, given, is_single=False))

    async def explain(
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
        return await self._run(self._calls.explain(model, user, ids, {**(context or {}), **features}))

    async def embed(self, model: str, users: Sequence[Id] | Array, **features: Any) -> Array:
        """Return the vectors of `users`. float [batch, dim]"""
        return await self._run(self._calls.embed(model, USER_EMBEDDING, users, features))

    async def embed_items(self, model: str, ids: Sequence[Id] | Array, **features: Any) -> Array:
        """Return the vectors of items. float [batch, dim]"""
        return await self._run(self._calls.embed(model, ITEM_EMBEDDING, ids, features))

    async def items(self, model: str, ids: Sequence[Id] | Array) -> list[dict[str, Any]]:
        """Return the display features, such as `title`, that the model holds of each item."""
        return await self._run(self._calls.items(model, ids))

    async def titles(self, model: str, ids: Sequence[Id] | Array) -> list[str]:
        """Return each item's title; "" where the model holds none."""
        return await self._run(self._calls.titles(model, ids))

    async def predict(self, model: str, inputs: Mapping[str, Any], signature: str = "serving_default") -> Prediction:
        """Run a signature on arrays as they are: for models of any kind."""
        return await self._run(self._calls.predict(model, inputs, signature))

    async def metadata(self, model: str) -> ModelMetadata:
        """Return the model's signatures; asked for once, and again when another version has answered."""
        return await self._run(self._calls.metadata(model))

    async def status(self, model: str) -> list[VersionState]:
        """Return the states of the model's versions, highest version first."""
        return await self._run(self._calls.status(model))

    async def _run(self, steps: Steps[R]) -> R:
        """Take the steps of a call, all within one deadline."""
        deadline = Deadline.after(self._timeout_seconds)
        try:
            question = next(steps)
            while True:
                try:
                    answer = await self._answer(question, deadline)
                except ServingError as error:
                    question = steps.throw(error)
                else:
                    question = steps.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result

    async def _answer(self, question: Question, deadline: Deadline) -> Any:
        if not isinstance(question, AskUsers):
            return await self._sender.send(question, deadline)
        assert self._users is not None
        return await self._users.of_async(question.users, question.replaced, deadline.remaining_seconds())
