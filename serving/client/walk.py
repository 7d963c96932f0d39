"""Taking the steps of a generator: each is answered, or its ServingError thrown in, until there is a result."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Generator
from typing import Any, TypeVar

from serving.client.errors import ServingError

Step = TypeVar("Step")
R = TypeVar("R")


def walk(steps: Generator[Step, Any, R], take: Callable[[Step], Any]) -> R:
    """Return the result of `steps`, each answered by `take`. Any other error closes them."""
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    answer = take(step)
                except ServingError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result


async def walk_async(steps: Generator[Step, Any, R], take: Callable[[Step], Awaitable[Any]]) -> R:
    """The same from an event loop."""
    with contextlib.closing(steps):
        try:
            step = next(steps)
            while True:
                try:
                    answer = await take(step)
                except ServingError as error:
                    step = steps.throw(error)
                else:
                    step = steps.send(answer)
        except StopIteration as end:
            result: R = end.value
            return result
