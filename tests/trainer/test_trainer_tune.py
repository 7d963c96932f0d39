"""`python -m trainer.tune`: what a search finds and remembers, and that going on changes nothing."""

import csv
import itertools
import json
import math
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import optuna
import pytest
import yaml
from optuna.trial import TrialState

from tests.trainer.planted_world import quiet_console
from tfrec.errors import ArtifactError, ConfigError
from trainer import tune
from trainer.config import load_job_config, resolve_config
from trainer.evaluation.validation import Validation
from trainer.job import JobDirectory
from trainer.model import build_model
from trainer.search.plan import SearchPlan
from trainer.search.report import as_json, importance, write_best, write_trials
from trainer.search.study import alone, completed, counted, directory_of, next_trial, open_study, retry_broken_off
from trainer.search.work import reporter, work

SPACE = ("train.learning_rate=log(1e-4, 1e-1)", "model.embedding_dim=[2, 4]")
SHARED = ("train.epochs=2", "train.batch_size=4096", "model.embedding_dim=4", "model.user_id_dropout=0")
TRIALS = 3


@pytest.fixture(scope="module")
def plan_of(world):
    """A plan of a quick search in a directory."""

    def make(directory, space=SPACE, overrides=SHARED[:2] + SHARED[3:], **more):
        return SearchPlan(str(world.dataset()), "two_tower", directory, space, None, overrides, **more)

    return make


def go(plan, trials=TRIALS, deadline=None):
    """What the command does with one job: the study, after the search."""
    plan.check()
    plan.claim()
    study = open_study(plan)
    retry_broken_off(study)
    work(plan, trials, deadline, nullcontext(), quiet_console())
    return study


@pytest.fixture(scope="module")
def searched(plan_of, tmp_path_factory):
    """A finished search of a few trials: (plan, study)."""
    plan = plan_of(tmp_path_factory.mktemp("search") / "study")
    return plan, go(plan)


class PastAfterAnEpoch(float):
    """A deadline that is ahead when a trial begins and past when its first epoch has ended."""

    def __gt__(self, now):
        return True

    def __le__(self, now):
        return True


def outcomes(study):
    return [(trial.params, trial.state, trial.value) for trial in counted(study)]


def test_a_model_that_is_solved_is_searched_by_its_validation_metric(world, tmp_path):
    plan = SearchPlan(str(world.dataset()), "ease", tmp_path / "study", ("model.l2=[1, 100, 10000]",))
    trials = completed(go(plan))
    assert len(trials) == TRIALS
    for trial in trials:
        config = plan.config(trial.params)
        data = world.data()
        model = build_model(config, data)
        model.fit(data.model_inputs)
        assert trial.value == pytest.approx(Validation(model, data)()["ndcg_at_10"], abs=1e-6)


def test_the_best_trial_is_the_one_that_validation_says(searched):
    plan, study = searched
    jobs = [JobDirectory(path) for path in sorted((plan.directory / "trials").iterdir())]
    reached = {job.path.name: job.read_metrics()["train/best_ndcg_at_10"] for job in jobs}
    assert list(reached) == ["0000", "0001", "0002"]
    best = max(reached, key=reached.get)
    found = as_json(study, plan)
    assert (found["best"]["directory"], found["best"]["value"]) == (best, reached[best])
    assert (found["trials"], found["monitor"]) == (TRIALS, "ndcg_at_10")
    for job, trial in zip(jobs, counted(study), strict=True):
        config = load_job_config(job.config)
        assert config.train.learning_rate == trial.params["train.learning_rate"]
        assert config.model.embedding_dim == trial.params["model.embedding_dim"]


def test_the_first_trial_is_the_settings_as_they_are_where_the_space_holds_them(searched):
    plan, study = searched
    assert plan.base.train.learning_rate == counted(study)[0].params["train.learning_rate"]
    assert plan.base.model.embedding_dim == 64  # is not in the space, so it was drawn
    assert counted(study)[0].params["model.embedding_dim"] in (2, 4)


def test_the_test_split_is_not_looked_at(searched):
    plan, study = searched
    for job in (plan.directory / "trials").iterdir():
        assert not [name for name in JobDirectory(job).read_metrics() if name.startswith(("test", "validation/"))]
    assert "test" not in json.dumps(as_json(study, plan))
    assert "test" not in write_trials(study, plan).read_text()


