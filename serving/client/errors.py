"""The error that a client of a model server meets."""

from __future__ import annotations

import grpc


class ServingError(Exception):
    """A call to a model server failed.

    `code` is the gRPC code and `message` one line: what was asked, of which server, what it answered, what to
    do.
    """

    def __init__(self, code: grpc.StatusCode, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def of_answer(
        cls, code: grpc.StatusCode, details: str, asked: str, target: str, timeout_seconds: float
    ) -> ServingError:
        """Describe what the server at `target` answered to the call `asked`."""
        words = " ".join(details.split())
        return cls(code, f"{asked} at {target}: {code.name}: {words}{_next_step(code, target, timeout_seconds)}")

    def after(self, attempts: int) -> ServingError:
        """The same, with the number of attempts where there were several."""
        return self if attempts < 2 else ServingError(self.code, f"{self.message} ({attempts} attempts)")


def _next_step(code: grpc.StatusCode, target: str, timeout_seconds: float) -> str:
    if code is grpc.StatusCode.UNAVAILABLE:
        flag = "--rest_api_port" if target.startswith("http") else "--port"
        return (
            "; is a server running there? Start one with: python -m serving.server "
            f"--model_base_path=EXPORT/MODEL --model_name=MODEL {flag}={target.rpartition(':')[2]}"
        )
    if code is grpc.StatusCode.DEADLINE_EXCEEDED:
        return f"; the timeout was {timeout_seconds:g} s: raise timeout_seconds, or look at the server's load"
    if code is grpc.StatusCode.NOT_FOUND:
        return "; check the model's name against the server's --model_name"
    return ""
