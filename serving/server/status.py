"""A failed call as the server sees it: a gRPC code and the message that goes over the wire."""

from __future__ import annotations

import grpc
import tensorflow as tf

MAX_MESSAGE_CHARS = 1024
TRUNCATION_MARK = "...TRUNCATED"

_CODE_BY_NUMBER: dict[int, grpc.StatusCode] = {code.value[0]: code for code in grpc.StatusCode}


class StatusError(Exception):
    """Ends a call, or a load, with `code` and `message`."""

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def code_number(self) -> int:
        """The code as the integer that `google.rpc.Code` and `tensorflow.error.Code` share."""
        return int(self.code.value[0])

    def __str__(self) -> str:
        return f"{self.code.name}: {self.message}"


def invalid_argument(message: str) -> StatusError:
    """Return an INVALID_ARGUMENT error."""
    return StatusError(grpc.StatusCode.INVALID_ARGUMENT, message)


def not_found(message: str) -> StatusError:
    """Return a NOT_FOUND error."""
    return StatusError(grpc.StatusCode.NOT_FOUND, message)


def failed_precondition(message: str) -> StatusError:
    """Return a FAILED_PRECONDITION error."""
    return StatusError(grpc.StatusCode.FAILED_PRECONDITION, message)


def deadline_exceeded() -> StatusError:
    """Return the error of a call whose time is over, in TensorFlow's words."""
    return StatusError(grpc.StatusCode.DEADLINE_EXCEEDED, "Timed out waiting for notification")


def resource_exhausted(message: str) -> StatusError:
    """Return a RESOURCE_EXHAUSTED error."""
    return StatusError(grpc.StatusCode.RESOURCE_EXHAUSTED, message)


def unavailable(message: str) -> StatusError:
    """Return an UNAVAILABLE error."""
    return StatusError(grpc.StatusCode.UNAVAILABLE, message)


def internal(message: str) -> StatusError:
    """Return an INTERNAL error."""
    return StatusError(grpc.StatusCode.INTERNAL, message)


def unimplemented(message: str) -> StatusError:
    """Return an UNIMPLEMENTED error."""
    return StatusError(grpc.StatusCode.UNIMPLEMENTED, message)


def status_of_exception(error: BaseException) -> StatusError:
    """Return a fresh StatusError for `error`: TensorFlow's errors keep their own code and message.

    Fresh, since an error that was raised knows the frames that it passed: who keeps it in one of them makes a cycle,
    and a failed call's tensors stay in memory until the collector finds it.
    """
    if isinstance(error, StatusError):
        return StatusError(error.code, error.message)
    if isinstance(error, tf.errors.OpError):
        return StatusError(_CODE_BY_NUMBER.get(error.error_code, grpc.StatusCode.UNKNOWN), error.message)
    if isinstance(error, OSError):
        return not_found(str(error))
    if isinstance(error, MemoryError):
        return resource_exhausted("out of memory")
    return StatusError(grpc.StatusCode.INTERNAL, f"{type(error).__name__}: {error}")


def clip_message(message: str) -> str:
    """Cut a message as TF Serving does: gRPC carries it in a header, and headers are bounded."""
    if len(message) <= MAX_MESSAGE_CHARS:
        return message
    return message[:MAX_MESSAGE_CHARS] + TRUNCATION_MARK
