"""Load of which all is known before: a server that stalls when told to, planted rates, a histogram beside sorting."""

import io
import json
import math
import shutil
import subprocess
import sys
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console
from tensorflow_serving.apis import predict_pb2

from serving.loadtest.__main__ import main
from serving.loadtest.answered_version import answered_version
from serving.loadtest.histogram import FINE_BITS, Histogram
from serving.loadtest.outcome import Outcome
from serving.loadtest.plots import tail
from serving.loadtest.population import Population, population_of_dataset
from serving.loadtest.processes import run_in_processes
from serving.loadtest.report import table_of, warnings_of
from serving.loadtest.requests import ServerError, Share, Wishes, make_payloads
from serving.loadtest.run import METHOD, run_stage
from serving.loadtest.stage import Payload, Stage
from tests.serving.small_dataset import EVENTS, ITEMS, write_small_dataset
from tfrec.errors import ArtifactError, ConfigError

MICROSECONDS = st.lists(st.integers(0, 2**40), min_size=1, max_size=200)


def filled(values, bits=FINE_BITS):
    histogram = Histogram(bits)
    for value in values:
        histogram.record(value)
    return histogram


@given(MICROSECONDS, st.floats(0, 100))
def test_a_percentile_is_that_of_sorting_up_to_a_thousandth_more(values, percent):
    rank = max(1, math.ceil(round(percent / 100 * len(values), 6)))
    exact = sorted(values)[rank - 1]
    found = filled(values).percentile(percent)
    assert exact <= found <= exact * (1 + 2**-FINE_BITS)


@given(MICROSECONDS, MICROSECONDS)
def test_histograms_of_parts_add_up_to_that_of_the_whole(some, others):
    whole, parts = filled(some + others), filled(some)
    parts.add(filled(others))
    assert list(parts) == list(whole)
    assert (parts.count, parts.max, parts.mean) == (whole.count, whole.max, np.mean(some + others))


def test_percentiles_of_nothing_are_nan_and_other_bits_do_not_add_up():
    assert math.isnan(Histogram().percentile(99))
    with pytest.raises(ValueError, match="5 bits are added to 10"):
        filled([1]).add(filled([1], bits=5))


def test_the_plotted_tail_has_the_share_of_slower_requests():
    x, milliseconds = tail(filled([1000] * 90 + [2000] * 9 + [50_000]))
    assert np.allclose(x, [1 / 0.10, 1 / 0.01, 1 / 0.005])
    assert np.allclose(milliseconds, [1, 2, 50], rtol=1e-3)


def test_the_version_is_read_as_the_whole_message_has_it():
    response = predict_pb2.PredictResponse()
    response.model_spec.version.value = 1234
    response.outputs["scores"].CopyFrom(tf.make_tensor_proto([1.0] * 50))
    assert answered_version(response.SerializeToString()) == 1234
    assert answered_version(b"") == 0


def stage(target="unused", **given):
    settings = {"seconds": 10.0, "warmup_seconds": 0.0, "timeout_seconds": 5.0, **given}
    return Stage(target, **settings)


def test_poisson_arrivals_have_the_rate_and_the_gaps_of_a_poisson_process():
    starts = np.array(list(stage(rate=500.0, seconds=40.0).starts()))
    gaps = np.diff(starts)
    assert len(starts) == pytest.approx(20_000, abs=4 * math.sqrt(20_000))
    assert np.mean(gaps > 1 / 500) == pytest.approx(math.exp(-1), abs=0.02)
    assert starts.max() < 40


def test_constant_arrivals_are_evenly_apart():
    starts = np.array(list(stage(rate=50.0, arrivals="constant", seconds=2.0, warmup_seconds=1.0).starts()))
    assert len(starts) in (149, 150, 151)
    assert np.allclose(np.diff(starts), 0.02)


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_the_parts_of_a_stage_are_the_stage(processes):
    rates = [part.rate for part in stage(rate=100.0).parts(processes)]
    assert sum(rates) == pytest.approx(100)
    parts = stage(concurrency=2).parts(processes)
    assert sum(part.concurrency for part in parts) == 2
    assert all(part.concurrency for part in parts)
    assert len({part.seed for part in parts}) == len(parts)


