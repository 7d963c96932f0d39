"""`python -m serving.explore`: look at what models recommend, in a browser."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

import waitress

from serving.client import Client, ClientOptions, ServingError
from serving.client.tls_flags import add_tls_flags, tls_of
from serving.explore.app import make_app
from serving.explore.catalogue import Catalogue, read_catalogue
from serving.explore.fresh import FreshUsers
from tfrec.command_line import ArgumentParser, at_least
from tfrec.errors import ConfigError, TfrecError

EXAMPLE = """\
example: python -m serving.explore --server localhost:8500 --model two_tower --dataset DATASET
         python -m serving.explore --model two_tower --model ease --ranker deepfm --dataset DATASET --port 8510
         python -m serving.explore --model two_tower --dataset DATASET --store sqlite:users.db

A page on this machine: choose a user, see the history and what is recommended, with titles, scores, reasons and times;
two models or versions side by side; the candidates before a ranking model; items like an item.
"""
HOST = "127.0.0.1"  # and nothing else: the page has no log-in
_THREADS = 8


def main(arguments: Sequence[str] | None = None) -> int:
    """Show the page until SIGTERM or SIGINT; return the exit code."""
    try:
        _serve(sys.argv[1:] if arguments is None else arguments)
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"ServingError: {error}", file=sys.stderr)
        return 1
    return 0


def _serve(arguments: Sequence[str]) -> None:
    flags = _parser().parse(arguments)
    catalogue = Catalogue() if flags.dataset is None else read_catalogue(flags.dataset)
    with contextlib.ExitStack() as open_things:
        fresh = None
        if flags.store is not None:
            fresh = open_things.enter_context(contextlib.closing(FreshUsers(flags.store, flags.timeout_seconds)))
        users, options = fresh.lookup if fresh else None, ClientOptions(tls=tls_of(flags))
        client = open_things.enter_context(Client(flags.server, flags.timeout_seconds, options=options, users=users))
        for model in [*flags.model, *flags.ranker]:
            client.metadata(model)  # a mistake in a name is said now, not on the page
        app = make_app(client, catalogue, flags.model, flags.ranker, fresh)
        try:
            server = waitress.create_server(app, host=HOST, port=flags.port, threads=_THREADS, ident=None)
        except OSError as error:
            raise ConfigError(
                f"can't listen on {HOST}:{flags.port}: {error.strerror}; choose another --port, or 0 for any free one"
            ) from None
        print(f"http://{HOST}:{server.effective_port}/ (end with Ctrl-C)", file=sys.stderr, flush=True)
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        server.run()  # until KeyboardInterrupt


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m serving.explore", example=EXAMPLE)
    add = parser.add_argument
    add("--server", default="localhost:8500", help="host:port of the model server (%(default)s)")
    add("--model", action="append", required=True, help="a retrieval model on the server; again for more")
    add("--ranker", action="append", default=[], help="a ranking model that can order its candidates; again for more")
    add("--dataset", type=Path, help="dataset directory: users to choose from, histories, titles")
    add("--store", help="fresh features and histories of users: sqlite:PATH or redis://HOST:PORT/NUMBER")
    add("--port", type=at_least(0, 65535), default=8510, help="the page's; 0 takes any free one (%(default)s)")
    add("--timeout-seconds", type=float, default=5.0, help="deadline of each call (%(default)s)")
    add_tls_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
