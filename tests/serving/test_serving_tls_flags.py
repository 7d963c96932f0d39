"""The commands that ask servers, against one that is encrypted."""

import json
import ssl

import pytest

from serving.explore.__main__ import main as explore
from serving.loadtest.__main__ import main as loadtest
from serving.recommend import main as recommend
from tests.serving.certificates import write_certificates
from tests.serving.tcp_proxy import TcpProxy


@pytest.fixture
def secured(shared_server, tmp_path):
    """The shared server behind TLS: its address, and the flag that trusts it."""
    pytest.importorskip("cryptography", reason="cryptography is not installed: no certificates can be made")
    write_certificates(tmp_path)
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(tmp_path / "server.pem", tmp_path / "server.key")
    server.set_alpn_protocols(["h2"])
    proxy = TcpProxy(shared_server.target, tls=server)
    yield proxy.target, ["--tls-root", str(tmp_path / "authority.pem")]
    proxy.kill()


def test_a_load_is_sent_over_tls(secured, tmp_path, capsys):
    target, trust = secured
    users = tmp_path / "users.txt"
    users.write_text("u1\n")
    flags = ["--server", target, "--model", "recommender", "--users", str(users), "--rate", "20", "--seconds", "0.5"]
    flags += ["--warmup-seconds", "0", "--timeout-seconds", "20", "--max-failed-share", "0"]
    assert loadtest([*flags, *trust]) == 0, capsys.readouterr().err
    assert loadtest([*flags, "--tls"]) == 1  # the system's authorities do not know this one
    assert "ServerError: metadata of model 'recommender'" in capsys.readouterr().err


def test_recommendations_and_the_page_are_asked_for_over_tls(secured, capsys):
    target, trust = secured
    flags = ["--server", target, "--model", "recommender", "--timeout-seconds", "20"]
    one = [*flags, "--user", "u1", "--k", "1", "--json"]
    assert recommend([*one, *trust]) == 0
    assert json.loads(capsys.readouterr().out)["items"][0]["id"] == "i7"
    assert recommend(one) == 1  # in plain text nobody answers
    # Its second model is asked for when the first has answered.
    assert explore([*flags, *trust, "--model", "missing"]) == 1
    assert "metadata of model 'missing'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--tls-key", "/nowhere.key"], "tls: certificate and private_key go together; give both, or neither"),
        (["--tls-root", "/nowhere.pem"], "tls: can't read /nowhere.pem: No such file or directory; name a PEM file"),
    ],
)
def test_a_mistake_is_one_line(capsys, flags, message):
    assert recommend(["--model", "m", "--user", "u", *flags]) == 2
    assert capsys.readouterr().err == f"ConfigError: {message}\n"
