"""How a client reaches its servers."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from tfrec.config_file import Config
from tfrec.errors import ConfigError


class Tls(Config):
    """Encryption: whom to trust, and who we are where the server asks for it. Files in PEM."""

    root_certificates: Path | None = Field(None, description="authorities to trust; the system's by default")
    certificate: Path | None = Field(None, description="the client's own, with private_key")
    private_key: Path | None = None
    server_name: str | None = Field(None, description="the name in the certificate, where it is not the host's")

    def check(self) -> None:
        """Raises ConfigError for a certificate without its key, a key alone, and files that can't be read."""
        if (self.certificate is None) != (self.private_key is None):
            raise ConfigError("tls: certificate and private_key go together; give both, or neither")
        for path in (self.root_certificates, self.certificate, self.private_key):
            try:
                if path is not None:
                    path.open("rb").close()
            except OSError as error:
                raise ConfigError(f"tls: can't read {path}: {error.strerror}; name a PEM file") from None


class Retries(Config):
    """Second attempts at a call that a server could not take (UNAVAILABLE).

    Every call of this client only reads, so that an attempt of which nobody knows how it ended may be made again.
    Errors that another attempt would meet too are not retried, nor is a call whose time is over. The wait before
    attempt n + 1 is drawn from [0, min(max, initial · 2^(n−1))] seconds, and left out where there is a server not
    asked yet.
    """

    attempts: int = Field(3, ge=1, description="with the first one; 1: no retries")
    initial_backoff_seconds: float = Field(0.05, gt=0)
    max_backoff_seconds: float = Field(1.0, gt=0)
    extra_share: float = Field(
        0.2, ge=0, le=1, description="retries and hedges together, as a share of the calls: no storm on a tired server"
    )


class Hedging(Config):
    """A second request to another server where the first is late; the first answer wins, the other is cancelled.

    Takes the tail off the latency for a few percent more load (Dean and Barroso 2013, The tail at scale): put `after`
    near the 95th percentile. It counts against `Retries.extra_share`.
    """

    after_seconds: float = Field(gt=0)


class ClientOptions(Config):
    """All but the addresses and the deadline."""

    retries: Retries = Retries()
    hedging: Hedging | None = None
    balance: Literal["least_in_flight", "round_robin"] = "least_in_flight"
    tls: Tls | None = None
    channel: dict[str, int | str] = Field({}, description="further gRPC arguments, as grpc.keepalive_time_ms")
    metadata_seconds: float = Field(
        10.0, gt=0, description="over REST, whose answers name no version, signatures are read again after this time"
    )
