"""What a call asks of the servers, step by step, apart from how it travels.

A call is a generator: it yields the questions, gets each one's answer, or its ServingError thrown in, and returns the
result. So the blocking client, the asyncio one, gRPC and REST share every rule.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Generator, Mapping
from typing import Any, TypeVar

import grpc

from serving.client.errors import ServingError
from serving.client.model_name import ModelName
from serving.client.results import ModelMetadata, Prediction
from serving.client.signature import Array, Signature
from tfrec.errors import ConfigError

# What a server answers when a request was made for the signature of another version, or to one that is gone.
_MISFIT_CODES = (
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.NOT_FOUND,
)
# Servers in the middle of a change answer with either version: signatures are not read anew for each of them.
_REREAD_SECONDS = 1.0

R = TypeVar("R")
MakeInputs = Callable[[Signature], Mapping[str, Array]]


@dataclasses.dataclass(frozen=True)
class AskMetadata:
    """Answered by ModelMetadata."""

    model: ModelName

    @property
    def asked(self) -> str:
        """The question in words, for errors."""
        return f"metadata of model {self.model.text!r}"


@dataclasses.dataclass(frozen=True)
class AskStatus:
    """Answered by a list of VersionState, highest version first."""

    model: ModelName

    @property
    def asked(self) -> str:
        """The question in words, for errors."""
        return f"status of model {self.model.text!r}"


@dataclasses.dataclass(frozen=True)
class AskPrediction:
    """Answered by Prediction. `known_version` is the one whose signature the inputs fit."""

    model: ModelName
    signature: str
    inputs: Mapping[str, Array]
    known_version: int
    output_names: tuple[str, ...]

    @property
    def asked(self) -> str:
        """The question in words, for errors."""
        return f"{self.signature} of model {self.model.text!r}"


@dataclasses.dataclass(frozen=True)
class AskUsers:
    """Answered by a mapping for each user: the features that the store has of them, none where it has nothing."""

    users: tuple[str, ...]
    replaced: frozenset[str]  # features that the caller gives: histories beside them would be of other events


Question = AskMetadata | AskStatus | AskPrediction | AskUsers
ServerQuestion = AskMetadata | AskStatus | AskPrediction
Steps = Generator[Question, Any, R]


class Models:
    """What is known of the servers' models, and the questions that need it."""

    def __init__(self, where: str, metadata_seconds: float | None) -> None:
        """`where` is the address for errors; `metadata_seconds` is None where each answer names its version."""
        self._where = where
        self._metadata_seconds = metadata_seconds
        self._known: dict[str, tuple[ModelMetadata, float]] = {}

    def metadata(self, model: str) -> Steps[ModelMetadata]:
        """The model's signatures; asked for once, and again when another version has answered."""
        found = self._known.get(model)
        if found is not None and (self._metadata_seconds is None or self._age(found) < self._metadata_seconds):
            return found[0]
        metadata: ModelMetadata = yield AskMetadata(ModelName.parse(model))
        self._known[model] = (metadata, time.monotonic())
        return metadata

    def predict(self, model: str, signature: str, make_inputs: MakeInputs) -> Steps[Prediction]:
        """Run `signature` on the arrays that `make_inputs` makes for it.

        The servers may have gone over to a version with other inputs since the metadata was read: a call that
        does not fit is made once more if they have. Raises ConfigError for a signature that the model doesn't
        have.
        """
        known = yield from self.metadata(model)
        try:
            prediction = yield self._question(known, signature, make_inputs)
        except (ServingError, ConfigError) as error:
            if isinstance(error, ServingError) and error.code not in _MISFIT_CODES:
                raise
            self._known.pop(model, None)
            present = yield from self.metadata(model)
            if present.version == known.version:
                raise
            prediction = yield self._question(present, signature, make_inputs)
            return _checked(prediction)
        found = self._known.get(model)
        if prediction.version != known.version and found is not None and self._age(found) > _REREAD_SECONDS:
            self._known.pop(model, None)
        return _checked(prediction)

    def _question(self, metadata: ModelMetadata, name: str, make_inputs: MakeInputs) -> AskPrediction:
        signature = metadata.signatures.get(name)
        if signature is None:
            raise ConfigError(
                f"model {metadata.model!r} at {self._where} has no signature {name!r}; "
                f"it has: {', '.join(sorted(metadata.signatures))}"
            )
        model = ModelName.parse(metadata.model)
        return AskPrediction(model, name, make_inputs(signature), metadata.version, signature.outputs)

    @staticmethod
    def _age(found: tuple[ModelMetadata, float]) -> float:
        return time.monotonic() - found[1]


def _checked(prediction: Any) -> Prediction:
    assert isinstance(prediction, Prediction)
    return prediction
