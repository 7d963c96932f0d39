"""The page in a real browser."""

import contextlib
import html
import json
import shutil
import subprocess
import threading
import urllib.parse

import pytest
import waitress

from tests.serving.explore.read_page import Page, best, rows
from tests.serving.small_dataset import TITLES

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
