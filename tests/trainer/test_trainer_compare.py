"""Several jobs beside each other: paired figures against plain loops, and what is refused."""

import itertools
import json
import re
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.stats

from tfrec.errors import ArtifactError, ConfigError
from trainer.compare import main
from trainer.evaluation.predictions import read_lists
from trainer.report.comparison import _require_metric, compare_jobs

SHORT = ("train.epochs=2", "model.item_features=[genres]", "evaluation.baselines=[popularity]")


@pytest.fixture(scope="module")
def jobs(world):
    """Two seeds of one model, and another model."""
    return [world.job("two_tower", *SHORT, seed=seed).path for seed in (1, 2)] + [world.job("popularity").path]


@pytest.fixture(scope="module")
def printed(jobs, tmp_path_factory):
    """JSON, page and what people see, of one run of the command."""
    import contextlib
    import io

    out, err = io.StringIO(), io.StringIO()
    page = tmp_path_factory.mktemp("compare") / "compare.html"
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        main([*map(str, jobs), "--output", str(page), "--json"])
    return json.loads(out.getvalue()), page.read_text(encoding="utf-8"), err.getvalue()


def ndcg_at_10(job):
    """User → NDCG@10, by loops over the kept lists."""
    lists = read_lists(job / "predictions" / "test.parquet")
    found = {}
    for row, user in enumerate(lists.users.tolist()):
        wanted = set(lists.relevant_items[lists.relevant_splits[row] : lists.relevant_splits[row + 1]].tolist())
        gain = sum(1 / np.log2(rank + 1) for rank, i in enumerate(lists.items[row][:10].tolist(), 1) if i in wanted)
        found[user] = gain / sum(1 / np.log2(rank + 1) for rank in range(1, min(10, len(wanted)) + 1))
    return found


def test_runs_that_differ_in_the_seed_alone_are_one_model(printed, jobs):
    two_tower, popularity = printed[0]["models"]
    assert two_tower["seeds"] == [1, 2]
    assert two_tower["jobs"] == [str(job) for job in jobs[:2]]
    assert popularity["seeds"] == [1]
    values = [json.loads((job / "metrics.json").read_text())["test/ndcg_at_10"] for job in jobs[:2]]
    found = two_tower["metrics"]["test/ndcg_at_10"]
    assert found["mean"] == pytest.approx(np.mean(values))
    assert found["std_over_seeds"] == pytest.approx(np.std(values, ddof=1))
    assert found["low"] < found["mean"] < found["high"]
    assert popularity["metrics"]["test/ndcg_at_10"]["std_over_seeds"] is None


def test_a_pair_is_compared_user_by_user_on_the_mean_over_seeds(printed, jobs):
    first, second, other = (ndcg_at_10(job) for job in jobs)
    ours = [(first[user] + second[user]) / 2 for user in other]
    theirs = list(other.values())
    (pair,) = printed[0]["pairs"]
    assert (pair["first"], pair["second"]) == ("two_tower", "popularity")
    assert pair["better_by"] == pytest.approx(np.mean(ours) - np.mean(theirs))
    assert pair["wins"] == sum(a > b for a, b in zip(ours, theirs, strict=True))
    assert pair["losses"] == sum(a < b for a, b in zip(ours, theirs, strict=True))
    assert pair["wins"] + pair["ties"] + pair["losses"] == pair["users"] == len(other)
    t_test = scipy.stats.ttest_rel(ours, theirs).pvalue  # another test of the same question
    assert pair["p_value"] == pytest.approx(t_test, rel=0.5, abs=0.02)


