"""Events that come as lines of JSON."""

import subprocess
import sys

import pytest

from serving import append_events
from serving.users import UserRecord, open_store
from serving.users.store import load
from tfrec.errors import ArtifactError, DataError
from tfrec.schema import Schema

SCHEMA = Schema.model_validate(
    {
        "name": "t",
        "features": {
            "user_id": {"role": "user", "kind": "categorical", "id": True},
            "item": {"role": "item", "kind": "categorical", "id": True},
            "device": {"role": "context", "kind": "categorical"},
            "history": {"role": "user", "kind": "sequence", "length": 3, "labels": "positive"},
            "devices": {"role": "user", "kind": "sequence", "length": 3, "of": "device"},
        },
        "label": {"column": "rating", "threshold": 4},
        "timestamp": {"column": "time"},
    }
)
TV = '"values": {"device": "tv"}'


@pytest.fixture
def address(tmp_path):
    found = f"sqlite:{tmp_path}/users.db"
    store = open_store(found)
    load(store, SCHEMA, [("ann", UserRecord({"age": 30.0}, {"history": ["a"], "devices": ["pc"]}, 1000))])
    store.close()
    return found


def record_of(address, user):
    store = open_store(address)
    (found,) = store.get([user])
    store.close()
    return found


def test_each_line_is_an_event_as_it_comes(address):
    command = [sys.executable, "-m", "serving.append_events", "--store", address]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    lines = [
        f'{{"user": "ann", "item": "b", "time_ms": 2000, "label": 5, {TV}}}',
        "",
        f'{{"user": "ann", "item": 7, "time_ms": 3000, "label": "4.5", {TV}}}',
        f'{{"user": 42, "item": "c", "label": 1, {TV}}}',
    ]
    _, err = process.communicate("\n".join(lines) + "\n", timeout=120)
    assert (process.returncode, err) == (0, f"3 events are in {address}\n")
    expected = UserRecord({"age": 30.0}, {"history": ["a", "b", "7"], "devices": ["pc", "tv", "tv"]}, 3000)
    assert record_of(address, "ann") == expected
    assert record_of(address, "42").sequences == {"history": [], "devices": ["tv"]}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "line 1: is no JSON (Expecting property name"),
        ("[1]", "line 1: got a list; expected"),
        ('{"user": "ann"}', "line 1: has no 'item'; expected"),
        ('{"user": "ann", "itm": "b"}', "line 1: unknown key 'itm'; did you mean 'item'?"),
        ('{"user": null, "item": "b"}', "line 1: "),
        ('{"user": "ann", "item": "b", "time_ms": 1.5}', "line 1: time_ms: got 1.5; expected milliseconds"),
        ('{"user": "ann", "item": "b", "label": [1]}', "line 1: label: got [1]; expected a number or text"),
        ('{"user": "ann", "item": "b", "values": {"device": 1}}', "line 1: values: got {'device': 1}; expected"),
        ('{"user": "ann", "item": "b", "label": 5}', "line 1: the event has no 'device', of which a history consists"),
        (f'{{"user": "ann", "item": "b", "label": "x", {TV}}}', "line 1: the event's label is 'x'"),
    ],
)
def test_a_line_that_is_no_event_is_said_and_the_others_are_taken(address, capsys, line, message):
    good = f'{{"user": "ann", "item": "b", "label": 5, {TV}}}'
    with pytest.raises(DataError, match="1 lines were left out"):
        append_events.main(["--store", address], [line, good])
    err = capsys.readouterr().err.splitlines()
    assert err[0].startswith(message)
    assert err[1:] == [f"1 events are in {address}"]
    assert record_of(address, "ann").sequences["history"] == ["a", "b"]


def test_a_store_that_holds_nobody_or_is_gone_is_one_line(tmp_path):
    with pytest.raises(ArtifactError, match="holds no users; load them with"):
        append_events.main(["--store", f"sqlite:{tmp_path}/empty.db"], [])
    (tmp_path / "directory.db").mkdir()
    with pytest.raises(ArtifactError, match=r"0 events are in it; is the store running\?$"):
        append_events.main(["--store", f"sqlite:{tmp_path}/directory.db"], [])
