"""What the page shows, of models whose answers NumPy knows."""

import re
import urllib.parse

import numpy as np

from serving.explore.app import make_app
from serving.explore.catalogue import Catalogue, read_catalogue
from tests.serving.explore.read_page import best, get, rows
from tests.serving.small_dataset import EVENTS, ITEMS, TITLES
from tests.serving.vector_recommender import VECTORS


def test_a_users_recommendations_stand_with_titles_scores_and_reasons(app):
    status, page = get(app, "/", user="u1", k=4)
    assert status == 200
    (table,) = page.tables
    expected = best(2, 4)  # the newest version
    assert [(line[0], line[1], line[2]) for line in rows(table)] == [
        (str(place), TITLES[item], f"{score:.4f}") for place, (item, score) in enumerate(expected, start=1)
    ]
    assert {line[3] for line in rows(table)} == {f"{TITLES['i0']} 0.75 · user=u1 0.25"}


def test_the_history_stands_latest_first_and_says_what_training_has_not_seen(app):
    _, page = get(app, "/", user="u1")
    seen_in_training = {item for events in EVENTS.values() for item in events[:-2]}  # the last two are held out
    expected = [
        TITLES[item] if item in seen_in_training else "an item that training has not seen"
        for item in reversed(EVENTS["u1"][-3:])
    ]
    assert [" ".join(text.split()) for text in page.lists] == expected
    assert expected[2] == TITLES["i3"]


def test_two_versions_stand_side_by_side_with_the_place_in_the_other(app):
    status, page = get(app, "/", user="u1", k=3, left="vectors/versions/1", right="vectors/versions/2")
    assert status == 200
    left, right = ([item for item, _ in best(version, 3)] for version in (1, 2))
    for table, own, other in zip(page.tables, (left, right), (right, left), strict=True):
        assert [line[1] for line in rows(table)] == [TITLES[item] for item in own]
        assert [line[-1] for line in rows(table)] == [
            str(other.index(item) + 1) if item in other else "–" for item in own
        ]
    assert page.by_id["common"] == f"{len(set(left) & set(right))} of 3 items stand in both lists."


def test_the_candidates_stand_behind_their_ranking(app):
    _, page = get(app, "/", user="u1", k=3, left="vectors/versions/1", ranker="upside_down")
    candidates = [item for item, _ in best(1, 8)]
    ranked, behind = page.tables
    assert [line[1] for line in rows(behind)] == [TITLES[item] for item in candidates]
    upside_down = list(reversed(candidates))[:3]
    assert [line[1] for line in rows(ranked)] == [TITLES[item] for item in upside_down]
    assert [line[-1] for line in rows(ranked)] == [str(candidates.index(item) + 1) for item in upside_down]


def test_a_cascade_says_in_one_request_what_each_stage_did(client, dataset):
    app = make_app(client, read_catalogue(dataset), ["cascade", "vectors"], ["upside_down"])
    near = [item for item, _ in best(1, 8)]
    listed = near[::-1]
    even = [item for item in ITEMS if int(item[1:]) % 2 == 0]

    def places(item):
        return [str(found.index(item) + 1) if item in found else "–" for found in (near, even, listed)]

    status, page = get(app, "/", user="u1", k=3)
    assert status == 200
    ranked, before = page.tables
    assert ranked[0] == ["", "item", "score", "because of", "near", "even", "ranking"]
    assert [(line[1], line[3], line[4:]) for line in rows(ranked)] == [
        (TITLES[item] + (" explored" if place == 2 else ""), f"{TITLES['i0']} 0.75", places(item))
        for place, item in enumerate(listed[:3], start=1)
    ]
    assert [(line[1], line[2], line[3:]) for line in rows(before)] == [
        (TITLES[item], f"{1 / (60 + place):.4f}", places(item)) for place, item in enumerate(near, start=1)
    ]
    text = app.test_client().get("/?user=u1", base_url="http://127.0.0.1").get_data(as_text=True)
    times = re.search(r'class="times">(.*?)</p>', text)[1]
    assert re.fullmatch(r"all stages \d+\.\d ms · titles \d+\.\d ms", times)
    _, page = get(app, "/", user="u1", k=8, seen="1")
    assert len(rows(page.tables[0])) == 8
    _, page = get(app, "/", user="u1", k=2, right="vectors", ranker="upside_down")
    assert [table[0][-2:] for table in page.tables[::2]] == [["before", "beside"]] * 2


def test_seen_items_come_when_they_are_asked_for(app):
    _, page = get(app, "/", user="u1", k=8, left="vectors/versions/1", seen="1")
    assert [line[1] for line in rows(page.tables[0])] == [TITLES[item] for item, _ in best(1, 8, hidden=())]


def test_an_unknown_user_is_answered_and_said_to_be_one(app):
    status, page = get(app, "/", user="nobody")
    assert status == 200
    assert len(rows(page.tables[0])) == 7
    status, page = get(app, "/", user="ü")
    assert (status, page.tables[0] != []) == (200, True)


def test_similar_items_are_nearest_by_cosine_and_those_for_who_took_it_alone(app):
    status, page = get(app, "/item", id="i2", left="vectors/versions/1", k=3)
    assert status == 200
    vectors = VECTORS[1] / np.linalg.norm(VECTORS[1], axis=1, keepdims=True)
    cosines = vectors @ vectors[2]
    nearest = [i for i in np.argsort(-cosines) if i != 2][:3]
    by_vectors, by_taking = page.tables
    assert [line[1:] for line in rows(by_vectors)] == [[TITLES[ITEMS[i]], f"{cosines[i]:.4f}"] for i in nearest]
    taken = best(1, 3, history=["i2"], hidden=("i2", "i7"))
    assert [line[1:] for line in rows(by_taking)] == [[TITLES[item], f"{score:.4f}"] for item, score in taken]


def test_every_link_of_a_page_leads_to_a_page(app):
    _, page = get(app, "/", user="u1", k=2, right="vectors/versions/1", ranker="upside_down")
    links = set(page.links)
    assert len(links) > 4
    for link in links:
        status = app.test_client().get(link, base_url="http://127.0.0.1:8510").status_code
        assert status in (200, 302), link


def test_another_user_is_one_of_the_dataset_and_the_rest_of_the_question_stays(app):
    response = app.test_client().get(
        "/another?k=5&right=vectors/versions/1&_anchor=x", base_url="http://127.0.0.1:8510"
    )
    assert response.status_code == 302
    asked = urllib.parse.parse_qs(urllib.parse.urlsplit(response.headers["Location"]).query)
    assert asked.pop("user")[0] in EVENTS
    assert asked == {"k": ["5"], "right": ["vectors/versions/1"]}


def test_without_a_dataset_titles_come_from_the_model(client):
    app = make_app(client, Catalogue(), ["vectors"])
    _, page = get(app, "/", user="u1", k=1)
    assert rows(page.tables[0])[0][1] == f"Model's title of {best(2, 1)[0][0]}"
    assert page.lists == []
    status, page = get(app, "/item", id="i2")
    assert status == 200
    assert page.tables == []
