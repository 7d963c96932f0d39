"""`python -m trainer.simulate`: its files, its errors, and real models trained on its log."""

import csv
import json
import subprocess
import sys

import numpy as np
import pytest

from tfrec.config_file import load_config
from tfrec.errors import ArtifactError, ConfigError
from tfrec.simulation.exported_scores import exported_scorer
from tfrec.simulation.log_files import write_log
from tfrec.simulation.loop import LoopConfig, run_loop
from tfrec.simulation.policies import EpsilonGreedy, Greedy, Uniform
from tfrec.simulation.traffic import serve
from tfrec.simulation.value import true_value
from tfrec.simulation.world import WorldConfig
from trainer import simulate

SMALL = ["--rounds", "3", "--set", "world.users=40", "--set", "world.items=50"]


def rows_of(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_help_shows_an_example_first(capsys):
    with pytest.raises(SystemExit) as caught:
        simulate.main(["--help"])
    assert caught.value.code == 0
    assert capsys.readouterr().out.startswith("example: python -m trainer.simulate --")


def test_the_command_writes_the_log_and_what_was_true(tmp_path):
    out = tmp_path / "loop"
    command = [sys.executable, "-m", "trainer.simulate", "--policy", "softmax", "--weights", "inverse_propensity",
               "--output", str(out), "--json", *SMALL]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)
    events, rounds = rows_of(out / "events.csv"), rows_of(out / "rounds.csv")
    assert {path.name for path in tmp_path.glob("**/*")} == {
        "loop", "events.csv", "items.csv", "dataset.yaml", "config.yaml", "rounds.csv"
    }  # fmt: skip
    assert len(events) == found["impressions"]
    assert [row["round"] for row in events if row["request_id"] == "r00000000"] == ["0"] * 5
    assert [float(row["true_recall"]) for row in rounds] == [row["true_recall"] for row in found["rounds"]]
    assert found["rounds"][0]["late_items"] is None
    config = load_config(out / "config.yaml", LoopConfig)
    assert config.policy.kind == "softmax"
    assert config.training.weights == "inverse_propensity"
    result = run_loop(config, seed=1)
    assert [row["item_id"] for row in events] == [f"i{item:05d}" for item in result.log.item]
    assert [float(row["propensity"]) for row in events] == result.log.propensity.tolist()
    assert [row["clicked"] == "1" for row in events] == result.log.clicked.tolist()
    assert [int(row["rating"] or 0) for row in events] == result.log.rating.tolist()


def test_people_see_the_columns_of_the_file_under_its_names(tmp_path, capsys):
    simulate.main(["--output", str(tmp_path / "loop"), *SMALL])
    heading, *lines, _ = capsys.readouterr().err.splitlines()
    rows = rows_of(tmp_path / "loop/rounds.csv")
    assert set(heading.split()) == set(rows[0]) - {"requests"}
    for line, row in zip(lines, rows, strict=True):
        for name, shown in zip(heading.split(), line.split(), strict=True):
            assert shown == "–" if row[name] == "" else float(shown) == pytest.approx(float(row[name]), abs=0.006)


def test_jsonl_says_the_same_as_csv(tmp_path):
    for kind in ("csv", "jsonl"):
        simulate.main(["--output", str(tmp_path / kind), "--format", kind, *SMALL])
    native = [json.loads(line) for line in (tmp_path / "jsonl/events.jsonl").read_text().splitlines()]
    texts = [{name: "" if value is None else str(value) for name, value in row.items()} for row in native]
    plain = rows_of(tmp_path / "csv/events.csv")
    assert [float(row.pop("propensity")) for row in texts] == [float(row.pop("propensity")) for row in plain]
    for name in ("propensity_in_slate", "propensity_given_above"):
        assert [float(row.pop(name)) for row in texts] == [float(row.pop(name)) for row in plain]
    assert texts == plain


