"""gRPC's health checking: SERVING while calls are taken, NOT_SERVING from the moment the server drains."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc


class Health:
    """The answers to `grpc.health.v1.Health/Check` and `Watch`, for the server as a whole."""

    def __init__(self, server: grpc.Server) -> None:
        self._servicer = health.HealthServicer()
        self._servicer.set(health.OVERALL_HEALTH, health_pb2.HealthCheckResponse.SERVING)
        health_pb2_grpc.add_HealthServicer_to_server(self._servicer, server)

    def drain(self) -> None:
        """Tell load balancers to send no more calls."""
        self._servicer.enter_graceful_shutdown()
