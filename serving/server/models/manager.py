"""All models of a server: which there are, when they are ready, and which version answers a request."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection, Iterable
from types import TracebackType

from tensorflow_serving.apis import model_pb2

from serving.server.models.served_model import Progress, ServedModel
from serving.server.models.served_version import ServedVersion, State, VersionStatus
from serving.server.models.version_dirs import check_base_path
from serving.server.options import LoadOptions, ModelOptions
from serving.server.runtime.servable import Servable
from serving.server.status import failed_precondition, invalid_argument, not_found
from tfrec.errors import ArtifactError

_log = logging.getLogger(__name__)
_CANCEL_CHECK_SECONDS = 0.1


class UnavailableError(Exception):
    """Some of the configured models could not be loaded."""


class Lease:
    """A servable, and its version, held for the length of one request."""

    __slots__ = ("_servable", "_version")

    def __init__(self, version: ServedVersion, servable: Servable) -> None:
        self._version = version
        self._servable = servable

    def __enter__(self) -> tuple[Servable, int]:
        return self._servable, self._version.number

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._version.release()


class ModelManager:
    """The models of a server, each with its own thread: a slow or failing one does not hold up another."""

    def __init__(self, load: LoadOptions) -> None:
        self._load = load
        self._models: dict[str, ServedModel] = {}
        self._retired: list[ServedModel] = []
        self._labels: dict[str, dict[str, int]] = {}
        self._reconfiguring = threading.Lock()
        self._changed = threading.Condition()

    def serve(self, models: Collection[ModelOptions], cancel: threading.Event | None = None) -> None:
        """Serve exactly `models` from now on; return when the new ones are available, or `cancel` is set.

        Raises StatusError, with nothing changed, for a label of a version that isn't available; ArtifactError, with
        nothing changed, for a base path that can't be right; ArtifactError when there is nothing to load and nobody
        will look again; UnavailableError when a new model was given up.
        """
        with self._reconfiguring:
            # Before anything is loaded, as TF Serving does: a label never waits for its version.
            labels = {options.name: self._checked_labels(options) for options in models}
            for options in models:
                if options.name not in self._models:
                    check_base_path(options.name, options.base_path)
            self._labels = labels
            for name in self._models.keys() - {options.name for options in models}:
                retired = self._models.pop(name)
                retired.retire()
                self._retired.append(retired)
            added = []
            for options in models:
                present = self._models.get(options.name)
                if present is None:
                    added.append(self._add(options))
                elif present.options != options:
                    present.reconfigure(options)
            self._wait_until_available(added, cancel or threading.Event())

    def lease(self, spec: model_pb2.ModelSpec) -> Lease:
        """Hold the servable that `spec` asks for: `with manager.lease(spec) as (servable, version)`, for one request.

        Raises StatusError as TF Serving does when there is none.
        """
        if not spec.name:
            raise invalid_argument("ModelSpec has no name specified.")
        number = self.asked_version(spec)
        model = self._models.get(spec.name)
        held = model.acquire(number) if model else None
        if held is None:
            asked = f"Latest({spec.name})" if number is None else f"Specific({spec.name}, {number})"
            raise not_found(f"Servable not found for request: {asked}")
        return Lease(*held)

    def asked_version(self, spec: model_pb2.ModelSpec) -> int | None:
        """Return the version that `spec` names by number or label, or None. Raises StatusError for no such label."""
        match spec.WhichOneof("version_choice"):
            case "version":
                return int(spec.version.value)
            case "version_label":
                number = self._labels.get(spec.name, {}).get(spec.version_label)
                if number is None:
                    raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
                return number
            case _:
                return None

    def statuses(self, name: str) -> list[VersionStatus]:
        """Return the status of every version that model `name` has or had, highest first; none if unknown."""
        by_version = {status.version: status for model in self._named(name) for status in reversed(model.statuses())}
        return [by_version[version] for version in sorted(by_version, reverse=True)]

    def summary(self) -> str:
        """Return `name (versions 1, 2)` of every model, for people."""
        parts = []
        for name, model in sorted(self._models.items()):
            versions = [str(s.version) for s in reversed(model.statuses()) if s.state.name == "AVAILABLE"]
            parts.append(f"{name} (version{'s' * (len(versions) > 1)} {', '.join(versions) or 'none yet'})")
        return ", ".join(parts)

    def stop(self) -> None:
        """Free all models; requests that still run end with CANCELLED."""
        for model in [*self._models.values(), *self._retired]:
            model.stop()

    def _checked_labels(self, options: ModelOptions) -> dict[str, int]:
        """Return a model's labels. Raises StatusError for one of a version that can't be asked yet."""
        states = {status.version: status.state for status in self.statuses(options.name)}
        present = self._labels.get(options.name, {})
        for label, version in options.version_labels:
            is_new = present.get(label, version) == version
            may_be_early = self._load.allows_any_labels or (self._load.allows_early_labels and is_new)
            if states.get(version) is not State.AVAILABLE and not may_be_early:
                raise failed_precondition(
                    f"Request to assign label to version {version} of model {options.name}, which is not currently "
                    "available for inference"
                )
        return dict(options.version_labels)

    def _add(self, options: ModelOptions) -> ServedModel:
        model = self._models[options.name] = ServedModel(options, self._load, self._notify)
        model.start()
        return model

    def _named(self, name: str) -> Iterable[ServedModel]:
        yield from (model for model in self._retired if model.options.name == name)
        if name in self._models:
            yield self._models[name]

    def _notify(self) -> None:
        with self._changed:
            self._changed.notify_all()

    def _wait_until_available(self, models: list[ServedModel], cancel: threading.Event) -> None:
        with self._changed:
            while not cancel.is_set():
                progress = {model: model.progress() for model in models}
                if self._load.poll_wait_seconds == 0:
                    _check_not_empty(progress)
                if not {Progress.NOT_LOOKED, Progress.EMPTY, Progress.LOADING} & set(progress.values()):
                    _check_not_failed(progress)
                    return
                # With a timeout, since `cancel` does not notify.
                self._changed.wait(_CANCEL_CHECK_SECONDS)


def _check_not_empty(progress: dict[ServedModel, Progress]) -> None:
    for model, state in progress.items():
        if state is Progress.EMPTY:
            raise ArtifactError(
                f"model {model.options.name!r}: no complete version under {model.options.base_path}, and "
                "--file_system_poll_wait_seconds=0 looks only once; export a model there first"
            )


def _check_not_failed(progress: dict[ServedModel, Progress]) -> None:
    failed = [model for model, state in progress.items() if state is Progress.FAILED]
    if failed:
        reasons = [
            f"{{{{name: {model.options.name} version: {status.version}}} due to error: {status.error}}}, "
            for model in failed
            for status in model.statuses()
            if status.error
        ]
        raise UnavailableError(f"{len(failed)} servable(s) did not become available: {{{''.join(reasons)}}}")
