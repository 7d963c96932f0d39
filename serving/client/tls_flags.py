"""The flags of commands that ask servers over TLS."""

from __future__ import annotations

import argparse
from pathlib import Path

from serving.client.options import Tls


def add_tls_flags(parser: argparse.ArgumentParser) -> None:
    """Add `--tls` and what goes with it; each of the others turns it on too."""
    add = parser.add_argument
    add("--tls", action="store_true", help="ask over TLS, trusting the system's authorities")
    add("--tls-root", type=Path, metavar="PEM", help="ask over TLS, trusting these authorities alone")
    add(
        "--tls-certificate", type=Path, metavar="PEM", help="the client's own certificate, where the server asks for it"
    )
    add("--tls-key", type=Path, metavar="PEM", help="the key of that certificate")
    add("--tls-server-name", metavar="NAME", help="the name in the server's certificate, where it is not the host's")


def tls_of(flags: argparse.Namespace) -> Tls | None:
    """What the flags say; None where they say nothing. Raises ConfigError for files that can't be read."""
    given = (flags.tls_root, flags.tls_certificate, flags.tls_key, flags.tls_server_name)
    if not flags.tls and given == (None, None, None, None):
        return None
    root, certificate, key, server_name = given
    tls = Tls(root_certificates=root, certificate=certificate, private_key=key, server_name=server_name)
    tls.check()
    return tls
