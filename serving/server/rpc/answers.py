"""How a gRPC method ends: with its answer, or with a status."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Any, TypeVar

import grpc
import tensorflow as tf

from serving.server.runtime.runtime_options import NO_TIMEOUT
from serving.server.status import StatusError, clip_message, deadline_exceeded, status_of_exception

# gRPC reports a call without a deadline as one whose deadline is some 292 million years away.
_LONGEST_DEADLINE_SECONDS = 1e9

_log = logging.getLogger(__name__)
_Method = TypeVar("_Method", bound=Callable[..., Any])


def ends_with_status(method: _Method) -> _Method:
    """Decorate a servicer's method so that an error which it raises becomes the call's status."""

    @functools.wraps(method)
    def answer(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return method(self, request, context)
        except Exception as error:
            if not isinstance(error, StatusError | tf.errors.OpError):
                _log.exception("%s failed", method.__name__)
            status = status_of_exception(error)
        return context.abort(status.code, clip_message(status.message))

    return answer  # type: ignore[return-value]


def seconds_left(context: grpc.ServicerContext) -> float:
    """Return the time to the call's deadline. Raises StatusError when it has passed while the call queued."""
    seconds: float = context.time_remaining()
    if seconds > _LONGEST_DEADLINE_SECONDS:
        return NO_TIMEOUT
    if seconds <= 0:
        raise deadline_exceeded()
    return seconds