class StallingServer:
    """Answers every call after `delay` seconds; from `stall_from` to `stall_to` after the first one, none at all."""

    def __init__(self, delay=0.0, stall=None, error=None):
        self.delay, self.stall, self.error = delay, stall, error
        self.began = None
        self.lock = threading.Lock()
        self.server = grpc.server(futures.ThreadPoolExecutor(256))
        handler = grpc.unary_unary_rpc_method_handler(self.answer)
        service, method = METHOD.strip("/").split("/")
        self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"

    def answer(self, request, context):
        with self.lock:
            self.began = self.began or time.perf_counter()
        if self.error is not None and request == b"bad":
            context.abort(self.error, "told to")
        since = time.perf_counter() - self.began
        wait = self.stall[1] - since if self.stall and self.stall[0] <= since < self.stall[1] else self.delay
        time.sleep(wait)
        response = predict_pb2.PredictResponse()
        response.model_spec.version.value = 5
        return response.SerializeToString()

    def __enter__(self):
        self.server.start()
        return self

    def __exit__(self, *_):
        self.server.stop(0).wait()


PAYLOADS = [Payload("m", b"good")]


def test_in_open_loop_a_stall_is_met_by_everybody_who_came_during_it():
    with StallingServer(stall=(0.5, 1.5)) as server:
        outcome = run_stage(stage(server.target, rate=100.0, arrivals="constant", seconds=2.0), PAYLOADS)
    # Half of the requests start in the second of the stall; the time left of it is even between 0 and 1 s.
    assert outcome.answered == pytest.approx(200, abs=2)
    assert outcome.response.percentile(75) / 1e6 == pytest.approx(0.5, abs=0.15)
    assert outcome.response.percentile(95) / 1e6 == pytest.approx(0.9, abs=0.15)
    assert outcome.response.percentile(25) / 1e6 < 0.15
    assert outcome.versions == {"m/5": outcome.answered}


def test_a_closed_loop_keeps_so_many_calls_under_way():
    with StallingServer(delay=0.02) as server:
        outcome = run_stage(stage(server.target, concurrency=4, seconds=1.5), PAYLOADS)
    in_flight = outcome.answers_per_second * outcome.response.mean / 1e6  # Little's law
    assert in_flight == pytest.approx(4, rel=0.1)
    assert outcome.answers_per_second < 4 / 0.02
    assert outcome.lateness.max == 0


def test_the_warm_up_is_not_counted():
    with StallingServer(stall=(0.0, 0.4)) as server:
        outcome = run_stage(
            stage(server.target, rate=50.0, arrivals="constant", warmup_seconds=0.8, seconds=0.8), PAYLOADS
        )
    assert outcome.answered == pytest.approx(40, abs=2)
    assert outcome.response.percentile(90) / 1e6 < 0.2
    assert set(outcome.by_second) == {0}


def test_failures_are_counted_by_code_and_timeouts_by_their_time_too():
    with StallingServer(error=grpc.StatusCode.UNAVAILABLE) as server:
        half_bad = [Payload("m", b"good"), Payload("m", b"bad")]
        outcome = run_stage(stage(server.target, rate=100.0, arrivals="constant", seconds=1.0), half_bad)
    assert outcome.failures["UNAVAILABLE"] == pytest.approx(outcome.requests / 2, abs=1)
    assert outcome.failed_share == pytest.approx(0.5, abs=0.02)
    assert outcome.response.count == outcome.answered
    with StallingServer(delay=0.6) as server:
        outcome = run_stage(stage(server.target, rate=20.0, seconds=1.0, timeout_seconds=0.2), PAYLOADS)
    assert outcome.failures == {"DEADLINE_EXCEEDED": outcome.requests}
    assert outcome.response.percentile(50) / 1e6 == pytest.approx(0.2, abs=0.1)


def test_a_server_that_is_not_there_is_counted_not_raised():
    outcome = run_stage(stage("127.0.0.1:9", rate=20.0, seconds=0.5), PAYLOADS)
    assert set(outcome.failures) == {"UNAVAILABLE"}
    assert outcome.failed_share == 1


@pytest.mark.slow
def test_processes_share_a_stage():
    with StallingServer() as server:
        outcome = run_in_processes(stage(server.target, rate=60.0, arrivals="constant", seconds=2.0), PAYLOADS, 2)
    assert outcome.answered == pytest.approx(120, abs=3)
    assert outcome.seconds == 2


def population(users=("u1", "u2"), weights=(3, 1), items=()):
    return Population(np.array(users, object), np.array(weights, float), np.array(items, object))


def test_users_are_drawn_by_weight_and_some_are_unknown():
    drawn = population().draw_users(20_000, 0.2, np.random.default_rng(1))
    share = {name: drawn.count(name) / 20_000 for name in ("u1", "u2")}
    assert share["u1"] == pytest.approx(0.8 * 0.75, abs=0.02)
    assert share["u2"] == pytest.approx(0.8 * 0.25, abs=0.02)
    unknown = [name for name in drawn if name not in ("u1", "u2")]
    assert len(set(unknown)) == len(unknown)


