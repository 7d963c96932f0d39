"""One request through a cascade, against its parts asked one after the other."""

import json
import shutil

import numpy as np
import pytest

from tests.tfrec.export.conftest import Served, served
from tests.tfrec.export.plain_orders import mmr_plainly
from tfrec.dataset.directory import DatasetDirectory
from tfrec.errors import ArtifactError, ConfigError
from tfrec.schema import Schema
from trainer.data import JobData
from trainer.export import main
from trainer.job import JobDirectory
from trainer.release.cascade import Part, export_cascade, require_same_parts, source_names

USERS = ["u00001", "u00018", "u00200", "nobody"]


@pytest.fixture(scope="module")
def neighbours(world):
    return Served(world.job("item_knn"), "item_knn")


@pytest.fixture(scope="module")
def single(retrieval, ranking, tmp_path_factory):
    base = str(tmp_path_factory.mktemp("single"))
    return served(export_cascade([retrieval.job], ranking.job, base, ["candidates=15"], ["genres"]))


@pytest.fixture(scope="module")
def double(retrieval, neighbours, ranking, tmp_path_factory):
    base = str(tmp_path_factory.mktemp("double"))
    settings = ["candidates=15", "weights=[1, 2]", "diversity={kind: quota, feature: genres, at_most: 2}"]
    return served(export_cascade([retrieval.job, neighbours.job], ranking.job, base, settings))


def rows(answer):
    return [
        [(i.decode(), float(score)) for i, score in zip(ids, scores, strict=True) if i]
        for ids, scores in zip(answer["ids"], answer["scores"], strict=True)
    ]


def ranked_plainly(ranking, user, candidates):
    answer = ranking.ask("rank", user_id=[user], candidate_ids=[candidates])
    return rows(answer)[0]


LIMITS = {
    "exclude_ids": [["", "i0003", "i0010"]],
    "exclude_seen": [False, True, True, True],
    "allow_ids": [[f"i{n:04d}" for n in range(0, 120, 2)]],
}


@pytest.mark.parametrize("limits", [{}, LIMITS], ids=["no limits", "limits"])
def test_a_cascade_answers_as_its_parts_do_one_after_the_other(single, retrieval, ranking, limits):
    found = rows(single.ask("recommend", user_id=USERS, k=[5, 15, 0, 7], **limits))
    lists = rows(retrieval.ask("recommend", user_id=USERS, k=[15], **limits))
    for user, k, candidates, got in zip(USERS, (5, 15, 0, 7), lists, found, strict=True):
        expected = ranked_plainly(ranking, user, [item for item, _ in candidates])[:k]
        assert [item for item, _ in got] == [item for item, _ in expected]
        assert [score for _, score in got] == pytest.approx([score for _, score in expected], rel=1e-5)


def test_more_than_the_candidates_are_found_where_k_is_more(single, log):
    found = rows(single.ask("recommend", user_id=USERS, k=[121], exclude_seen=[False]))
    assert all({item for item, _ in row} == set(log.items) for row in found)


def test_fewer_than_k_are_padded(single):
    answer = single.ask("recommend", user_id=USERS[:1], k=[5], allow_ids=[["i0001", "i0002"]], exclude_seen=[False])
    assert set(answer["ids"][0].tolist()) == {b"i0001", b"i0002", b""}
    assert np.isneginf(answer["scores"][0][2:]).all()


def test_given_user_features_reach_the_ranking(single, retrieval, ranking):
    given = {"country": ["BR"], "age": [70.0]}
    candidates = [item for item, _ in rows(retrieval.ask("recommend", user_id=USERS[:1], k=[15], **given))[0]]
    expected = rows(ranking.ask("rank", user_id=USERS[:1], candidate_ids=[candidates], **given))[0][:5]
    found = rows(single.ask("recommend", user_id=USERS[:1], k=[5], **given))[0]
    assert [item for item, _ in found] == [item for item, _ in expected]


