"""`python -m trainer.off_policy`: log files and trained jobs, against hand calculations and loops over the records."""

import csv
import io
import json
import math
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.trainer.planted_world import built_once, quiet_console, read_csv, write_csv
from trainer import off_policy
from trainer.job import JobDirectory
from trainer.model import load_model
from trainer.run import run_job

COLUMNS = {
    "user": ["a", "a", "b", "c"],
    "reward": [1.0, 0.0, 1.0, 1.0],
    "propensity": [0.5, 0.25, 0.5, 1.0],
    "pi": [0.25, 0.5, 0.75, 1.0],
    "q": [0.5, 0.5, 1.0, 1.0],
    "q_pi": [0.6, 0.4, 0.8, 0.6],
}  # weights 0.5, 2, 1.5, 1


def write_log(directory, ending="csv", **changes):
    path = directory / f"log.{ending}"
    columns = {**COLUMNS, **changes}
    rows = [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]
    if ending == "csv":
        write_csv(path, rows)
    elif ending == "jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    else:
        pq.write_table(pa.Table.from_pylist(rows), path)
    return str(path)


@pytest.fixture
def judged(capsys):
    """Run the command in this process: its JSON."""

    def run(*arguments):
        off_policy.main([*map(str, arguments), "--json"])
        return json.loads(capsys.readouterr().out)

    return run


@pytest.fixture
def refusal():
    """The error's line, of a command that must fail."""

    def run(*arguments):
        from tfrec.errors import TfrecError

        with pytest.raises(TfrecError) as caught:
            off_policy.main(list(map(str, arguments)))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return run


# --- Log files ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_a_log_file_of_any_format_gives_the_values_of_a_hand_calculation(tmp_path, judged, ending):
    log = write_log(tmp_path, ending)
    found = judged(
        "--log",
        log,
        "--target-probability",
        "pi",
        "--predicted",
        "q",
        "--predicted-target",
        "q_pi",
        "--cluster",
        "user",
    )
    values = {name: estimate["value"] for name, estimate in found["estimates"].items()}
    assert values["ips"] == pytest.approx(3 / 4)
    assert values["self_normalised_ips"] == pytest.approx(3 / 5)
    assert values["direct_method"] == pytest.approx(0.6)
    assert values["doubly_robust"] == pytest.approx(0.6 + (0.25 - 1) / 4)
    assert found["logged_value"]["value"] == pytest.approx(0.75)
    assert found["weights"]["actions"]["effective_rows"] == pytest.approx(25 / (0.25 + 4 + 2.25 + 1))
    by_user = [0.5 / 4 * 3 - 2 * 0.25, (1.5 - 0.75) / 4 * 3, (1 - 0.75) / 4 * 3]  # (3/4) Σ (w r − 3/4)
    by_user[0] = ((0.5 - 0.75) + (0 - 0.75)) / 4 * 3
    error = math.sqrt(sum(u * u for u in by_user) / 2 / 3)
    assert found["estimates"]["ips"]["standard_error"] == pytest.approx(error)
    assert "4 rows of 3 user" in found["log"]
    assert any("effective independent units" in warning for warning in found["warnings"])


