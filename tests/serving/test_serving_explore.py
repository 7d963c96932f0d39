"""The page, read as a browser reads it, of models whose answers NumPy knows."""

import contextlib
import html
import html.parser
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
import urllib.request

import numpy as np
import pytest
import waitress

from serving.client import Client
from serving.explore.__main__ import main
from serving.explore.app import make_app
from serving.explore.catalogue import Catalogue, read_catalogue
from tests.serving.running_server import running_server
from tests.serving.small_dataset import EVENTS, ITEMS, TITLES, write_small_dataset
from tests.serving.vector_recommender import VECTORS, StagedRecommender, VectorRecommender, scores_of


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """A server with `vectors` in versions 1 and 2, the ranking `upside_down`, and a `cascade` of both."""
    root = tmp_path_factory.mktemp("served")
    for version in VECTORS:
        VectorRecommender(version).save(root / "vectors" / str(version))
    VectorRecommender(1).save(root / "upside_down" / "1")
    StagedRecommender(1).save(root / "cascade" / "1")
    config = root / "models.config"
    config.write_text(f"""
        model_config_list {{
          config {{ name: "vectors" base_path: "{root}/vectors" model_version_policy {{ all {{}} }} }}
          config {{ name: "upside_down" base_path: "{root}/upside_down" }}
          config {{ name: "cascade" base_path: "{root}/cascade" }}
        }}""")
    with running_server(f"--model_config_file={config}") as address:
        yield address


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("small"))


@pytest.fixture(scope="module")
def client(target):
    with Client(target, timeout_seconds=20) as found:
        yield found


@pytest.fixture(scope="module")
def app(client, dataset):
    return make_app(client, read_catalogue(dataset), ["vectors"], ["upside_down"])


class Page(html.parser.HTMLParser):
    """The text of each table's cells, of list items and of elements with an id; links; what a browser would load."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.tables, self.lists, self.by_id, self.links, self.loaded = [], [], {}, [], []
        self._open = []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = dict(attributes)
        if tag == "table":
            self.tables.append([])
        if tag == "tr":
            self.tables[-1].append([])
        if tag in ("td", "th"):
            self.tables[-1][-1].append("")
        if tag == "li":
            self.lists.append("")
        if tag == "a":
            self.links.append(found["href"])
        self.loaded += [found[name] for name in ("src", "href") if name in found and tag not in ("a",)]
        if tag not in ("meta", "link", "input", "option"):
            self._open.append((tag, found.get("id")))

    def handle_endtag(self, tag):
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data):
        tags = [tag for tag, _ in self._open]
        if {"td", "th"} & set(tags):
            self.tables[-1][-1][-1] += data
        if "li" in tags:
            self.lists[-1] += data
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data


def get(app, address, **arguments):
    response = app.test_client().get(address, query_string=arguments, base_url="http://127.0.0.1:8510")
    return response.status_code, Page(response.get_data(as_text=True))


def rows(table):
    """A table's lines without its head, spaces made single."""
    return [[" ".join(cell.split()) for cell in line] for line in table[1:]]


def best(version, k, history=(), hidden=("i7",)):
    """Items with their scores, best first, by NumPy."""
    scores = scores_of(version, history)
    order = [ITEMS[i] for i in np.argsort(-scores, kind="stable") if ITEMS[i] not in hidden]
    return [(item, scores[ITEMS.index(item)]) for item in order[:k]]


def test_a_users_recommendations_stand_with_titles_scores_and_reasons(app):
    status, page = get(app, "/", user="u1", k=4)
    assert status == 200
    (table,) = page.tables
    expected = best(2, 4)  # the newest version
    assert [(line[0], line[1], line[2]) for line in rows(table)] == [
        (str(place), TITLES[item], f"{score:.4f}") for place, (item, score) in enumerate(expected, start=1)
    ]
    assert {line[3] for line in rows(table)} == {f"{TITLES['i0']} 0.75 · user=u1 0.25"}