def test_a_filter_acts_before_the_cut_to_the_candidates(single, log):
    music = {item for item, row in log.items.items() if "Music" in row["genres"].split("|")}
    found = rows(single.ask("recommend", user_id=USERS, k=[5], filter_genres=[["Music"]], exclude_seen=[False]))
    assert len(music) >= 5
    assert all(len(row) == 5 and {item for item, _ in row} <= music for row in found)


def test_sources_are_fused_by_rank_and_a_quota_holds(double, retrieval, neighbours, ranking, log):
    found = rows(double.ask("recommend", user_id=USERS, k=[10]))
    lists = [rows(one.ask("recommend", user_id=USERS, k=[15])) for one in (retrieval, neighbours)]
    for place, user in enumerate(USERS):
        fused = {}
        for weight, one in zip((1, 2), lists, strict=True):
            for rank, (item, _) in enumerate(one[place], start=1):
                fused[item] = fused.get(item, 0) + weight / (60 + rank)
        pool = sorted(fused, key=lambda item: -fused[item])[:15]
        kept, over, counts = [], [], {}
        for item, _ in ranked_plainly(ranking, user, pool):
            genre = log.items[item]["genres"].split("|")[0]
            counts[genre] = counts.get(genre, 0) + 1
            (over if genre and counts[genre] > 2 else kept).append(item)
        assert [item for item, _ in found[place]] == (kept + over)[:10]


def test_stages_say_what_each_stage_said(double, retrieval, neighbours):
    found = double.ask("stages", user_id=USERS, k=[6])
    listed = double.ask("recommend", user_id=USERS, k=[6])
    assert (found["ids"] == listed["ids"]).all()
    np.testing.assert_allclose(found["scores"], listed["scores"], rtol=1e-6)
    assert found["sources"].tolist() == [[b"two_tower", b"item_knn"]] * len(USERS)
    for place, source in enumerate((retrieval, neighbours)):
        lists = rows(source.ask("recommend", user_id=USERS, k=[15]))
        for row, ids in enumerate(found["ids"]):
            of_item = {item: (rank, score) for rank, (item, score) in enumerate(lists[row], start=1)}
            expected = [of_item.get(item.decode(), (0, -np.inf)) for item in ids]
            assert found["source_ranks"][row, :, place].tolist() == [rank for rank, _ in expected]
            scores = [score for _, score in expected]
            np.testing.assert_allclose(found["source_scores"][row, :, place], scores, rtol=1e-5)
    assert not found["is_explored"].any()
    assert (found["ranking_places"].min(axis=1) == 1).all()
    assert (found["reasons"][:3, :, 0] != b"").any(axis=1).all()
    assert set(listed) == {"ids", "scores"}


def test_reasons_are_those_of_the_first_source_that_found_the_item(double, retrieval, neighbours):
    found = double.ask("stages", user_id=USERS[:3], k=[10])
    for row, user in enumerate(USERS[:3]):
        for place, item in enumerate(found["ids"][row]):
            source = retrieval if found["source_ranks"][row, place, 0] else neighbours
            said = source.ask("explain", user_id=[user], candidate_ids=[[item]])
            assert found["reasons"][row, place].tolist() == said["reasons"][0, 0].tolist()
            np.testing.assert_allclose(found["weights"][row, place], said["weights"][0, 0], rtol=1e-5)


def test_items_and_explanations_are_those_of_the_parts(single, retrieval):
    assert single.ask("items", item_ids=["i0005"])["title"] == retrieval.ask("items", item_ids=["i0005"])["title"]
    one, other = (s.ask("explain", user_id=USERS[:1], candidate_ids=[["i0005", "none"]]) for s in (single, retrieval))
    assert (one["reasons"] == other["reasons"]).all()