def test_the_best_settings_are_a_config_file_with_only_the_differences(searched):
    plan, study = searched
    path = write_best(study, plan)
    identity = {"dataset": plan.base.dataset, "dataset_fingerprint": plan.base.dataset_fingerprint}
    again = resolve_config("two_tower", str(path), [], **identity)
    best = load_job_config(plan.directory / "trials" / as_json(study, plan)["best"]["directory"] / "config.yaml")
    assert again == best
    content = yaml.safe_load(path.read_text())
    assert set(content["train"]) <= {"epochs", "batch_size", "learning_rate"}
    assert set(content["model"]) == {"embedding_dim", "user_id_dropout"}
    assert path.read_text().startswith(
        f"# two_tower, trial {best_directory(study)} of {TRIALS}: validation ndcg_at_10 0."
    )


def best_directory(study):
    return f"{completed(study)[0].number:04d}"


def test_the_table_has_a_row_per_trial(searched):
    plan, study = searched
    rows = list(csv.DictReader(write_trials(study, plan).open(encoding="utf-8")))
    assert [(row["trial"], row["directory"]) for row in rows] == [(str(n), f"{n:04d}") for n in range(TRIALS)]
    assert [float(row["ndcg_at_10"]) for row in rows] == [trial.value for trial in counted(study)]
    assert [float(row["train.learning_rate"]) for row in rows] == [
        trial.params["train.learning_rate"] for trial in counted(study)
    ]


def test_the_same_search_again_has_nothing_to_do(searched):
    plan, study = searched
    before = {path: path.stat().st_mtime_ns for path in (plan.directory / "trials").rglob("*")}
    expected = outcomes(study)
    assert outcomes(go(plan)) == expected
    assert {path: path.stat().st_mtime_ns for path in (plan.directory / "trials").rglob("*")} == before


def test_a_search_that_was_broken_off_ends_as_if_it_had_not_been(searched, plan_of, tmp_path):
    """Broken off within a trial and between two; the trial goes on in its own directory, after its finished epoch."""
    plan = plan_of(tmp_path / "study")
    study = go(plan, trials=1, deadline=PastAfterAnEpoch())
    assert [trial.state for trial in counted(study)] == [TrialState.RUNNING]
    assert go(plan, trials=2).get_trials()[1].user_attrs == {"directory": "0000", "continues": 0}
    assert outcomes(go(plan)) == outcomes(searched[1])
    assert sorted(path.name for path in (plan.directory / "trials").iterdir())[0] == "0000"
    assert JobDirectory(plan.directory / "trials" / "0000").read_metrics()["train/epochs"] == 2


def test_what_is_drawn_follows_from_the_seed(plan_of, tmp_path):
    def drawn(name, seed):
        (tmp_path / name).mkdir()
        plan = plan_of(tmp_path / name, seed=seed)
        return [next_trial(open_study(plan), plan).params for _ in range(4)]

    first = drawn("first", 1)
    assert drawn("again", 1) == first
    assert drawn("other", 2)[1:] != first[1:]
    assert len({tuple(parameters.values()) for parameters in first}) == 4


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"seed": 2}, "seed"),
        ({"pruner": "none"}, "pruner"),
        ({"space": SPACE[:1]}, "space"),
        ({"overrides": ("train.epochs=3",)}, "base"),
    ],
)
def test_another_search_in_the_same_directory_is_refused(searched, plan_of, change, key):
    plan, _ = searched
    before = (plan.directory / "study.yaml").read_text()
    with pytest.raises(ConfigError) as caught:
        plan_of(plan.directory, **change).claim()
    assert str(caught.value).startswith(f"--study-dir {plan.directory}: holds a search with another '{key}' (")
    assert str(caught.value).endswith("); name a new directory")
    assert (plan.directory / "study.yaml").read_text() == before


def test_a_damaged_study_is_one_clear_line(plan_of, tmp_path):
    (tmp_path / "study.yaml").write_text("[")
    with pytest.raises(ArtifactError, match=r"study\.yaml: damaged .*; name a new directory"):
        plan_of(tmp_path).claim()


def test_two_commands_do_not_search_in_one_directory(plan_of, tmp_path):
    plan = plan_of(tmp_path)
    with alone(plan), pytest.raises(ConfigError) as caught, alone(plan):
        pass
    assert str(caught.value) == (
        f"--study-dir {tmp_path}: another command searches there; wait for it, or give it more --jobs"
    )
    with alone(plan):
        pass