def test_the_command_prints_a_table_to_stderr_and_json_alone_to_stdout(tmp_path):
    log = write_log(tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "trainer.off_policy", "--log", log, "--target-probability", "pi", "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["estimates"]["ips"]["value"] == pytest.approx(0.75)
    assert "self_normalised_ips" in done.stderr
    assert "warning: only" in done.stderr
    failed = subprocess.run(
        [sys.executable, "-m", "trainer.off_policy", "--log", log, "--target-probability", "pii"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert failed.returncode == 2
    assert failed.stderr.strip() == f"DataError: {log}: no column 'pii'; did you mean 'pi'?"


def test_slates_of_a_log_file_are_those_of_a_hand_calculation(tmp_path, judged):
    log = write_log(
        tmp_path,
        user=["x", "x", "y", "y"],
        request=[7, 7, 9, 9],
        position=[2, 1, 1, 2],
        reward=[1, 0, 1, 1],
        propensity=[0.5, 0.5, 0.5, 0.25],
        pi=[0.5, 1.0, 0.25, 0.5],
        q=[0.5, 0.5, 0.5, 0.5],
        q_pi=[1.0, 1.0, 0.25, 0.5],
    )
    found = judged(
        *("--log", log, "--target-probability", "pi", "--request", "request", "--position", "position"),
        *("--position-propensity", "q", "--position-target-probability", "q_pi", "--cluster", "user"),
    )
    # Slate 7: position 1 ratio 2, reward 0; position 2 ratio 1, reward 1. Slate 9: ratios ½ and 2, rewards 1 and 1.
    values = {name: estimate["value"] for name, estimate in found["estimates"].items()}
    assert values["standard_ips"] == pytest.approx((2 * 1 + 1 * 2) / 2)
    assert values["reward_interaction_ips"] == pytest.approx((0.5 + (2 * 1 + 1 * 1)) / 2)
    assert values["self_normalised_reward_interaction_ips"] == pytest.approx(0.5 / 2.5 + 3 / 3)
    assert values["independent_ips"] == pytest.approx((0.5 + (2 * 1 + 1 * 1)) / 2)
    assert found["log"] == "2 slates, 2 of user"


PREDICTED = ("--target-probability", "pi", "--predicted", "q", "--predicted-target", "q_pi")


@pytest.mark.parametrize(
    ("changes", "flags", "message"),
    [
        ({}, (), "give --job-dir or --target-probability"),
        ({}, ("--target-probability", "pi", "--job-dir", "j"), "two target policies"),
        ({}, ("--target-probability", "pi", "--epsilon", "0.1"), "--epsilon has no meaning"),
        ({}, ("--target-probability", "pi", "--position", "p"), "needs --request"),
        ({}, ("--target-probability", "pi", "--propensity", "prop"), "no column 'prop'"),
        ({}, ("--target-probability", "user"), "'user' is not of numbers"),
        ({}, ("--target-probability", "pi", "--predicted", "q"), "--predicted and --predicted-target go together"),
        (
            {"propensity": [0.5, 0.0, 1, 1]},
            ("--target-probability", "pi"),
            "column 'propensity' is 0 in row 2 (the first is row 1), and 1 in all",
        ),
        ({"propensity": [0.5, 1.2, 1, 1]}, ("--target-probability", "pi"), "allowed: above 0, up to 1"),
        ({"q": [1, 1, math.nan, 1]}, PREDICTED, "column 'q' is nan in row 3 (the first is row 1)"),
        ({"pi": [0.5, -0.5, 1, 1]}, ("--target-probability", "pi"), "column 'pi' is -0.5 in row 2"),
        ({"pi": [0, 0, 0, 0]}, ("--target-probability", "pi"), "no overlap"),
        (
            {"reward": [1, None, 1, 1]},
            ("--target-probability", "pi"),
            "column 'reward' is empty in row 2 (the first is row 1)",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_what_is_wrong(tmp_path, refusal, changes, flags, message):
    log = write_log(tmp_path, "parquet", **changes)
    error = refusal("--log", log, *flags)
    assert message in error
    if "has no meaning" not in error and not error.startswith("--"):
        assert log in error


def test_logs_that_are_absent_or_of_no_known_format_and_requests_with_a_place_taken_twice_are_refused(
    tmp_path, refusal
):
    assert "no such file" in refusal("--log", tmp_path / "none.csv", "--target-probability", "pi")
    assert "allowed: .csv" in refusal("--log", tmp_path / "log.txt", "--target-probability", "pi")
    assert "nothing to judge" in refusal("--target-probability", "pi")
    log = write_log(tmp_path, request=[1, 1, 2, 2], position=[1, 1, 1, 2])
    flags = ("--log", log, "--target-probability", "pi", "--request", "request", "--position", "position")
    assert "several rows at position 1" in refusal(*flags)


def test_flags_and_the_job_are_looked_at_before_the_log(tmp_path, refusal):
    log = tmp_path / "log.csv"
    log.mkdir()  # reading it would be another error
    job = ("--log", log, "--job-dir", tmp_path / "job")
    for flags, message in (
        (("--temperature", "0"), "--temperature: got 0; allowed: above 0"),
        (("--temperature", "nan"), "--temperature: got nan; allowed: above 0"),
        (("--epsilon", "1.5"), "--epsilon: got 1.5; allowed: 0 to 1"),
        ((), f"{tmp_path / 'job'}: not a job"),
    ):
        assert refusal(*job, *flags).startswith(message)
    slates = ("--log", log, "--target-probability", "pi", "--request", "r", "--position", "p")
    assert refusal(*slates, "--position-propensity", "q").startswith(
        "--position-propensity and --position-target-probability go together"
    )


# --- Jobs -----------------------------------------------------------------------------------------------------------

SHOWN = 4


@pytest.fixture(scope="module")
def impressions(world):
    """A dataset of requests that show four random items in a random order: each slot has propensity ¼."""
    logs = world.root / "logs_of_impressions"
    source = world.logs
    with built_once(logs) as must_build:
        if must_build:
            scratch = world.root / "logs_of_impressions.tmp"
            scratch.mkdir()
            for name in ("users.csv", "items.csv"):
                write_csv(scratch / name, read_csv(source / name))
            rng = np.random.default_rng(3)
            users = [row["user_id"] for row in read_csv(source / "users.csv")]
            items = [row["item_id"] for row in read_csv(source / "items.csv")]
            rows = []
            for request in range(600):
                user = users[rng.integers(len(users))]
                for item in rng.choice(len(items), SHOWN, replace=False):
                    clicked = int(rng.random() < 0.1 + 0.6 * (item % 5 == 0))
                    time = 1_700_000_000 + 600 * request
                    rows.append(
                        {"user_id": user, "item_id": items[item], "clicked": clicked, "p": 0.25, "request": request}
                        | {"timestamp": time}
                    )
            write_csv(scratch / "events.csv", rows)
            scratch.rename(logs)
    world.dataset(
        "impressions",
        "label={column: clicked, threshold: 1}",
        "propensity={column: p}",
        "request={column: request}",
        "split={strategy: temporal, validation: 0.1, test: 0.3}",
        logs=logs,
    )
    return logs


@pytest.fixture(scope="module")
def job_of(world, impressions):
    def build(model, *overrides):
        path = world.root / "jobs" / f"impressions-{model}"
        with built_once(path) as must_build:
            if must_build:
                config = world.config(model, *overrides, dataset="impressions")
                unfinished = JobDirectory(f"{path}.unfinished")
                run_job(config, unfinished, quiet_console(), must_evaluate=False)
                unfinished.path.rename(path)
        return path

    return build


@pytest.fixture(scope="module")
def retrieval_job(job_of):
    return job_of("two_tower", "train.epochs=1")


@pytest.fixture(scope="module")
def ranking_job(job_of):
    return job_of("deepfm", "train.epochs=1", "train.learning_rate=0.01")


def softmax(scores, temperature):
    odds = [math.exp((score - max(scores)) / temperature) for score in scores]
    return [value / sum(odds) for value in odds]


def features_of(records, model):
    return {name: records[name] for name in model.required_features}


def self_normalised(rewards, weights):
    return sum(w * r for w, r in zip(weights, rewards, strict=True)) / sum(weights)


def test_a_retrieval_job_is_softmax_over_the_catalogue_of_each_records_scores(retrieval_job, judged):
    found = judged("--job-dir", retrieval_job, "--temperature", "2.5")
    model, data, _ = load_model(JobDirectory(retrieval_job))
    records, weights = data.test, []
    for scores, item in zip(model.scores(features_of(records, model)).numpy(), records["item_index"], strict=True):
        weights.append(softmax(scores.tolist(), 2.5)[item] / 0.25)
    estimates = found["estimates"]
    expected = self_normalised(records["label"].tolist(), weights)
    assert estimates["self_normalised_ips"]["value"] == pytest.approx(expected, rel=1e-4)
    assert estimates["ips"]["value"] == pytest.approx(np.mean(weights * records["label"]), rel=1e-4)
    assert "doubly_robust" not in estimates
    assert f"of {len(set(records['user_index'].tolist()))} users" in found["log"]
    # The log chose among four items, the policy among all: its weights cannot have a mean of 1, and that is said.
    assert any("the mean weight is" in warning for warning in found["warnings"])


def test_a_ranking_job_chooses_among_the_items_of_the_request_and_is_its_own_reward_model(ranking_job, judged):
    found = judged("--job-dir", ranking_job, "--temperature", "0.5")
    model, data, _ = load_model(JobDirectory(ranking_job))
    records = data.test
    logits = model.logits(features_of(records, model)).numpy().tolist()
    predicted = [1 / (1 + math.exp(-logit)) for logit in logits]
    requests = records["request_id"].tolist()
    weights, terms = [], []
    for row, request in enumerate(requests):
        among = [other for other, name in enumerate(requests) if name == request]
        chances = softmax([logits[other] for other in among], 0.5)
        weights.append(chances[among.index(row)] / 0.25)
        mean = sum(chance * predicted[other] for chance, other in zip(chances, among, strict=True))
        terms.append(mean + weights[-1] * (records["label"][row] - predicted[row]))
    estimates = found["estimates"]
    assert estimates["self_normalised_ips"]["value"] == pytest.approx(
        self_normalised(records["label"].tolist(), weights), rel=1e-4
    )
    assert estimates["doubly_robust"]["value"] == pytest.approx(np.mean(terms), rel=1e-4)
    assert found["weights"]["actions"]["mean"] == pytest.approx(1, abs=1e-6)
    assert found["weights"]["actions"]["largest"] == pytest.approx(max(weights), rel=1e-4)


def test_a_ranking_job_may_choose_from_the_catalogue_and_epsilon_greedily(ranking_job, judged):
    found = judged("--job-dir", ranking_job, "--candidates", "catalogue", "--epsilon", "0.3")
    model, data, _ = load_model(JobDirectory(ranking_job))
    records, size, of_item = data.test, data.catalogue.size, []
    rows = len(records["label"])
    for item in range(size):
        batch = features_of(records, model)
        of_items = data.catalogue.features
        batch |= {name: np.stack([of_items[name][item]] * rows) for name in batch if name in of_items}
        of_item.append(model.logits(batch).numpy())
    best = np.argmax(of_item, axis=0)
    weights = [(0.3 / size + 0.7 * (b == item)) / 0.25 for b, item in zip(best, records["item_index"], strict=True)]
    assert found["estimates"]["ips"]["value"] == pytest.approx(np.mean(weights * records["label"]), rel=1e-4)
    assert found["estimates"]["ips"]["value"] > 0


def test_a_log_file_with_the_jobs_ids_is_judged_as_a_dataset_of_it_would_be(
    ranking_job, impressions, world, tmp_path, judged, refusal
):
    """DeepFM without its history: users/ then hold what the records hold."""
    events = read_csv(impressions / "events.csv")
    times = sorted({row["timestamp"] for row in events})
    _, data, _ = load_model(JobDirectory(ranking_job))
    test = [row for row in events if int(row["timestamp"]) * 1000 >= data.test["event_time_ms"].min()]
    assert len(test) == len(data.test["label"])
    assert len(times) == 600
    log = tmp_path / "log.csv"
    write_csv(log, test)
    flags = ("--log", log, "--reward", "clicked", "--propensity", "p", "--request", "request", "--job-dir", ranking_job)
    found, expected = judged(*flags), judged("--job-dir", ranking_job)
    for name in ("ips", "self_normalised_ips", "doubly_robust"):
        assert found["estimates"][name]["value"] == pytest.approx(expected["estimates"][name]["value"], rel=1e-5)
        assert found["estimates"][name]["low"] == pytest.approx(expected["estimates"][name]["low"], rel=1e-4)
    write_csv(log, [{**test[0], "item_id": "no_such_item"}, *test[1:]])
    assert "has the item 'no_such_item', which the dataset lacks, as 1 rows do" in refusal(*flags)


def test_jobs_without_propensities_or_requests_or_of_the_wrong_kind_are_refused(
    world, retrieval_job, ranking_job, impressions, tmp_path, refusal
):
    assert "a retrieval model chooses from the catalogue" in refusal(
        "--job-dir", retrieval_job, "--candidates", "request"
    )
    assert "temperature: got 0; allowed: above 0" in refusal("--job-dir", ranking_job, "--temperature", "0")
    assert "two policies" in refusal("--job-dir", ranking_job, "--temperature", "1", "--epsilon", "0")
    without = world.root / "jobs" / "popularity-without-propensities"
    run_job(world.config("popularity"), JobDirectory(without), quiet_console(), must_evaluate=False)
    assert "its records have no propensities; add 'propensity: {column: …}'" in refusal("--job-dir", without)
    log = tmp_path / "log.csv"
    write_csv(log, read_csv(impressions / "events.csv")[:40])
    flags = ("--log", log, "--reward", "clicked", "--propensity", "p", "--job-dir", ranking_job)
    assert "no request ids" in refusal(*flags)
    text = io.StringIO()
    csv.writer(text).writerows([["user_id", "item_id", "clicked", "p", "request"]])
    for number, row in enumerate(read_csv(log)):
        text.write(f"{row['user_id']},{row['item_id']},{row['clicked']},0.5,{number}\n")
    log.write_text(text.getvalue(), encoding="utf-8")
    assert "every request has one row" in refusal(*flags, "--request", "request")
