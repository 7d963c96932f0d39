"""`python -m serving.recommend`: ask a model server what it would recommend to a user."""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from serving.client import Client, ClientOptions, Reason, ScoredItems, ServingError
from serving.client.tls_flags import add_tls_flags, tls_of
from serving.users import UserLookup
from tfrec.command_line import ArgumentParser, at_least
from tfrec.errors import ConfigError, TfrecError

_EXAMPLE = """\
example: python -m serving.recommend --server localhost:8500 --model two_tower --user 42 --k 10
         python -m serving.recommend --server localhost:8500 --model two_tower --ranker deepfm --user 42
         python -m serving.recommend --server localhost:8500 --model two_tower --user 42 --why
         python -m serving.recommend --server localhost:8500 --model two_tower --user 42 --filter genres=Comedy
         python -m serving.recommend --server http://localhost:8501 --model two_tower --user 42 --store sqlite:users.db

Prints the items that the model recommends to the user, best first.
"""
_FILTER = re.compile(r"(?P<feature>\w+)(?P<sign><=|>=|=)(?P<value>.+)")
_SUFFIXES = {"=": "", "<=": "_at_most", ">=": "_at_least"}
SHOWN_REASONS = 3  # of each item in the table; JSON has all

Why = list[tuple[Reason, ...]]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print recommendations; return the exit code."""
    try:
        _recommend(_parser().parse(sys.argv[1:] if arguments is None else arguments))
    except TfrecError as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2
    except ServingError as error:
        print(f"ServingError: {error}", file=sys.stderr)
        return 1
    return 0


def _recommend(flags: argparse.Namespace) -> None:
    features, filters = _features(flags.feature), _filters(flags.filter)
    with contextlib.ExitStack() as open_things:
        lookup = None
        if flags.store is not None:
            # A person waits longer than a service, and wants to hear that the store does not answer.
            lookup = open_things.enter_context(contextlib.closing(UserLookup.at(flags.store, flags.timeout_seconds)))
        options = ClientOptions(tls=tls_of(flags))
        client = open_things.enter_context(Client(flags.server, flags.timeout_seconds, options=options, users=lookup))
        items = client.recommend(
            flags.model,
            flags.user,
            k=flags.k,
            exclude=flags.exclude,
            allow=flags.allow,
            exclude_seen=not flags.include_seen,
            ranker=flags.ranker,
            candidates=flags.candidates,
            context={**features, **filters},
        )
        why = client.explain(flags.model, flags.user, items.ids, context=features) if flags.why else None
        of_reasons = [reason.item_id for reasons in why or [] for reason in reasons if reason.item_id is not None]
        asked = list(dict.fromkeys([*items.ids, *of_reasons]))
        titles = dict(zip(asked, client.titles(flags.model, asked), strict=True))
        if lookup is not None and lookup.counts.without_answer:
            print(f"{flags.store}: gave no answer; these are recommendations without it", file=sys.stderr)
    if flags.json:
        print(json.dumps(_as_json(items, titles, why), ensure_ascii=False))
    else:
        Console().print(_table(items, titles, why))


def _features(assignments: Sequence[str]) -> dict[str, Any]:
    """Return the features of `name=value` flags; a name given twice is a multi-valued feature."""
    values: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not name or not equals:
            raise ConfigError(f"--feature: got {assignment!r}; expected name=value")
        values.setdefault(name, []).append(value)
    return {name: given[0] if len(given) == 1 else given for name, given in values.items()}


def _filters(conditions: Sequence[str]) -> dict[str, Any]:
    """Return the model's inputs for `genres=Comedy` (again: or that one), `min_age<=12` and `year>=1990`."""
    values: dict[str, Any] = {}
    for condition in conditions:
        match = _FILTER.fullmatch(condition)
        if match is None:
            raise ConfigError(f"--filter: got {condition!r}; expected NAME=VALUE, NAME<=NUMBER or NAME>=NUMBER")
        name = f"filter_{match['feature']}{_SUFFIXES[match['sign']]}"
        if match["sign"] == "=":
            values.setdefault(name, []).append(match["value"])
        elif name in values:
            raise ConfigError(f"--filter: {condition!r} is a second bound; keep one")
        else:
            values[name] = match["value"]
    return values


