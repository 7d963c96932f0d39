"""How many more requests than calls a client may send."""

from __future__ import annotations

import threading

_MOST = 10.0  # saved up: what a client that has just begun, or was long well, may spend at once


class RetryBudget:
    """Each call earns `extra_share` of a request, up to 10 in all; each retry and each hedge spends one."""

    def __init__(self, extra_share: float) -> None:
        self._extra_share = extra_share
        self._saved = _MOST if extra_share > 0 else 0.0
        self._lock = threading.Lock()

    def earn(self) -> None:
        """A call begins."""
        with self._lock:
            self._saved = min(_MOST, self._saved + self._extra_share)

    def spend(self) -> bool:
        """Take one request; False where none is left."""
        with self._lock:
            if self._saved < 1:
                return False
            self._saved -= 1
            return True
