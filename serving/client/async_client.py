"""The client for asyncio.

async with AsyncClient("localhost:8500") as client:
    items = await client.recommend("two_tower", user=42, k=10)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import TracebackType
from typing import Any, TypeVar

from serving.client.async_sender import AsyncSender
from serving.client.base_client import BaseClient
from serving.client.deadline import Deadline
from serving.client.ids import Id
from serving.client.options import ClientOptions
from serving.client.questions import AskUsers, Question, Steps
from serving.client.results import ModelMetadata, Prediction, Reason, ScoredBatch, ScoredItems, VersionState
from serving.client.servers import asyncio_server
from serving.client.signature import Array
from serving.client.stages import Staged
from serving.client.tables import chunks_of
from serving.client.user_features import SHARE_OF_TIME, UserFeatures
from serving.client.walk import walk_async
from serving.client.wish import Wish

R = TypeVar("R")


class AsyncClient(BaseClient):
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
        super().__init__(target, timeout_seconds, options=options, users=users)
        self._sender = AsyncSender([asyncio_server(one, self._options) for one in self._addresses], self._options)

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
        """`Client.recommend`, awaited."""
        wish = Wish(k, exclude_seen, ranker, candidates)
        return await self._run(self._calls.recommend(model, user, wish, exclude, allow, context, features))

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
        """`Client.recommend_batch`, awaited."""
        wish = Wish(k, exclude_seen, ranker, candidates)
        return await self._run(self._calls.recommend_batch(model, users, wish, exclude, allow, context, features))

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
        """`Client.recommend_table`, awaited."""
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
        """`Client.rank`, awaited."""
        return await self._run(self._calls.rank(model, user, candidates, context, features))

    async def rank_batch(
        self,
        model: str,
        users: Sequence[Id] | Array,
        candidates: Sequence[Sequence[Id] | Array],
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> ScoredBatch:
        """`Client.rank_batch`, awaited."""
        return await self._run(self._calls.rank_batch(model, users, candidates, context, features))

    async def stages(
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
        """`Client.stages`, awaited."""
        wish = Wish(k, exclude_seen)
        return await self._run(self._calls.stages(model, user, wish, exclude, allow, context, features))

    async def explain(
        self,
        model: str,
        user: Id,
        ids: Sequence[Id] | Array,
        *,
        context: Mapping[str, Any] | None = None,
        **features: Any,
    ) -> list[tuple[Reason, ...]]:
        """`Client.explain`, awaited."""
        return await self._run(self._calls.explain(model, user, ids, context, features))

    async def embed(self, model: str, users: Sequence[Id] | Array, **features: Any) -> Array:
        """`Client.embed`, awaited."""
        return await self._run(self._calls.embed(model, users, features))

    async def embed_items(self, model: str, ids: Sequence[Id] | Array, **features: Any) -> Array:
        """`Client.embed_items`, awaited."""
        return await self._run(self._calls.embed_items(model, ids, features))

    async def items(self, model: str, ids: Sequence[Id] | Array) -> list[dict[str, Any]]:
        """`Client.items`, awaited."""
        return await self._run(self._calls.items(model, ids))

    async def titles(self, model: str, ids: Sequence[Id] | Array) -> list[str]:
        """`Client.titles`, awaited."""
        return await self._run(self._calls.titles(model, ids))

    async def predict(self, model: str, inputs: Mapping[str, Any], signature: str = "serving_default") -> Prediction:
        """`Client.predict`, awaited."""
        return await self._run(self._calls.predict(model, inputs, signature))

    async def metadata(self, model: str) -> ModelMetadata:
        """`Client.metadata`, awaited."""
        return await self._run(self._calls.metadata(model))

    async def status(self, model: str) -> list[VersionState]:
        """`Client.status`, awaited."""
        return await self._run(self._calls.status(model))

    async def _run(self, steps: Steps[R]) -> R:
        """Take the steps of a call, all within one deadline."""
        deadline = Deadline.after(self._timeout_seconds)
        return await walk_async(steps, lambda question: self._answer(question, deadline))

    async def _answer(self, question: Question, deadline: Deadline) -> Any:
        if not isinstance(question, AskUsers):
            return await self._sender.send(question, deadline)
        assert self._users is not None
        return await self._users.of_async(
            question.users, question.replaced, deadline.remaining_seconds() * SHARE_OF_TIME
        )