def test_the_history_stands_latest_first_and_says_what_training_has_not_seen(app):
    _, page = get(app, "/", user="u1")
    seen_in_training = {item for events in EVENTS.values() for item in events[:-2]}  # the last two are held out
    expected = [
        TITLES[item] if item in seen_in_training else "an item that training has not seen"
        for item in reversed(EVENTS["u1"][-3:])
    ]
    assert [" ".join(text.split()) for text in page.lists] == expected
    assert expected[2] == TITLES["i3"]


def test_two_versions_stand_side_by_side_with_the_place_in_the_other(app):
    status, page = get(app, "/", user="u1", k=3, left="vectors/versions/1", right="vectors/versions/2")
    assert status == 200
    left, right = ([item for item, _ in best(version, 3)] for version in (1, 2))
    for table, own, other in zip(page.tables, (left, right), (right, left), strict=True):
        assert [line[1] for line in rows(table)] == [TITLES[item] for item in own]
        assert [line[-1] for line in rows(table)] == [
            str(other.index(item) + 1) if item in other else "–" for item in own
        ]
    assert page.by_id["common"] == f"{len(set(left) & set(right))} of 3 items stand in both lists."


def test_the_candidates_stand_behind_their_ranking(app):
    _, page = get(app, "/", user="u1", k=3, left="vectors/versions/1", ranker="upside_down")
    candidates = [item for item, _ in best(1, 8)]
    ranked, behind = page.tables
    assert [line[1] for line in rows(behind)] == [TITLES[item] for item in candidates]
    upside_down = list(reversed(candidates))[:3]
    assert [line[1] for line in rows(ranked)] == [TITLES[item] for item in upside_down]
    assert [line[-1] for line in rows(ranked)] == [str(candidates.index(item) + 1) for item in upside_down]


def test_a_cascade_says_in_one_request_what_each_stage_did(client, dataset):
    app = make_app(client, read_catalogue(dataset), ["cascade", "vectors"], ["upside_down"])
    near = [item for item, _ in best(1, 8)]
    listed = near[::-1]
    even = [item for item in ITEMS if int(item[1:]) % 2 == 0]

    def places(item):
        return [str(found.index(item) + 1) if item in found else "–" for found in (near, even, listed)]

    status, page = get(app, "/", user="u1", k=3)
    assert status == 200
    ranked, before = page.tables
    assert ranked[0] == ["", "item", "score", "because of", "near", "even", "ranking"]
    assert [(line[1], line[3], line[4:]) for line in rows(ranked)] == [
        (TITLES[item] + (" explored" if place == 2 else ""), f"{TITLES['i0']} 0.75", places(item))
        for place, item in enumerate(listed[:3], start=1)
    ]
    assert [(line[1], line[2], line[3:]) for line in rows(before)] == [
        (TITLES[item], f"{1 / (60 + place):.4f}", places(item)) for place, item in enumerate(near, start=1)
    ]
    text = app.test_client().get("/?user=u1", base_url="http://127.0.0.1").get_data(as_text=True)
    times = re.search(r'class="times">(.*?)</p>', text)[1]
    assert re.fullmatch(r"all stages \d+\.\d ms · titles \d+\.\d ms", times)
    _, page = get(app, "/", user="u1", k=8, seen="1")
    assert len(rows(page.tables[0])) == 8
    _, page = get(app, "/", user="u1", k=2, right="vectors", ranker="upside_down")
    assert [table[0][-2:] for table in page.tables[::2]] == [["before", "beside"]] * 2


def test_seen_items_come_when_they_are_asked_for(app):
    _, page = get(app, "/", user="u1", k=8, left="vectors/versions/1", seen="1")
    assert [line[1] for line in rows(page.tables[0])] == [TITLES[item] for item, _ in best(1, 8, hidden=())]