def test_flags_overrule_the_file_and_set_overrules_the_flags(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("rounds: 7\npolicy: {kind: softmax, temperature: 0.3}\nworld: {users: 30}\n")
    given = ["--config", str(path), "--rounds", "2", "--policy", "epsilon_greedy", "--set", "policy.epsilon=0.4",
             "--train-on", "random", "--output", str(tmp_path / "out")]  # fmt: skip
    simulate.main(given)
    config = load_config(tmp_path / "out/config.yaml", LoopConfig)
    assert config.rounds == 2
    assert config.world.users == 30
    assert config.policy == EpsilonGreedy(epsilon=0.4)
    assert config.training.rows == "random"


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--polisy", "greedy"], "unknown flag '--polisy'; did you mean '--policy'?"),
        (["--policy", "best"], "argument --policy: invalid choice: 'best'"),
        (["--rounds", "0"], "argument --rounds: got '0'; allowed: whole numbers from 1"),
        (["--set", "world.user=3"], "--set: unknown key 'user' in 'world'; did you mean 'users'?"),
        (
            ["--set", "policy.epsilon=0.1"],
            "--set: policy: the policy 'greedy' has no 'epsilon', 'epsilon_gr",
        ),
        (
            ["--policy", "softmax", "--set", "policy.epsilon=0.1"],
            "--set: policy: the policy 'softmax' has no 'eps",
        ),
        (["--validate-on", "random"], "--set: training: validation_rows: random: the policy 'greedy' answers no req"),
        (
            ["--validate-on", "random", "--policy", "epsilon_greedy", "--set", "policy.epsilon=0"],
            "--set: training: v",
        ),
        (["--policy", "softmax", "--set", "policy.temperature=0"], "--set: policy.temperature: got 0; input should be"),
        (["--set", "world.slate=299"], "--set: world: slate: 299 items are to be shown, but only 180 of 300"),
        (["--config", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
    ],
)
def test_a_mistake_is_one_line_with_the_way_out(tmp_path, more, message):
    with pytest.raises(ConfigError) as caught:
        simulate.main(["--output", str(tmp_path / "out"), *more])
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_what_stands_at_the_output_is_kept(tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ConfigError, match="exists already; name a new directory"):
        simulate.main(["--output", str(tmp_path)])
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_a_directory_without_a_model_is_named(tmp_path):
    with pytest.raises(ArtifactError, match="no SavedModel; name a version"):
        exported_scorer(tmp_path, run_loop(LoopConfig(rounds=1, world=WorldConfig(users=5)), 1).state.world)


@pytest.mark.slow
def test_a_real_model_trained_on_the_log_serves_the_next_round(tmp_path):
    world = WorldConfig(users=400, items=60, late_items=0.2, visits_per_round=8, user_churn=0)
    result = run_loop(LoopConfig(rounds=4, world=world, policy=Uniform()), 1)
    logs = tmp_path / "logs"
    logs.mkdir()
    write_log(logs, result.state.world, result.log)
    for module, *arguments in (
        ("transforms.run", "--config", logs / "dataset.yaml", "--input-dir", logs, "--output", tmp_path / "dataset"),
        ("trainer.task", "--dataset", tmp_path / "dataset", "--model", "deepfm", "--job-dir", tmp_path / "job",
         "--epochs", 4),
    ):  # fmt: skip
        done = subprocess.run([sys.executable, "-m", module, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[-3000:]
    manifest = json.loads((tmp_path / "dataset/manifest.json").read_text())
    assert str(len(result.log)) in json.dumps(manifest)  # every impression was read
    state = result.state
    state.next_round()
    scorer = exported_scorer(tmp_path / "job/export/deepfm/1", state.world)
    even = true_value(state, Uniform(), scorer)
    served = serve(state.copy(), Greedy(), scorer, moments=8, seed=1)
    assert served.expected_clicks / served.requests > 1.2 * even  # what it learnt is true
    shown = served.log.item[served.log.position == 0]
    assert len(np.unique(shown)) > 1