def test_a_trial_that_diverges_is_counted_as_failed(plan_of, tmp_path):
    overrides = (*SHARED, "train.optimizer=sgd", "train.average_decay=null")
    plan = plan_of(tmp_path / "study", ("train.learning_rate=[0.003, 1e30]",), overrides)
    study = go(plan, trials=3)
    states = {trial.params["train.learning_rate"]: set() for trial in counted(study)}
    for trial in counted(study):
        states[trial.params["train.learning_rate"]].add(trial.state)
    assert states == {0.003: {TrialState.COMPLETE}, 1e30: {TrialState.FAIL}}
    rows = list(csv.DictReader(write_trials(study, plan).open(encoding="utf-8")))
    failed = [row for row in rows if row["state"] == "fail"]
    assert failed
    assert all("the loss became" in row["reason"] and row["ndcg_at_10"] == "" for row in failed)


def test_a_search_in_which_nothing_can_be_trained_gives_up(plan_of, tmp_path):
    overrides = (*SHARED, "model.use_user_id=false", "model.use_history=false")
    plan = plan_of(tmp_path / "study", SPACE[:1], overrides)
    with pytest.raises(ConfigError) as caught:
        go(plan, trials=9)
    assert str(caught.value).startswith(
        "the first 3 trials failed, the last one so: model: the user tower reads nothing;"
    )
    assert write_best(open_study(plan), plan) is None


def test_a_trial_that_is_worse_than_the_median_is_pruned(plan_of, tmp_path):
    """Median of five finished trials; the first two epochs of a trial are not judged."""
    plan = plan_of(tmp_path)
    study = open_study(plan)
    for value in (0.1, 0.2, 0.3, 0.4, 0.5):
        trial = study.ask()
        for epoch in range(1, 5):
            reporter(study, trial, "ndcg_at_10", None)(epoch, {"ndcg_at_10": value})
        study.tell(trial, value)
    for value, epochs in ((0.29, 3), (0.31, 4)):
        on_epoch = reporter(study, study.ask(), "ndcg_at_10", None)
        reached = []
        with pytest.raises(optuna.TrialPruned) if epochs == 3 else nullcontext():
            for epoch in range(1, 5):
                reached.append(epoch)
                on_epoch(epoch, {"ndcg_at_10": value, "recall_at_10": 0.0})
        assert len(reached) == epochs


def test_the_parameter_that_matters_is_told(plan_of, tmp_path):
    plan = plan_of(tmp_path)
    study = open_study(plan)
    ranges = {key: found.distribution for key, found in plan.space.items()}
    for number in itertools.count():
        if len(completed(study)) == 40:
            break
        assert importance(study) == {} or number >= 20
        trial = study.ask(ranges)
        study.tell(trial, -abs(math.log10(trial.params["train.learning_rate"]) + 2))
    shares = importance(study)
    assert shares["train.learning_rate"] > 0.8 > shares["model.embedding_dim"]
    assert sum(shares.values()) == pytest.approx(1)


def flags(world, directory, *more):
    shared = [part for override in SHARED[:2] + SHARED[3:] for part in ("--set", override)]
    space = [part for one in SPACE for part in ("--space", one)]
    dataset = ["--dataset", str(world.dataset()), "--model", "two_tower", "--study-dir", str(directory)]
    return [sys.executable, "-m", "trainer.tune", *dataset, *shared, *space, "--trials", str(TRIALS), *more]


@pytest.mark.slow
def test_a_killed_command_goes_on_and_finds_the_same(world, searched, tmp_path):
    arguments = flags(world, tmp_path / "study")
    first = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    for line in first.stderr:
        if line.startswith("trial 0001 "):
            break
    first.send_signal(signal.SIGKILL)
    first.communicate()
    second = subprocess.run([*arguments, "--json"], capture_output=True, text=True, check=False)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["best"]["value"] == as_json(searched[1], searched[0])["best"]["value"]
    assert outcomes(open_study(searched[0])) == outcomes(
        optuna.load_study(study_name="two_tower", storage=f"sqlite:///{tmp_path / 'study' / 'study.db'}")
    )
    assert second.stderr.splitlines()[-1] == f"the best settings: {tmp_path / 'study' / 'best.yaml'}"
    assert "Traceback" not in second.stderr
    assert "WARNING" not in second.stderr


