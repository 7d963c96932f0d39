"""ModelService: answers about the models themselves."""

from __future__ import annotations

import threading
from collections.abc import Callable

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc
from tensorflow_serving.config import model_server_config_pb2

from serving.server.models.manager import ModelManager, UnavailableError
from serving.server.models.served_version import VersionStatus
from serving.server.rpc.answers import ends_with_status
from serving.server.status import StatusError, invalid_argument, not_found
from tfrec.errors import TfrecError

Reload = Callable[[model_server_config_pb2.ModelServerConfig, threading.Event], None]


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus over a manager's models, and HandleReloadConfigRequest with what `reload` does."""

    def __init__(self, reload: Reload, manager: ModelManager) -> None:
        self._reload = reload
        self._manager = manager

    @ends_with_status
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Return the states of a model's versions, highest version first."""
        return model_status(self._manager, request)

    @ends_with_status
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serve the models of the request's configuration and no others; answer when they are available."""
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. Only ModelConfigList is currently "
                "supported"
            )
        # A caller that has gone must not keep others waiting for a model that may never come.
        is_over = threading.Event()
        context.add_callback(is_over.set)
        try:
            self._reload(request.config, is_over)
        except TfrecError as error:
            raise invalid_argument(str(error)) from error
        except UnavailableError as error:
            raise StatusError(grpc.StatusCode.UNKNOWN, str(error)) from error
        return model_management_pb2.ReloadConfigResponse()


def model_status(
    manager: ModelManager, request: get_model_status_pb2.GetModelStatusRequest
) -> get_model_status_pb2.GetModelStatusResponse:
    """Return the states of a model's versions, or of the one that is asked for. Raises StatusError for none."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    name = request.model_spec.name
    number = manager.asked_version(request.model_spec)
    statuses = manager.statuses(name)
    if number is not None:
        statuses = [status for status in statuses if status.version == number]
        if not statuses:
            raise not_found(f"Could not find version {number} of model {name}")
    if not statuses:
        raise not_found(f"Could not find any versions of model {name}")
    response = get_model_status_pb2.GetModelStatusResponse()
    for status in statuses:
        _add_status(response, status)
    return response


def _add_status(response: get_model_status_pb2.GetModelStatusResponse, status: VersionStatus) -> None:
    entry = response.model_version_status.add(version=status.version, state=status.state.value)
    entry.status.error_code = status.error.code_number if status.error else grpc.StatusCode.OK.value[0]
    entry.status.error_message = status.error.message if status.error else ""
