"""The page beside a store of users: what is fresh there is asked with, and shown."""

import re
import signal
import subprocess
import sys
import urllib.request

import pytest

from serving import load_users
from serving.client import Client
from serving.explore.__main__ import main
from serving.explore.app import make_app
from serving.explore.catalogue import Catalogue, read_catalogue
from serving.explore.fresh import FreshUsers
from serving.users import Event
from tests.serving.explore.read_page import Page, best, get, rows
from tests.serving.small_dataset import EVENTS, TITLES


@pytest.fixture
def address(dataset, tmp_path):
    """Of a store with the users of the dataset."""
    found = f"sqlite:{tmp_path}/users.db"
    load_users.main(["--dataset", str(dataset), "--store", found])
    return found


@pytest.fixture
def fresh(address):
    opened = FreshUsers(address, timeout_seconds=40)
    yield opened
    opened.close()


@pytest.fixture
def app(target, dataset, fresh):
    with Client(target, 40, users=fresh.lookup) as client:
        yield make_app(client, read_catalogue(dataset), ["vectors", "cascade"], fresh=fresh)


def test_an_event_is_in_the_history_and_in_the_recommendations_of_the_next_page(app, fresh):
    fresh.lookup.append("u2", Event("i6", label=5))
    _, page = get(app, "/", user="u2", k=4)
    assert " ".join(page.lists[0].split()) == TITLES["i6"]
    assert page.lists[1:]  # what came before is still there
    assert [line[1] for line in rows(page.tables[0])] == [TITLES[item] for item, _ in best(2, 4, history=["i6"])]
    text = app.test_client().get("/?user=u2", base_url="http://127.0.0.1").get_data(as_text=True)
    assert "History, latest first <small>from the store</small>" in text


def test_a_cascade_is_asked_with_it_too(app, fresh):
    fresh.lookup.append("u2", Event("i6", label=5))
    _, page = get(app, "/", user="u2", k=8, left="cascade")
    near = [item for item, _ in best(1, 8, history=["i6"])]
    assert [line[1] for line in rows(page.tables[1])] == [TITLES[item] for item in near]


def test_somebody_new_to_the_dataset_has_the_stores_history_and_others_the_datasets(app, fresh, target):
    fresh.lookup.append("newcomer", Event("i3", label=5))
    _, page = get(app, "/", user="newcomer", k=2)
    assert [" ".join(text.split()) for text in page.lists] == [TITLES["i3"]]
    _, page = get(app, "/", user="nobody", k=2)
    assert page.lists == []
    assert re.search(r"store: [1-9]\d* found, [1-9]\d* missing, 0 late, 0 failed, 0 skipped", page.by_id["store"])
    with Client(target, 40, users=fresh.lookup) as client:
        without = make_app(client, Catalogue(), ["vectors"], fresh=fresh)
        _, page = get(without, "/", user="newcomer", k=1)
    assert "i3" in page.lists[0]


def test_a_store_that_breaks_leaves_the_datasets_history_and_is_counted(app, tmp_path):
    for path in tmp_path.glob("users.db*"):
        path.write_bytes(b"no database")
    status, page = get(app, "/", user="u1", k=3)
    assert status == 200
    assert len(page.lists) == len(EVENTS["u1"][-3:])
    assert len(rows(page.tables[0])) == 3
    assert re.search(r"[1-9] failed", page.by_id["store"])


def test_the_command_opens_the_store_and_says_where_it_holds_nobody(target, dataset, address, tmp_path, capsys):
    capsys.readouterr()
    flags = ["--server", target, "--model", "vectors"]
    assert main([*flags, "--store", f"sqlite:{tmp_path}/empty.db"]) == 2
    assert "holds no users; load them with: python -m serving.load_users" in capsys.readouterr().err
    command = [sys.executable, "-m", "serving.explore", *flags, "--store", address, "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        page = next(found[0] for line in process.stderr if (found := re.search(r"http://127\.0\.0\.1:\d+/", line)))
        with urllib.request.urlopen(f"{page}?user=u1", timeout=60) as response:
            assert len(Page(response.read().decode()).lists) == 3
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()
        process.stderr.close()
