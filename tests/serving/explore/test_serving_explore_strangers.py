"""What the page does with what it must not trust."""

import pytest

from serving.client import Client
from serving.explore.app import make_app
from serving.explore.catalogue import Catalogue
from tests.serving.explore.read_page import Page, get


def test_what_a_stranger_writes_is_text_never_markup(app):
    evil = '"><script>alert(1)</script>'
    for address, name in (("/", "user"), ("/item", "id"), ("/", "left")):
        response = app.test_client().get(address, query_string={name: evil}, base_url="http://127.0.0.1")
        text = response.get_data(as_text=True)
        assert "<script" not in text
        assert "&lt;script&gt;" in text
    text = app.test_client().get("/?user=u1", base_url="http://127.0.0.1").get_data(as_text=True)
    assert "<b>Title" not in text
    assert "&lt;b&gt;Title &amp; i" in text


def test_the_page_loads_its_own_style_alone_and_forbids_everything_else(app):
    response = app.test_client().get("/?user=u1", base_url="http://127.0.0.1")
    policy = response.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; style-src 'self';")
    assert Page(response.get_data(as_text=True)).loaded == ["/style.css"]
    style = app.test_client().get("/style.css", base_url="http://127.0.0.1")
    assert (style.status_code, style.mimetype) == (200, "text/css")
    assert "url(" not in style.get_data(as_text=True)


@pytest.mark.parametrize(("host", "status"), [("localhost:1", 200), ("127.0.0.1", 200), ("evil.example", 400)])
def test_another_sites_name_for_this_address_is_refused(app, host, status):
    assert app.test_client().get("/", base_url=f"http://{host}").status_code == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"user": "u1", "k": "0"}, "k: got '0'; allowed: 1 to 100"),
        ({"user": "u1", "k": "٣"}, "k: got '٣'; allowed: 1 to 100"),
        ({"user": "u1", "left": "vectors/versions/3"}, "left: got 'vectors/versions/3'; allowed: vectors, vectors/v"),
        ({"user": "u1", "ranker": "x"}, "ranker: got 'x'; allowed: upside_down"),
    ],
)
def test_a_question_that_is_not_allowed_is_a_page_that_says_so(app, arguments, message):
    status, page = get(app, "/", **arguments)
    assert status == 400
    assert page.by_id["error"].startswith(message)


def test_a_server_that_is_gone_is_a_page_that_says_so():
    with Client("127.0.0.1:9", timeout_seconds=1) as client:
        status, page = get(make_app(client, Catalogue(), ["vectors"]), "/", user="u1")
    assert status == 502
    assert "127.0.0.1:9" in page.by_id["error"]


def test_an_address_that_is_not_there_is_404(app):
    assert get(app, "/nowhere")[0] == 404
