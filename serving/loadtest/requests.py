"""The requests of a load test, made and serialized before it starts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
from tensorflow.core.framework import tensor_pb2, types_pb2
from tensorflow_serving.apis import get_model_metadata_pb2, predict_pb2, prediction_service_pb2_grpc

from serving.client.grpc_channel import open_channel
from serving.client.model_name import ModelName
from serving.client.options import ClientOptions, Tls
from serving.loadtest.population import Population
from serving.loadtest.stage import Payload
from tfrec.errors import ConfigError

_CONTROLS = frozenset({"k", "exclude_ids", "allow_ids", "exclude_seen", "candidate_ids"})
_CHOICES = ("recommend", "rank")  # of a model whose mix names no signature, in this order
_MIX = re.compile(r"(?P<model>[^:=]+)(:(?P<signature>[^:=]+))?(=(?P<weight>[0-9.]+))?")


class ServerError(Exception):
    """A server did not answer what a load test has to know before it starts."""


@dataclasses.dataclass(frozen=True)
class Share:
    """A model and signature, and how often it is asked relatively to the others."""

    model: ModelName
    signature: str | None
    weight: float

    @classmethod
    def parse(cls, text: str) -> Share:
        """`MODEL`, `MODEL:SIGNATURE`, with `=WEIGHT` behind or not. Raises ConfigError for another form."""
        found = _MIX.fullmatch(text)
        try:
            weight = float(found["weight"] or 1) if found else 0.0
        except ValueError:
            weight = 0.0
        if found is None or not weight > 0:
            raise ConfigError(f"--mix: got {text!r}; expected MODEL:SIGNATURE=WEIGHT, such as two_tower:recommend=9")
        return cls(ModelName.parse(found["model"]), found["signature"], weight)


@dataclasses.dataclass(frozen=True)
class Wishes:
    """What each request asks for."""

    k: int = 10
    excluded: int = 0
    candidates: int = 100
    unknown_share: float = 0.05


def make_payloads(
    target: str,
    mix: Sequence[Share],
    population: Population,
    wishes: Wishes,
    *,
    number: int,
    seed: int,
    tls: Tls | None = None,
) -> list[Payload]:
    """Return so many requests of users drawn from the population, in the mix's proportions.

    Raises:
        ServerError: the server does not answer, or does not have a model.
        ConfigError: a signature that is not there, or takes more than a user and what is known here.

    """
    draw = np.random.default_rng(seed)
    with open_channel(target, ClientOptions(tls=tls)) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        makers = [_RequestMaker(share, _signatures(stub, target, share.model), population, wishes) for share in mix]
    weights = np.array([share.weight for share in mix])
    chosen = draw.choice(len(makers), size=number, p=weights / weights.sum())
    users = population.draw_users(number, wishes.unknown_share, draw)
    return [makers[i].payload(user, draw) for i, user in zip(chosen, users)]


def _signatures(stub: Any, target: str, model: ModelName) -> dict[str, Any]:
    request = get_model_metadata_pb2.GetModelMetadataRequest(metadata_field=["signature_def"])
    _fill(request.model_spec, model)
    try:
        response = stub.GetModelMetadata(request, timeout=10)
    except grpc.RpcError as error:
        details = " ".join((error.details() or "").split())
        raise ServerError(f"metadata of model {model.text!r} at {target}: {error.code().name}: {details}") from None
    found = get_model_metadata_pb2.SignatureDefMap()
    response.metadata["signature_def"].Unpack(found)
    return dict(found.signature_def)


class _RequestMaker:
    """Requests for one signature, with every input: a server that batches wants the first dimension equal in all."""

    def __init__(self, share: Share, signatures: dict[str, Any], population: Population, wishes: Wishes) -> None:
        name = share.signature or next((one for one in _CHOICES if one in signatures), None)
        if name is None or name not in signatures:
            raise ConfigError(
                f"model {share.model.text!r} has no signature {name or ' or '.join(_CHOICES)!r}; "
                f"it has: {', '.join(sorted(signatures))}"
            )
        self._model = share.model.name
        self._population, self._wishes = population, wishes
        definition = signatures[name]
        required = set(definition.inputs) - set(definition.defaults) - _CONTROLS
        if len(required) != 1:
            raise ConfigError(
                f"--mix {share.model.text}:{name}: takes {', '.join(sorted(required)) or 'no user'}; "
                "a signature that takes a user alone is needed, such as recommend or rank"
            )
        (self._user_input,) = required
        self._inputs = set(definition.inputs)
        if "candidate_ids" in self._inputs and not len(population.item_ids):
            raise ConfigError(
                f"--mix {share.model.text}:{name}: takes candidates; name items with --dataset or --items"
            )
        if wishes.excluded and not len(population.item_ids):
            raise ConfigError("--exclude: no items are known; name them with --dataset or --items")
        self._base = predict_pb2.PredictRequest()
        _fill(self._base.model_spec, share.model)
        self._base.model_spec.signature_name = name
        for input_name, default in definition.defaults.items():
            self._base.inputs[input_name].CopyFrom(default)  # one row, as the request has

    def payload(self, user: str, draw: np.random.Generator) -> Payload:
        """A request of `user`."""
        request = predict_pb2.PredictRequest()
        request.CopyFrom(self._base)
        given = {self._user_input: _strings([user], [1])}
        if "k" in self._inputs:
            given["k"] = tensor_pb2.TensorProto(dtype=types_pb2.DT_INT32, int_val=[self._wishes.k])
            given["k"].tensor_shape.dim.add(size=1)
        if "exclude_ids" in self._inputs and self._wishes.excluded:
            # A server that joins requests pads lists with their first value: models ignore the empty one.
            given["exclude_ids"] = self._items(self._wishes.excluded, draw, first=[""])
        if "candidate_ids" in self._inputs:
            given["candidate_ids"] = self._items(self._wishes.candidates, draw)
        for name, tensor in given.items():
            request.inputs[name].CopyFrom(tensor)
        return Payload(self._model, request.SerializeToString())

    def _items(self, number: int, draw: np.random.Generator, first: Sequence[str] = ()) -> tensor_pb2.TensorProto:
        items = self._population.item_ids
        drawn = draw.choice(items, size=min(number, len(items)), replace=False)
        return _strings([*first, *drawn], [1, len(first) + len(drawn)])


def _fill(spec: Any, model: ModelName) -> None:
    spec.name = model.name
    if model.version is not None:
        spec.version.value = model.version
    if model.label is not None:
        spec.version_label = model.label


def _strings(values: Sequence[str], shape: Sequence[int]) -> tensor_pb2.TensorProto:
    tensor = tensor_pb2.TensorProto(dtype=types_pb2.DT_STRING, string_val=[value.encode() for value in values])
    for size in shape:
        tensor.tensor_shape.dim.add(size=size)
    return tensor