@pytest.mark.slow
def test_several_processes_share_a_search(world, tmp_path):
    arguments = flags(world, tmp_path / "study", "--jobs", "2", "--json", "--trials", "2")
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["trials"] == 2
    rows = list(csv.DictReader((tmp_path / "study" / "trials.csv").open(encoding="utf-8")))
    assert [row["state"] for row in rows] == ["complete"] * 2
    assert len({row["train.learning_rate"] for row in rows}) == 2


@pytest.mark.parametrize("on_purpose", [False, True])
def test_a_trial_that_kills_its_process_is_given_up_after_two_retries(plan_of, tmp_path, on_purpose):
    """One that was set aside on purpose goes on as often as it takes."""
    study = open_study(plan_of(tmp_path))
    queued = []
    for _ in range(4):
        trial = study.ask({"x": optuna.distributions.FloatDistribution(0, 1)})
        if on_purpose:
            trial.set_user_attr("set_aside", True)
        queued.append(retry_broken_off(study))
    assert queued == ([1, 1, 1, 1] if on_purpose else [1, 1, 0, 1])  # without a retry the fourth is another trial
    given_up = [trial for trial in counted(study) if "reason" in trial.user_attrs]
    assert [(trial.number, trial.state) for trial in given_up] == ([] if on_purpose else [(2, TrialState.FAIL)])
    if not on_purpose:
        assert given_up[0].user_attrs["reason"].startswith("the process died 3 times while it ran")
        assert directory_of(given_up[0]) == "0000"


def test_any_seed_is_one(plan_of, tmp_path):
    plan = plan_of(tmp_path, seed=2**32 - 1)
    assert next_trial(open_study(plan), plan).params


def test_a_trial_that_tensorflow_refuses_has_failed_and_the_search_goes_on(plan_of, tmp_path):
    """A file stands where TensorBoard's directory goes: TensorFlow's error, as one of memory would be."""
    plan = plan_of(tmp_path / "study")
    plan.check()
    plan.claim()
    broken = plan.directory / "trials" / "0000"
    broken.mkdir(parents=True)
    (broken / "logs").write_text("not a directory")  # where TensorBoard's files go
    study = go(plan, trials=2)
    assert [trial.state for trial in counted(study)] == [TrialState.FAIL, TrialState.COMPLETE]
    reason = counted(study)[0].user_attrs["reason"]
    assert "\n" not in reason
    assert "Error: " in reason


def children_of(process):
    return [int(number) for number in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def is_gone(number):
    """Whether a process has ended, whoever is to reap it."""
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return True


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="asks /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_the_processes_of_a_search_end_with_the_command(world, tmp_path, number):
    directory = tmp_path / "study"
    arguments = flags(world, directory, "--jobs", "2")
    arguments[arguments.index("train.epochs=2")] = "train.epochs=1000"
    command = subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True)
    while len(list(directory.glob("trials/*/checkpoints/*"))) < 2 and command.poll() is None:
        time.sleep(0.1)
    workers = children_of(command)
    assert len(workers) >= 2
    command.send_signal(number)
    errors = command.communicate()[1]  # ends when none of them holds stderr any more
    assert command.returncode == (-number if number == signal.SIGKILL else 128 + number)
    until = time.monotonic() + 10  # the kernel takes a moment from closing its files to calling a process dead
    while not all(is_gone(worker) for worker in workers) and time.monotonic() < until:
        time.sleep(0.05)
    assert [is_gone(worker) for worker in workers] == [True] * len(workers)
    assert "Traceback" not in errors
    if number != signal.SIGKILL:
        assert errors.splitlines()[-1] == "stopped; the same command goes on with the trials that were running"


def test_a_mistake_is_one_line(world, tmp_path):
    with pytest.raises(ConfigError, match=r"^unknown flag '--trial'; did you mean '--trials'\?$"):
        tune.main(["--dataset", "d", "--model", "deepfm", "--study-dir", str(tmp_path), "--trial", "3"])
    with pytest.raises(ConfigError, match=r"^argument --pruner: got 'medium'; did you mean 'median'\?$"):
        tune.main(["--dataset", "d", "--model", "deepfm", "--study-dir", str(tmp_path), "--pruner", "medium"])
