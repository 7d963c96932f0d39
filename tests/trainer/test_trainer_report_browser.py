"""The page in a real browser: what the first screen shows, and that nothing is asked of the network."""

import http.server
import json
import shutil
import subprocess
import threading

import pytest

from trainer.report.write import write_report

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
WIDTH, HEIGHT = 1280, 800
PROBE = """
<script>
window.addEventListener("load", () => {
  const box = (one) => one.getBoundingClientRect();
  const files = performance.getEntriesByType("resource").map((one) => one.name);
  document.documentElement.dataset.found = JSON.stringify({
    width: innerWidth,  // the height of a headless window is less than asked for, that of its picture is not
    summary: box(document.querySelector("#top")).bottom,
    verdict: box(document.querySelector(".verdict")).bottom,
    overflow: document.documentElement.scrollWidth > innerWidth,
    invisible: [...document.querySelectorAll("svg[role=img]")].filter((one) => box(one).height < 50).length,
    requests: files.filter((name) => !name.startsWith("data:")),
    paper: getComputedStyle(document.body).backgroundColor,
  });
});
</script>
"""  # measures only; the page itself has no script

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine: apt-get install chromium"),
]


class Pages(http.server.SimpleHTTPRequestHandler):
    """Serves a directory and notes what is asked for."""

    asked: list[str] = []

    def do_GET(self):
        self.asked.append(self.path)
        super().do_GET()

    def log_message(self, *_):
        pass


def browse(profile, *arguments):
    command = [BROWSER, "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--disable-extensions"]
    command += ["--enable-logging=stderr", f"--user-data-dir={profile}", "--no-first-run", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=180, check=True)


@pytest.fixture(scope="module")
def directory(world, tmp_path_factory):
    home = tmp_path_factory.mktemp("pages")
    for model, overrides in (
        ("two_tower", ("train.epochs=2", "model.item_features=[genres]")),
        ("deepfm", ("train.learning_rate=0.01",)),
    ):
        path = write_report(world.job(model, *overrides), path=home / f"{model}.html")
        text = path.read_text(encoding="utf-8").replace("</body>", f"{PROBE}</body>")
        (home / f"{model}-probed.html").write_text(text, encoding="utf-8")
    return home


@pytest.mark.parametrize("model", ["two_tower", "deepfm"])
@pytest.mark.parametrize(("width", "height"), [(WIDTH, HEIGHT), (500, 900)])
def test_the_summary_fits_the_first_screen_without_errors_or_requests(directory, tmp_path, model, width, height):
    done = browse(tmp_path, f"--window-size={width},{height}", "--dump-dom", f"file://{directory}/{model}-probed.html")
    found = json.loads(done.stdout.split('data-found="')[1].split('"')[0].replace("&quot;", '"'))
    assert found["width"] == width
    assert found["verdict"] <= height
    assert found["summary"] <= height or width < WIDTH
    assert not found["overflow"]
    assert found["invisible"] == 0
    assert found["requests"] == []
    assert ":CONSOLE(" not in done.stderr, done.stderr


def test_the_page_asks_the_network_for_nothing(directory, tmp_path):
    class Noted(Pages):
        asked = []

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), lambda *given: Noted(*given, directory=str(directory)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        browse(tmp_path, "--dump-dom", f"http://127.0.0.1:{server.server_port}/two_tower.html")
    finally:
        server.shutdown()
    assert Noted.asked == ["/two_tower.html"]


def test_dark_and_light_readers_get_their_own_colours_and_the_screen_is_not_blank(directory, tmp_path):
    seen = {}
    for name, flag in (
        ("light", "--blink-settings=preferredColorScheme=1"),
        ("dark", "--blink-settings=preferredColorScheme=0"),
    ):
        picture = tmp_path / f"{name}.png"
        address = f"file://{directory}/two_tower-probed.html"
        window = f"--window-size={WIDTH},{HEIGHT}"
        done = browse(tmp_path / name, flag, window, "--dump-dom", address)
        seen[name] = done.stdout.split("paper&quot;:&quot;")[1].split("&quot;")[0]
        browse(tmp_path / name, flag, window, f"--screenshot={picture}", address)
        assert picture.stat().st_size > 20_000  # an empty screen of this size takes under 10 kB
    assert seen == {"light": "rgb(255, 255, 255)", "dark": "rgb(22, 24, 27)"}