def parsed(payload):
    return predict_pb2.PredictRequest.FromString(payload.content)


def test_a_request_has_every_input_in_one_row_and_the_server_answers_it(shared_server, shared):
    people = population(items=[f"i{i}" for i in range(8)])
    mix = [Share.parse("recommender:recommend=3"), Share.parse("recommender:rank=1")]
    wishes = Wishes(k=3, excluded=2, candidates=4)
    payloads = make_payloads(shared_server.target, mix, people, wishes, number=400, seed=1)
    again = make_payloads(shared_server.target, mix, people, wishes, number=400, seed=1)
    assert [parsed(one) for one in payloads] == [parsed(one) for one in again]
    by_signature = {}
    for payload in payloads:
        by_signature.setdefault(parsed(payload).model_spec.signature_name, []).append(parsed(payload))
    assert len(by_signature["recommend"]) == pytest.approx(300, abs=40)
    recommend, rank = by_signature["recommend"][0], by_signature["rank"][0]
    assert {proto.tensor_shape.dim[0].size for proto in recommend.inputs.values()} == {1}
    assert sorted(recommend.inputs) == sorted(
        ["user_id", "boost", "genres", "year", "is_weekend", "k", "exclude_ids", "allow_ids", "exclude_seen"]
    )
    excluded = recommend.inputs["exclude_ids"].string_val
    assert excluded[0] == b""
    assert len(set(excluded)) == 3
    answer = shared.prediction.Predict(recommend, timeout=10)
    ids = tf.make_ndarray(answer.outputs["ids"])[0]
    assert len(ids) == 3
    assert not set(ids) & set(excluded[1:])
    ranked = tf.make_ndarray(shared.prediction.Predict(rank, timeout=10).outputs["ids"])[0]
    assert sorted(ranked) == sorted(rank.inputs["candidate_ids"].string_val)
    assert len(ranked) == 4


def test_a_version_or_a_label_can_be_asked(shared_server):
    def spec_of(mix):
        (payload,) = make_payloads(shared_server.target, [Share.parse(mix)], population(), Wishes(), number=1, seed=1)
        return parsed(payload).model_spec

    assert spec_of("recommender").WhichOneof("version_choice") is None
    spec = spec_of("recommender/versions/1:recommend=2")
    assert (spec.name, spec.version.value, spec.signature_name) == ("recommender", 1, "recommend")
    with pytest.raises(ServerError, match=r"metadata of model 'recommender/versions/9' at .*: NOT_FOUND: "):
        spec_of("recommender/versions/9")
    with pytest.raises(ServerError, match=r"Unrecognized servable version label: x"):
        spec_of("recommender/labels/x")


@pytest.mark.parametrize(
    ("mix", "people", "wishes", "message"),
    [
        ("recommender:rank", population(), Wishes(), r"rank: takes candidates; name items with --dataset or --items"),
        ("recommender", population(), Wishes(excluded=1), r"--exclude: no items are known"),
        (
            "recommender:embed",
            population(),
            Wishes(),
            r"has no signature 'embed'; it has: explain, items, rank",
        ),
        ("adder", population(), Wishes(), r"model 'adder' has no signature 'recommend or rank'"),
        ("adder:add_both", population(), Wishes(), r"adder:add_both: takes a, b; a signature that takes a user alone"),
    ],
)
def test_what_cannot_be_asked_is_said_before_the_load(shared_server, mix, people, wishes, message):
    with pytest.raises(ConfigError, match=message):
        make_payloads(shared_server.target, [Share.parse(mix)], people, wishes, number=1, seed=1)


@pytest.fixture
def users(tmp_path):
    path = tmp_path / "users.txt"
    path.write_text("u1\nu2\n\n")
    return path


def test_the_command_writes_a_table_a_page_and_json(shared_server, users, tmp_path, capsys):
    page = tmp_path / "load.html"
    flags = ["--server", shared_server.target, "--model", "recommender", "--users", str(users), "--rate", "40", "80"]
    flags += ["--seconds", "1", "--warmup-seconds", "0.2", "--html", str(page), "--json"]
    flags += ["--timeout-seconds", "20"]  # a machine that is shared may take long: what is asked here is no speed
    assert main([*flags, "--max-p99-ms", "20000", "--max-failed-share", "0"]) == 0
    written = capsys.readouterr()
    stages = json.loads(written.out)
    assert [one["stage"] for one in stages] == ["40/s", "80/s"]
    for one in stages:
        assert one["answered"] == one["requests"] == sum(one["versions"].values())
        assert one["versions"].keys() == {"recommender/1"}
        assert one["failures"] == {}
        times = list(one["response_ms"].values())[1:]
        assert times == sorted(times)
    assert "40/s" in written.err
    text = page.read_text(encoding="utf-8")
    assert text.count("<svg") == 3
    assert "100% recommender; 1 s each after 0.2 s; 1 process" in text
    assert "<script" not in text