def test_mmr_balances_the_ranking_with_the_item_vectors(retrieval, ranking, single, tmp_path):
    settings = ["candidates=15", "diversity={kind: mmr, weight: 0.6}"]
    various = served(export_cascade([retrieval.job], ranking.job, str(tmp_path), settings, checks="none"))
    found, has_changed = various.ask("recommend", user_id=USERS, k=[6])["ids"], []
    for row, ids in zip(rows(single.ask("recommend", user_id=USERS, k=[15])), found, strict=True):
        names, scores = [name for name, _ in row], np.array([score for _, score in row])
        vectors = retrieval.ask("item_embedding", item_id=names)["embeddings"]
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        relevance = (scores - scores.min()) / (scores.max() - scores.min())
        expected = [names[place] for place in mmr_plainly(relevance, vectors, 0.6, 6)]
        assert [i.decode() for i in ids] == expected
        has_changed.append(expected != names[:6])
    assert any(has_changed)  # or the test would say nothing
    everything = various.ask("recommend", user_id=USERS, k=[121], exclude_seen=[False])["ids"]
    assert all(len(set(row.tolist())) == 121 for row in everything)


def test_the_card_names_the_parts(double):
    card = json.loads((double.path / "model_card.json").read_text())
    assert card["model_name"] == "two_tower+item_knn+deepfm"
    assert set(card["config"]) == {"cascade", "two_tower", "item_knn", "deepfm"}
    assert set(card["metrics"]) == {"two_tower", "item_knn", "deepfm"}
    assert set(card["signatures"]) == {"serving_default", "recommend", "stages", "explain", "items"}


def test_sources_of_one_kind_are_numbered():
    names = ["two_tower", "ease", "two_tower", "two_tower"]
    assert source_names(names) == ["two_tower", "ease", "two_tower_2", "two_tower_3"]


def test_parts_of_the_wrong_kind_are_refused(retrieval, ranking, tmp_path):
    with pytest.raises(ConfigError, match="two_tower is a retrieval model"):
        export_cascade([retrieval.job], retrieval.job, str(tmp_path))
    with pytest.raises(ConfigError, match="deepfm is a ranking model"):
        export_cascade([ranking.job], ranking.job, str(tmp_path))


def test_a_quota_by_what_items_do_not_have_is_refused(retrieval, ranking, tmp_path):
    settings = ["diversity={kind: quota, feature: genre}"]
    with pytest.raises(ConfigError, match="did you mean 'genres'"):
        export_cascade([retrieval.job], ranking.job, str(tmp_path), settings)


def test_a_command_without_a_place_or_a_ranker_says_so(retrieval, ranking):
    with pytest.raises(ConfigError, match="say where to with --output"):
        main(["--job-dir", str(retrieval.job.path), "--ranker", str(ranking.job.path)])
    with pytest.raises(ConfigError, match="add --ranker JOB"):
        main(["--job-dir", str(retrieval.job.path), "--job-dir", str(retrieval.job.path)])


def test_parts_of_other_schemas_or_items_are_refused(ranking_model, world, tmp_path):
    model, data, config = ranking_model
    first = Part(JobDirectory("FIRST"), model, data, config)

    def part(change):
        copy = tmp_path / change.__name__
        shutil.copytree(data.dataset.path, copy)
        change(copy)
        return Part(JobDirectory("OTHER"), model, JobData(DatasetDirectory(copy)), config)

    def other_schema(copy):
        content = json.loads((copy / "schema.json").read_text())["schema"]
        content["features"]["history"]["length"] = 10
        Schema.model_validate(content).save(copy / "schema.json")

    def other_vocabulary(copy):
        (copy / "vocabulary" / "genres.txt").write_text("Comedy\n")
        manifest = json.loads((copy / "manifest.json").read_text())
        (copy / "manifest.json").write_text(json.dumps({**manifest, "fingerprint": "another"}))

    with pytest.raises(ArtifactError, match=r"OTHER: its schema is \w+, that of FIRST is \w+; train both"):
        require_same_parts(first, part(other_schema))
    with pytest.raises(ArtifactError, match="has other vocabularies"):
        require_same_parts(first, part(other_vocabulary))
    require_same_parts(first, first)
