"""A models' configuration file that is read again and again while the server runs."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

from serving.server.models.config_file import read_model_config_file
from serving.server.models.manager import ModelManager, UnavailableError
from serving.server.options import ModelOptions
from serving.server.status import StatusError
from tfrec.errors import TfrecError

_log = logging.getLogger(__name__)


class ConfigWatch:
    """Serves what the file says whenever that has changed; one that can't be read or served is logged, once."""

    def __init__(
        self, manager: ModelManager, path: Path, poll_seconds: float, served: tuple[ModelOptions, ...]
    ) -> None:
        self._manager = manager
        self._path = path
        self._poll_seconds = poll_seconds
        self._served = served
        self._problem = ""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="model config file", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._stop.wait(self._poll_seconds):
            try:
                self._look()
                self._problem = ""
            except (TfrecError, StatusError, UnavailableError) as error:
                self._warn(str(error))
            except Exception:
                _log.exception("%s: could not be served", self._path)

    def _look(self) -> None:
        models = read_model_config_file(self._path)
        if models == self._served:
            return
        self._manager.serve(models, self._stop)
        self._served = models
        _log.info("%s: now serving %s", self._path, self._manager.summary())

    def _warn(self, problem: str) -> None:
        if problem != self._problem:
            self._problem = problem
            _log.warning("%s; what was served before stays", problem)