def test_the_table_shows_every_figure_where_there_are_80_columns():
    outcome = Outcome(1.0)
    for milliseconds in (0.5, 7.25, 13.21, 1391.2):
        outcome.record(0.0, 0.0, milliseconds / 1e3, None, "m/1")
    outcome.failures["UNAVAILABLE"] = 12_345
    shown = io.StringIO()
    Console(file=shown, width=80).print(table_of([(Stage("t", 1.0, 0.0, 1.0, concurrency=1000), outcome)]))
    assert "…" not in shown.getvalue()
    assert {"1000", "callers", "answers/s", "7.25", "1391", "12345", "(99.97%)"} <= set(shown.getvalue().split())


def test_a_limit_that_does_not_hold_is_exit_code_1(shared_server, users, capsys):
    flags = ["--server", shared_server.target, "--model", "recommender", "--users", str(users), "--concurrency", "2"]
    flags += ["--seconds", "0.3", "--warmup-seconds", "0"]
    assert main([*flags, "--max-p99-ms", "0.000001"]) == 1
    assert "2 callers: --max-p99-ms 1e-06 does not hold: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--rate", "1"], "nothing to ask; pass --model NAME"),
        (["--model", "m", "--rate", "1"], "nobody to ask for; pass --dataset DIR, or --users FILE"),
        (["--model", "m"], "pass either --rate R"),
        (["--model", "m", "--rate", "1", "--concurrency", "1"], "pass either --rate R"),
        (["--model", "m", "--rate", "0"], "argument --rate: got '0'; allowed: above 0"),
        (["--model", "m", "--rate", "nan"], "argument --rate: got 'nan'; allowed: above 0"),
        (["--rate", "1", "--unknown-users", "2"], "got '2'; allowed: from 0 to 1"),
        (["--mix", "a:b=0", "--rate", "1"], "--mix: got 'a:b=0'; expected MODEL:SIGNATURE=WEIGHT"),
        (["--mix", "a=1.2.3", "--rate", "1"], "--mix: got 'a=1.2.3'"),
        (["--model", "m", "--users", "/nowhere", "--rate", "1"], "--users: /nowhere: cannot be read"),
        (["--model", "m", "--dataset", "/nowhere", "--rate", "1"], "/nowhere: not a dataset (no manifest.json)"),
    ],
)
def test_a_mistake_of_the_caller_is_one_line_and_exit_code_2(capsys, flags, message):
    assert main(flags) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_model_that_is_not_served_is_one_line_and_exit_code_1(shared_server, users, capsys):
    assert main(["--server", shared_server.target, "--model", "x", "--users", str(users), "--rate", "1"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("ServerError: metadata of model 'x' at ")
    assert err.count("\n") == 1


def test_a_generator_at_its_limit_says_so():
    outcome = Outcome(1.0)
    for i in range(100):
        outcome.record(i / 100, i / 100 + (0.05 if i > 90 else 0), i / 100 + 0.06, None, "m/1")
    (warning,) = warnings_of([(stage(rate=100.0), outcome)])
    assert warning.startswith("100/s: one request in a hundred was sent 50 ms late")


def test_processes_of_a_load_start_without_tensorflow():
    code = "import sys, serving.loadtest.processes; sys.exit('tensorflow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_small_dataset(tmp_path_factory.mktemp("small"))


@pytest.mark.parametrize(("drawn_by", "weight"), [("activity", len), ("uniform", lambda events: 1)])
def test_the_users_of_a_dataset_ask_as_often_as_they_acted(dataset, drawn_by, weight):
    found = population_of_dataset(dataset, drawn_by)
    assert dict(zip(found.user_ids, found.weights)) == {user: weight(events) for user, events in EVENTS.items()}
    assert sorted(found.item_ids) == ITEMS


def test_a_dataset_whose_files_are_gone_is_named(dataset, tmp_path):
    shutil.copytree(dataset, tmp_path / "copy")
    for path in (tmp_path / "copy" / "users").iterdir():
        path.unlink()
    with pytest.raises(ArtifactError, match=r"copy/users/part-.*: cannot be read .*; copy the dataset again"):
        population_of_dataset(tmp_path / "copy", "uniform")
