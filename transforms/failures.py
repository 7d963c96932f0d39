"""What went wrong, as one line: from wherever Beam has put it."""

from __future__ import annotations

import errno
import re

from tfrec.errors import ArtifactError, Stopped, TfrecError

_OF_WORKER = re.compile(r"^tfrec\.errors\.(\w+): (.*?)(?: \[while running .*\])?$", re.MULTILINE)
_OF_SYSTEM = re.compile(r"^(?:\w+\.)*(\w*Error: \[Errno \d+\] .*?)(?: \[while running .*\])?$", re.MULTILINE)
_STEP = re.compile(r" \[while running .*\]$", re.DOTALL)
_NO_SPACE = tuple(f"Errno {number}]" for number in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG))


def failure_of(error: BaseException, output: str) -> BaseException:
    """The error that a caller should see.

    Beam wraps what a step raises, and keeps its text alone where the step ran on another machine.

    Returns:
        A `TfrecError` where there is one below, or where the system refused to read or write; an interrupt as it is;
        else `error` itself: a bug deserves its traceback.

    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, KeyboardInterrupt | SystemExit | Stopped):
            return cause
        if isinstance(cause, TfrecError):
            return type(cause)(_STEP.sub("", str(cause)))
        if isinstance(cause, OSError) and cause.errno:
            return _of_system(f"{type(cause).__name__}: {cause}", output)
        if type(cause).__module__.startswith("tensorflow") and "No space left" in str(cause):
            return _of_system(str(cause).splitlines()[0], output)
        cause = cause.__cause__ or cause.__context__
    kinds = {kind.__name__: kind for kind in TfrecError.__subclasses__()}
    for name, message in reversed(_OF_WORKER.findall(str(error))):
        if name in kinds:
            return kinds[name](message)
    found = _OF_SYSTEM.findall(str(error))
    return _of_system(found[-1], output) if found else error


def _of_system(message: str, output: str) -> TfrecError:
    is_full = any(sign in message for sign in (*_NO_SPACE, "No space left"))
    step = (
        "free some space, or write --output (and TMPDIR) elsewhere" if is_full else "check the path and who may use it"
    )
    return ArtifactError(f"{output}: not written, what was there is untouched: {message}; {step}")
