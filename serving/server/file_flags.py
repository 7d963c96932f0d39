"""Flags whose value is a file of TF Serving's: TLS and monitoring."""

from __future__ import annotations

from pathlib import Path

from serving.protocol.server_files import MonitoringConfig, SSLConfig
from serving.protocol.text_files import read_text_proto
from serving.server.options import TlsOptions
from tfrec.errors import ConfigError

METRICS_PATH = "/monitoring/prometheus/metrics"


def read_tls(path: Path) -> TlsOptions:
    """Return what an SSLConfig text proto says. Raises ConfigError for one that can't be served with."""
    config = read_text_proto(path, SSLConfig(), "--ssl_config_file")
    for name in ("server_key", "server_cert"):
        if not getattr(config, name):
            raise ConfigError(f"--ssl_config_file: {path}: {name} is empty; it holds the PEM text itself, not a path")
    if config.client_verify and not config.custom_ca:
        raise ConfigError(
            f"--ssl_config_file: {path}: client_verify needs custom_ca, which signs the clients' certificates"
        )
    return TlsOptions(config.server_key, config.server_cert, config.custom_ca, config.client_verify)


def read_monitoring_path(path: Path) -> str | None:
    """Return where a MonitoringConfig text proto wants the metrics, or None when it does not enable them."""
    config = read_text_proto(path, MonitoringConfig(), "--monitoring_config_file").prometheus_config
    if not config.enable:
        return None
    if config.path and not config.path.startswith("/"):
        raise ConfigError(f"--monitoring_config_file: {path}: path {config.path!r} must begin with a slash")
    return config.path or METRICS_PATH