def test_an_unknown_user_is_answered_and_said_to_be_one(app):
    status, page = get(app, "/", user="nobody")
    assert status == 200
    assert len(rows(page.tables[0])) == 7
    status, page = get(app, "/", user="ü")
    assert (status, page.tables[0] != []) == (200, True)


def test_similar_items_are_nearest_by_cosine_and_those_for_who_took_it_alone(app):
    status, page = get(app, "/item", id="i2", left="vectors/versions/1", k=3)
    assert status == 200
    vectors = VECTORS[1] / np.linalg.norm(VECTORS[1], axis=1, keepdims=True)
    cosines = vectors @ vectors[2]
    nearest = [i for i in np.argsort(-cosines) if i != 2][:3]
    by_vectors, by_taking = page.tables
    assert [line[1:] for line in rows(by_vectors)] == [[TITLES[ITEMS[i]], f"{cosines[i]:.4f}"] for i in nearest]
    taken = best(1, 3, history=["i2"], hidden=("i2", "i7"))
    assert [line[1:] for line in rows(by_taking)] == [[TITLES[item], f"{score:.4f}"] for item, score in taken]


def test_every_link_of_a_page_leads_to_a_page(app):
    _, page = get(app, "/", user="u1", k=2, right="vectors/versions/1", ranker="upside_down")
    links = set(page.links)
    assert len(links) > 4
    for link in links:
        status = app.test_client().get(link, base_url="http://127.0.0.1:8510").status_code
        assert status in (200, 302), link


def test_another_user_is_one_of_the_dataset_and_the_rest_of_the_question_stays(app):
    response = app.test_client().get(
        "/another?k=5&right=vectors/versions/1&_anchor=x", base_url="http://127.0.0.1:8510"
    )
    assert response.status_code == 302
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(response.headers["Location"]).query)
    assert asked.pop("user")[0] in EVENTS
    assert asked == {"k": ["5"], "right": ["vectors/versions/1"]}


def test_without_a_dataset_titles_come_from_the_model(client):
    app = make_app(client, Catalogue(), ["vectors"])
    _, page = get(app, "/", user="u1", k=1)
    assert rows(page.tables[0])[0][1] == f"Model's title of {best(2, 1)[0][0]}"
    assert page.lists == []
    status, page = get(app, "/item", id="i2")
    assert status == 200
    assert page.tables == []


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


BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
in_a_browser = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium"),
]
# Fills in the form as a visitor would; on the page that it leads to, measures.
VISITOR = """
<script>
window.addEventListener("load", () => {
  if (!location.search) {
    document.querySelector("[name=user]").value = "u1";
    document.querySelector("[name=right]").value = "vectors/versions/1";
    document.querySelector("[name=ranker]").value = "upside_down";
    document.querySelector("form button").click();
    return;
  }
  const style = getComputedStyle(document.body);
  document.documentElement.dataset.found = JSON.stringify({
    width: innerWidth,
    overflow: document.documentElement.scrollWidth > innerWidth,
    requests: performance.getEntriesByType("resource").map((one) => new URL(one.name).pathname),
    search: location.search,
    lefts: [...document.querySelectorAll(".side")].map((one) => Math.round(one.getBoundingClientRect().left)),
    is_styled: style.fontFamily.includes("system-ui"),
  });
});
</script>
"""


