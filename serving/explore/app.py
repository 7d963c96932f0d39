"""The page: addresses → HTML."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import flask

from serving.client import Client, ServingError
from serving.explore.answer import answer, titles_of
from serving.explore.catalogue import Catalogue
from serving.explore.fresh import FreshUsers
from serving.explore.question import Question
from serving.explore.similar import SimilarItems
from tfrec.errors import ConfigError, TfrecError

_OFFERED_USERS = 300  # in the list of the input; any other can be typed
_AVAILABLE = "AVAILABLE"
_KEPT = ("left", "right", "ranker", "k", "seen")  # of a question, when another user is drawn
# No script at all, nothing from elsewhere, in nobody's frame.
_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


def make_app(
    client: Client,
    catalogue: Catalogue,
    models: Sequence[str],
    rankers: Sequence[str] = (),
    fresh: FreshUsers | None = None,
) -> flask.Flask:
    """The page as a WSGI application; the client asks with what `fresh` says of users."""
    app = flask.Flask(
        "serving.explore", template_folder="page", static_folder=None, root_path=str(Path(__file__).parent)
    )
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    # A name of another site that points to this address would read the page with its visitor's browser.
    app.config["TRUSTED_HOSTS"] = ["127.0.0.1", "localhost"]
    similar = SimilarItems(client, catalogue)

    def choices() -> list[str]:
        return [choice for model in models for choice in _with_versions(client, model)]

    @app.get("/")
    def page_of_user() -> str:
        offered = choices()
        question = Question.parse(flask.request.args, offered, rankers)
        sides = answer(client, catalogue, question) if question.user else []
        stored = fresh.history(question.user) if fresh and question.user else None
        history = catalogue.histories.get(question.user, ()) if stored is None else stored
        return flask.render_template(
            "user.html",
            question=question,
            sides=sides,
            common=_in_common(sides),
            history=history,
            titles=titles_of(client, catalogue, question.left, history),
            is_stored=stored is not None,
            store=dataclasses.asdict(fresh.counts) if fresh else {},
            event_count=catalogue.event_counts.get(question.user),
            is_known=question.user in catalogue.event_counts,
            users=catalogue.users[:_OFFERED_USERS],
            choices=offered,
            rankers=rankers,
        )

    @app.get("/another")
    def another_user() -> Any:
        if not catalogue.users:
            raise ConfigError("no users are known; start with --dataset DIR to have them")
        # By name: what else stands in an address could be one of url_for's own arguments.
        kept: dict[str, Any] = {name: flask.request.args[name] for name in _KEPT if name in flask.request.args}
        return flask.redirect(flask.url_for("page_of_user", user=random.choice(catalogue.users), **kept))

    @app.get("/item")
    def page_of_item() -> str:
        offered = choices()
        question = Question.parse(flask.request.args, offered, rankers)
        item = flask.request.args.get("id", "")
        return flask.render_template(
            "item.html",
            question=question,
            item=item,
            title=titles_of(client, catalogue, question.left, [item]).get(item, ""),
            lists=similar.find(question.left, item, question.k),
            choices=offered,
        )

    app.add_url_rule("/style.css", "style", _style)
    _handle_errors(app)
    return app


def _style() -> flask.Response:
    return flask.Response(flask.render_template("style.css"), mimetype="text/css")


def _handle_errors(app: flask.Flask) -> None:
    def page_of_error(status: int) -> Callable[[Exception], tuple[str, int]]:
        return lambda error: (flask.render_template("error.html", message=str(error)), status)

    app.register_error_handler(TfrecError, page_of_error(400))
    app.register_error_handler(ServingError, page_of_error(502))

    @app.after_request
    def with_headers(response: flask.Response) -> flask.Response:
        response.headers.update(_HEADERS)
        return response


def _with_versions(client: Client, model: str) -> list[str]:
    """The model's newest version by its name alone, and each one that is served."""
    served = [state.version for state in client.status(model) if state.state == _AVAILABLE]
    return [model, *(f"{model}/versions/{version}" for version in served)]


def _in_common(sides: Sequence[Any]) -> int | None:
    """Items that stand in both lists; None for one list."""
    return sum(item.place_beside is not None for item in sides[0].items) if len(sides) == 2 else None