def test_the_page_holds_the_figures_of_the_json_and_needs_no_other_file(printed):
    figures, page, _ = printed
    for model in figures["models"]:
        assert model["name"] in page
        assert f"{model['metrics']['test/ndcg_at_10']['mean']:.4f}" in page
    assert f"{figures['pairs'][0]['better_by']:+.4f}" in page
    assert {"cuts", "slices", "cost", "jobs"} <= set(re.findall(r'<h2 id="(\w+)">', page))
    assert "<script" not in page
    addresses = set(re.findall(r"https?://[^\s\"'<>]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_people_see_models_pairs_and_a_sentence(printed):
    figures, _, text = printed
    assert all(one["name"] in text for one in figures["models"])
    assert f"{figures['pairs'][0]['better_by']:+.4f}" in text
    assert f"{figures['best']} has the best NDCG@10" in text


def test_pairs_are_all_or_those_with_one_and_holm_counts_them(world, jobs):
    other = world.job("two_tower", *SHORT, "model.embedding_dim=8").path
    paths = [jobs[0], other, jobs[2]]
    every = compare_jobs(paths)
    names = [one.name for one in every.contenders]
    assert [(pair.first, pair.second) for pair in every.pairs] == list(itertools.combinations(names, 2))
    with_first = compare_jobs(paths, against="first")
    assert [(pair.first, pair.second) for pair in with_first.pairs] == [(names[1], names[0]), (names[2], names[0])]
    assert all(every.best.name in (pair.first, pair.second) for pair in compare_jobs(paths, against="best").pairs)
    p = sorted(pair.found.p_value for pair in every.pairs)
    expected, so_far = [], 0.0
    for place, value in enumerate(p):
        so_far = max(so_far, min(1.0, value * (len(p) - place)))
        expected.append(so_far)
    assert sorted(pair.p_holm for pair in every.pairs) == pytest.approx(expected)


def test_a_seed_that_took_over_the_settings_of_baselines_is_no_other_model(jobs, tmp_path):
    other = changed_copy(jobs[1], tmp_path, config={"baselines_from: null": "baselines_from: somewhere"})
    assert "baselines_from: somewhere" in (other / "config.yaml").read_text()
    assert [len(one.runs) for one in compare_jobs([jobs[0], other]).contenders] == [2]


def test_tables_are_whole_in_a_file_and_fold_in_a_narrow_terminal(jobs, capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    main(list(map(str, jobs)))
    lines = capsys.readouterr().err.splitlines()
    assert max(map(len, lines)) > 80
    assert sum("two_tower" in line for line in lines) == 3  # a row of models, one of pairs, the sentence
    monkeypatch.setenv("COLUMNS", "60")
    main(list(map(str, jobs)))
    folded = capsys.readouterr().err
    *table, _ = folded.splitlines()
    assert max(map(len, table)) <= 60
    assert "…" not in folded


def test_two_configs_of_one_model_are_told_apart_by_their_jobs(world, jobs):
    other = world.job("two_tower", *SHORT, "model.embedding_dim=8").path
    assert [one.name for one in compare_jobs([jobs[0], other]).contenders] == [
        f"two_tower ({jobs[0].name})",
        f"two_tower ({other.name})",
    ]


def changed_copy(job, tmp_path, **changes):
    copy = shutil.copytree(job, tmp_path / "copy")
    metrics = json.loads((copy / "metrics.json").read_text())
    (copy / "metrics.json").write_text(json.dumps({**metrics, **changes.get("metrics", {})}))
    config = (copy / "config.yaml").read_text()
    for old, new in changes.get("config", {}).items():
        config = re.sub(old, new, config)
    (copy / "config.yaml").write_text(config)
    return copy


def test_jobs_of_another_dataset_are_refused(jobs, tmp_path):
    other = changed_copy(jobs[1], tmp_path, config={r"dataset_fingerprint: .*": "dataset_fingerprint: abcdef"})
    with pytest.raises(ConfigError, match=r"has another dataset than .* \(abcdef instead of"):
        compare_jobs([jobs[0], other])


def test_jobs_of_another_protocol_are_refused_and_other_baselines_are_not(jobs, tmp_path):
    protocol = json.loads((jobs[1] / "metrics.json").read_text())["protocol"]
    same = changed_copy(
        jobs[1], tmp_path, metrics={"protocol": {**protocol, "baseline ease": "tuned otherwise", "cost": "by hand"}}
    )
    assert len(compare_jobs([jobs[0], same]).contenders) == 1
    shutil.rmtree(same)
    other = changed_copy(jobs[1], tmp_path, metrics={"protocol": {**protocol, "ranking": "sampled"}})
    with pytest.raises(ConfigError, match=r"has another protocol of 'ranking' than .* \(sampled instead of full"):
        compare_jobs([jobs[0], other])


def test_a_ranking_model_is_not_compared_with_a_retrieval_model(world, jobs):
    with pytest.raises(ConfigError, match="has another task than"):
        compare_jobs([jobs[0], world.job("deepfm", "train.learning_rate=0.01").path])


@pytest.mark.parametrize("metric", ["coverage_at_10", "users", "novelty_at_10"])
def test_a_metric_that_single_users_do_not_have_is_refused(world, metric):
    with pytest.raises(ConfigError, match=rf"single users have no '{metric}'.* allowed: .*ndcg_at_10.*recall_at_10"):
        compare_jobs([world.job("popularity").path], metric=metric)


def test_metrics_of_rankers_that_single_users_do_not_have_are_refused():
    metrics = {"test/auc": 0.7, "test/log_loss": 0.5, "test/gauc": 0.6}
    ranker = SimpleNamespace(
        metrics=metrics,
        task="ranking",
        job=SimpleNamespace(path="job"),
        value=lambda of, metric: metrics.get(f"{of}/{metric}"),
    )
    _require_metric([ranker], "log_loss")
    for metric in ("auc", "gauc"):
        with pytest.raises(ConfigError, match=f"single users have no '{metric}'.*; allowed: log_loss$"):
            _require_metric([ranker], metric)
    with pytest.raises(ConfigError, match=r"job has no 'logloss' of test; did you mean 'log_loss'\?"):
        _require_metric([ranker], "logloss")


def test_two_jobs_of_one_config_and_seed_are_refused(world, tmp_path):
    job = world.job("popularity").path
    copy = changed_copy(job, tmp_path)
    with pytest.raises(ConfigError, match=f"^{copy}: has the config and the seed of {job}, so .*; name one of them$"):
        compare_jobs([job, copy])


def test_the_same_job_twice_an_unknown_metric_and_lost_predictions_are_refused(jobs, tmp_path):
    with pytest.raises(ConfigError, match="named twice"):
        compare_jobs([jobs[0], jobs[0]])
    with pytest.raises(ConfigError, match="did you mean 'recall_at_10'"):
        compare_jobs(jobs, metric="recal_at_10")
    copy = changed_copy(jobs[2], tmp_path)
    shutil.rmtree(copy / "predictions")
    with pytest.raises(ArtifactError, match="predictions of test were not kept"):
        compare_jobs([jobs[0], copy])