@contextlib.contextmanager
def listening(app):
    server = waitress.create_server(app, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.close()


def with_visitor(app):
    """The application with the visitor's script on each page, and without the policy that would stop it."""

    def visited(environment, start_response):
        started = []
        body = b"".join(app(environment, lambda *given: started.append(given)))
        status, headers, *_ = started[0]
        body = body.replace(b"</body>", VISITOR.encode() + b"</body>")
        kept = [(name, value) for name, value in headers if name.lower() not in POLICY_AND_LENGTH]
        start_response(status, [*kept, ("Content-Length", str(len(body)))])
        return [body]

    return visited


POLICY_AND_LENGTH = ("content-security-policy", "content-length")


def browse(profile, *arguments):
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"]
    command += ["--enable-logging=stderr", f"--user-data-dir={profile}", "--no-first-run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)


class TestInABrowser:
    pytestmark = in_a_browser

    @pytest.mark.parametrize(("width", "columns"), [(1280, 2), (500, 1)])
    def test_a_visitor_chooses_a_user_and_gets_a_page_that_fits(self, app, tmp_path, width, columns):
        with listening(with_visitor(app)) as address:
            flags = [f"--window-size={width},900", "--virtual-time-budget=20000", "--dump-dom", f"{address}/"]
            done = browse(tmp_path, *flags)
        found = json.loads(html.unescape(done.stdout.split('data-found="')[1].split('"')[0]))
        assert found["width"] == width
        assert not found["overflow"]
        assert found["is_styled"]
        assert set(found["requests"]) == {"/style.css"}
        assert len(set(found["lefts"])) == columns
        asked = urllib.parse.parse_qs(found["search"].lstrip("?"))
        assert asked["user"] == ["u1"]
        page = Page(done.stdout)
        ranked, behind, ranked_by_first, _ = page.tables
        assert [line[1] for line in rows(behind)] == [TITLES[item] for item, _ in best(2, 8)]
        assert rows(ranked) != rows(ranked_by_first)

    def test_the_browser_has_nothing_to_complain_about_and_shows_something(self, app, tmp_path):
        with listening(app) as address:
            picture = tmp_path / "page.png"
            pages = (f"{address}/?user=u1&right=vectors/versions/1", f"{address}/item?id=i2")
            for number, page in enumerate(pages):
                done = browse(tmp_path / str(number), "--dump-dom", page)
                assert ":CONSOLE(" not in done.stderr, done.stderr
            browse(tmp_path / "shot", "--window-size=1280,800", f"--screenshot={picture}", pages[0])
        assert picture.stat().st_size > 20_000  # an empty screen of this size takes under 10 kB


def outside_address():
    """An address of this machine that is not loopback; None where it has none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # sends nothing
        except OSError:
            return None
        return probe.getsockname()[0]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_command_serves_on_loopback_alone_until_a_signal(target, dataset, number):
    command = [sys.executable, "-m", "serving.explore", "--server", target, "--model", "vectors", "--port", "0"]
    process = subprocess.Popen([*command, "--dataset", str(dataset)], stderr=subprocess.PIPE, text=True)
    try:
        lines = iter(process.stderr)
        address = next(found[0] for line in lines if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        with urllib.request.urlopen(f"{address}?user=u1", timeout=60) as response:
            assert response.status == 200
            assert TITLES["i3"] in "".join(Page(response.read().decode()).lists)
        port = urllib.parse.urlsplit(address).port
        outside = outside_address()
        if outside not in (None, "127.0.0.1"):
            with socket.socket() as probe:
                assert probe.connect_ex((outside, port)) != 0
        process.send_signal(number)
        assert process.wait(timeout=60) == 0
        assert "Traceback" not in process.stderr.read()
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("flags", "code", "message"),
    [
        ([], 2, "the following arguments are required: --model"),
        (["--model", "vectors", "--dataset", "/nowhere"], 2, "/nowhere: not a dataset (no manifest.json)"),
        (["--model", "vectrs"], 1, "vectrs"),
        (["--model", "vectors", "--port", "99999"], 2, "argument --port: got '99999'; allowed: 0 to 65535"),
    ],
)
def test_a_mistake_is_one_line(target, capsys, flags, code, message):
    assert main(["--server", target, *flags]) == code
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_port_that_is_taken_is_one_line(target, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["--server", target, "--model", "vectors", "--port", str(port)]) == 2
    assert f"can't listen on 127.0.0.1:{port}: " in capsys.readouterr().err


def test_help_shows_an_example_first(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m serving.explore")
