"""gRPC channels, plain or encrypted, blocking or asyncio."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType
from typing import Any

import grpc

from serving.client.options import ClientOptions, Tls

_ARGUMENTS: dict[str, int | str] = {
    # Tensors are larger than gRPC's 4 MB.
    "grpc.max_receive_message_length": -1,
    "grpc.max_send_message_length": -1,
    # A server that comes back is noticed within a second or two, not two minutes.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 2000,
    # A name with several addresses, such as a headless Kubernetes service (dns:///recommender:8500).
    "grpc.lb_policy_name": "round_robin",
}


def open_channel(target: str, options: ClientOptions, library: ModuleType = grpc) -> Any:
    """Return a channel of `library`: `grpc`, or `grpc.aio`. It connects with the first call."""
    arguments = {**_ARGUMENTS, **options.channel}
    if options.tls is None:
        return library.insecure_channel(target, options=list(arguments.items()))
    if options.tls.server_name is not None:
        arguments["grpc.ssl_target_name_override"] = options.tls.server_name
    return library.secure_channel(target, _credentials(options.tls), options=list(arguments.items()))


def _credentials(tls: Tls) -> grpc.ChannelCredentials:
    tls.check()
    return grpc.ssl_channel_credentials(
        root_certificates=_pem(tls.root_certificates),
        private_key=_pem(tls.private_key),
        certificate_chain=_pem(tls.certificate),
    )


def _pem(path: Path | None) -> bytes | None:
    return None if path is None else path.read_bytes()
