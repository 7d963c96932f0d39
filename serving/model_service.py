"""ModelService: answers about the models themselves."""

from __future__ import annotations

import threading

import grpc
from tensorflow_serving.apis import get_model_status_pb2, model_management_pb2, model_service_pb2_grpc

from serving.model_config import models_of_config
from serving.model_manager import ModelManager, UnavailableError
from serving.served_version import VersionStatus
from serving.status import StatusError, ends_with_status, invalid_argument, not_found
from tfrec.errors import TfrecError


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    """GetModelStatus and HandleReloadConfigRequest over a manager's models."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager

    @ends_with_status
    def GetModelStatus(  # noqa: N802
        self, request: get_model_status_pb2.GetModelStatusRequest, context: grpc.ServicerContext
    ) -> get_model_status_pb2.GetModelStatusResponse:
        """Return the states of a model's versions, highest version first."""
        if not request.HasField("model_spec"):
            raise invalid_argument("Missing ModelSpec")
        spec = request.model_spec
        if spec.WhichOneof("version_choice") == "version_label":
            raise invalid_argument(f"Unrecognized servable version label: {spec.version_label}")
        statuses = self._manager.statuses(spec.name)
        if spec.HasField("version"):
            statuses = [status for status in statuses if status.version == spec.version.value]
            if not statuses:
                raise not_found(f"Could not find version {spec.version.value} of model {spec.name}")
        if not statuses:
            raise not_found(f"Could not find any versions of model {spec.name}")
        response = get_model_status_pb2.GetModelStatusResponse()
        for status in statuses:
            _add_status(response, status)
        return response

    @ends_with_status
    def HandleReloadConfigRequest(  # noqa: N802
        self, request: model_management_pb2.ReloadConfigRequest, context: grpc.ServicerContext
    ) -> model_management_pb2.ReloadConfigResponse:
        """Serve the models of the request's configuration and no others; answer when they are available."""
        # A caller that has gone must not keep others waiting for a model that may never come.
        is_over = threading.Event()
        context.add_callback(is_over.set)
        try:
            self._manager.serve(models_of_config(request.config), cancel=is_over)
        except TfrecError as error:
            raise invalid_argument(str(error)) from error
        except UnavailableError as error:
            raise StatusError(grpc.StatusCode.UNKNOWN, str(error)) from error
        return model_management_pb2.ReloadConfigResponse()


def _add_status(response: get_model_status_pb2.GetModelStatusResponse, status: VersionStatus) -> None:
    entry = response.model_version_status.add(version=status.version, state=status.state.value)
    entry.status.error_code = status.error.code_number if status.error else grpc.StatusCode.OK.value[0]
    entry.status.error_message = status.error.message if status.error else ""
