"""SIGTERM and Ctrl-C: what was half done is removed, and the process ends, also where a library does not let go."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from tfrec.errors import Stopped

GRACE_SECONDS = 30.0  # to leave Beam's threads and to remove what is half written


def stop_on_signals(grace_seconds: float = GRACE_SECONDS) -> None:
    """Raise `Stopped` (SIGTERM) or KeyboardInterrupt where the main thread is; end without it after some seconds.

    Ctrl-C is left alone where the process was started to ignore it, as a shell's background jobs are.
    """

    def give_up(number: int) -> None:
        print(f"stopped, but not tidied up within {grace_seconds:g} s; OUTPUT.*.tmp may be left", file=sys.stderr)
        sys.stderr.flush()
        os._exit(128 + number)

    def stop(number: int, frame: FrameType | None) -> None:
        late = threading.Timer(grace_seconds, give_up, (number,))
        late.daemon = True
        late.start()
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise Stopped(number)

    signal.signal(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, stop)