def _as_json(items: ScoredItems, titles: Mapping[str, str], why: Why | None) -> dict[str, Any]:
    found: list[dict[str, Any]] = [
        {"id": item_id, "title": titles[item_id], "score": score} for item_id, score in items
    ]
    for item, reasons in zip(found, why or [], strict=False):
        item["why"] = [_reason_as_json(reason, titles) for reason in reasons]
    return {"model": items.model, "version": items.version, "user": items.user, "items": found}


def _reason_as_json(reason: Reason, titles: Mapping[str, str]) -> dict[str, Any]:
    title = {} if reason.item_id is None else {"title": titles[reason.item_id]}
    return {"reason": reason.label, **title, "weight": reason.weight}


def _words(reason: Reason, titles: Mapping[str, str]) -> str:
    """A reason for people: the title of an item, where there is one, with how much it weighs."""
    item_id = reason.item_id
    name = reason.label if item_id is None else titles[item_id] or f"item {item_id}"
    return f"{name} ({reason.weight:.2f})"


def _table(items: ScoredItems, titles: Mapping[str, str], why: Why | None) -> Table:
    table = Table(title=f"{items.model} version {items.version}, user {items.user}")
    table.add_column("rank", justify="right")
    table.add_column("id", no_wrap=True)
    has_titles = any(titles[item_id] for item_id in items.ids)
    if has_titles:
        table.add_column("title")
    table.add_column("score", justify="right")
    if why is not None:
        table.add_column("because of")
    for i, (item_id, score) in enumerate(items):
        # Text, not markup: a title may hold square brackets.
        title_cells = [Text(titles[item_id])] if has_titles else []
        reasons = [_words(reason, titles) for reason in why[i][:SHOWN_REASONS]] if why is not None else []
        why_cells = [Text(" · ".join(reasons) or "–")] if why is not None else []
        table.add_row(Text(str(i + 1)), Text(item_id), *title_cells, Text(f"{score:.4f}"), *why_cells)
    return table


def _parser() -> ArgumentParser:
    parser = ArgumentParser(prog="python -m serving.recommend", example=_EXAMPLE)
    add = parser.add_argument
    add(
        "--server",
        default="localhost:8500",
        help="host:port of the server, or several with commas between; http://host:port asks over REST (%(default)s)",
    )
    add(
        "--model",
        required=True,
        help="the model's name on the server; NAME/versions/7 or NAME/labels/canary for one of its versions",
    )
    add("--user", required=True, help="user id, as in the logs; one the model has not seen is fine")
    add("--k", type=at_least(1), default=10, help="number of items (%(default)s)")
    add("--ranker", help="a ranking model on the same server, which orders the candidates of --model")
    add("--candidates", type=at_least(1), default=100, help="candidates for the ranker (%(default)s)")
    add("--exclude", nargs="+", action="extend", default=[], metavar="ID", help="items to leave out")
    add("--allow", nargs="+", action="extend", default=[], metavar="ID", help="recommend only these items")
    add(
        "--filter",
        action="append",
        default=[],
        metavar="CONDITION",
        help="only items with NAME=VALUE (again: or that value), NAME<=NUMBER, NAME>=NUMBER, as the export declares",
    )
    add("--include-seen", action="store_true", help="keep items of the user's known history")
    add(
        "--feature",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="a user or context feature, instead of what the model knows; again for several values",
    )
    add("--store", help="features and histories of users: sqlite:PATH or redis://HOST:PORT/NUMBER")
    add("--why", action="store_true", help="say why: items of the user's history, or features that matched")
    add("--json", action="store_true", help="print JSON")
    add("--timeout-seconds", type=float, default=5.0, help="deadline of each call (%(default)s)")
    add_tls_flags(parser)
    return parser


if __name__ == "__main__":
    sys.exit(main())
