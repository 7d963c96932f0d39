"""Two models behind one client, embeddings, tables, versions, encryption: against real servers."""

import asyncio
import inspect
import ssl

import grpc
import numpy as np
import pytest

from serving.client import AsyncClient, Client, ClientOptions, ServingError, Tls
from tests.serving.certificates import write_certificates
from tests.serving.client_models import Ranker, Towers
from tests.serving.tcp_proxy import TcpProxy
from tfrec.errors import ConfigError


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Base paths of `ranker` and `towers`."""
    root = tmp_path_factory.mktemp("more")
    Ranker().save(root / "ranker" / "1")
    Towers().save(root / "towers" / "4")
    return root


@pytest.fixture
def more_models(saved, serve, model, add_version):
    """A server with `ranker`, `towers` and `recommender`."""
    recommender = model("recommender", add_version("recommender", 1, "recommender"))
    return serve(recommender, *(model(name, saved / name) for name in ("ranker", "towers"))).target


@pytest.fixture
def client(more_models):
    with Client(more_models, 20) as connected:
        yield connected


def test_both_clients_have_the_same_calls():
    def calls_of(kind):
        return {name: inspect.signature(call) for name, call in vars(kind).items() if not name.startswith("_")}

    assert calls_of(AsyncClient) == calls_of(Client)
    assert {"recommend", "stages", "close"} <= calls_of(Client).keys()


def test_a_ranker_orders_the_candidates_of_the_model(client):
    items = client.recommend("recommender", "new", k=2, ranker="ranker", candidates=4)
    assert (items.ids, items.scores, items.model, items.version) == (("i3", "i2"), (3.0, 2.0), "ranker", 1)
    assert items.candidates.ids == ("i0", "i1", "i2", "i3")
    assert (items.candidates.model, items.candidates.scores) == ("recommender", (7.0, 6.0, 5.0, 4.0))


def test_each_of_two_models_gets_the_features_it_has(client):
    found = client.recommend("recommender", "new", k=1, ranker="ranker", candidates=4, year=2001, device="tv", boost=1)
    assert (found.ids, found.scores) == (("i0",), (1.0,))
    assert found.candidates.scores[0] == 9.0
    with pytest.raises(ConfigError, match="unknown feature 'devise'"):
        client.recommend("recommender", "new", ranker="ranker", devise="tv")


def test_a_batch_is_ranked_row_by_row(client):
    allow = [["i1", "i2", "i5"], ["i4"], []]
    batch = client.recommend_batch("recommender", ["a", "b", "c"], k=3, allow=allow, ranker="ranker", candidates=3)
    assert [row.ids for row in batch] == [("i5", "i2", "i1"), ("i4",), ("i2", "i1", "i0")]
    none = client.recommend("recommender", "a", allow=["?"], ranker="ranker")
    assert (none.ids, none.model) == ((), "recommender")


def test_lists_of_candidates_are_ranked_as_one_by_one(client):
    users, lists = np.array(["u1", "u2"]), [["i1", "i3", "i2"], np.array(["i4"])]
    found = client.rank_batch("ranker", users, lists, device=["tv", ""], boost=0.5)
    assert list(found) == [
        client.rank("ranker", "u1", lists[0], device="tv", boost=0.5),
        client.rank("ranker", "u2", lists[1], boost=0.5),
    ]
    assert found.ids.tolist() == [["i1", "i2", "i3"], ["i4", "", ""]]
    assert len(client.rank_batch("ranker", [], [])) == 0
    with pytest.raises(ConfigError, match="candidates: got 1 lists for 2 users; pass one each"):
        client.rank_batch("ranker", users, lists[:1])
    with pytest.raises(ConfigError, match="got no candidates"):
        client.rank_batch("ranker", users, [["i1"], []])


def test_a_batch_is_arrays_and_a_table_too(client):
    batch = client.recommend_batch("recommender", np.array([1, 2]), k=2, allow=[["i1", "i2"], ["i4"]])
    assert batch.ids.tolist() == [["i1", "i2"], ["i4", ""]]
    np.testing.assert_array_equal(batch.scores, np.float32([[6, 5], [3, -np.inf]]))
    assert batch[1:].ids.tolist() == [["i4"]]
    pandas = pytest.importorskip("pandas", reason="pandas is not installed: it is optional")
    table = batch.to_pandas()
    assert table.to_dict("list") == {
        "user": ["1", "1", "2"],
        "place": [1, 2, 1],
        "item": ["i1", "i2", "i4"],
        "score": [6.0, 5.0, 3.0],
        "model": ["recommender"] * 3,
        "version": [1] * 3,
    }
    frame = pandas.DataFrame({"user": [1, None, 3], "boost": [0.5, 1, None]}).dropna(subset="user")
    found = client.recommend_table("recommender", frame.fillna({"boost": 0.0}), user="user", k=1)
    assert [(row.user, row.scores) for row in found] == [("1", (7.5,)), ("3", (7.0,))]


def test_a_table_goes_in_requests_of_so_many_rows_and_gives_what_single_calls_do(client):
    table = {"id": [f"user{i}" for i in range(5)], "boost": np.arange(5.0), "genres": [["x"], [], ["x", "y"], [], []]}
    found = client.recommend_table("recommender", table, user="id", k=2, rows_per_request=2)
    rows = zip(*table.values(), strict=True)
    assert list(found) == [client.recommend("recommender", u, k=2, boost=b, genres=g) for u, b, g in rows]
    with pytest.raises(ConfigError, match="the table has no column 'user'; did you mean"):
        client.recommend_table("recommender", {"usr": [1]}, user="user")
    with pytest.raises(ConfigError, match="columns are not equally long"):
        client.recommend_table("recommender", {"user": [1], "boost": [1, 2]}, user="user")


def test_users_and_items_are_embedded(client):
    vectors = client.embed("towers", ["a", "bcd"], history=[["x", "y"], []])
    np.testing.assert_array_equal(vectors, np.float32([[1, 2], [3, 0]]))
    np.testing.assert_array_equal(client.embed_items("towers", ["abc", 17]), np.float32([[3, 3], [2, 2]]))
    assert client.embed("towers", []).shape == (0, 0)


def test_a_name_that_is_no_python_word_goes_into_context(client):
    assert client.recommend("recommender", "new", k=1, context={"boost": 1}).scores == (8.0,)
    with pytest.raises(ConfigError, match="unknown feature 'age-group'"):
        client.recommend("recommender", "new", context={"age-group": 1})


def test_a_version_may_be_named(shared_server):
    with Client(shared_server.target, 20) as client:
        sums = [client.predict(f"adder{which}", {"a": [1.0]}) for which in ("", "/versions/3", "/versions/7")]
        assert [(one.version, one.outputs["sum"].tolist()) for one in sums] == [(7, [106]), (3, [6]), (7, [106])]
        with pytest.raises(
            ServingError, match=r"metadata of model 'adder/versions/5' at .*NOT_FOUND: .*Specific\(adder, 5\)"
        ):
            client.predict("adder/versions/5", {"a": [1.0]})
        assert [state.version for state in client.status("adder/versions/3")] == [3]


def test_asyncio_calls_give_what_blocking_ones_do(client, more_models):
    async def run():
        async with AsyncClient(more_models, 20) as other:
            return await asyncio.gather(
                other.recommend("recommender", "u1", k=2, ranker="ranker", boost=1),
                other.recommend_batch("recommender", ["a", "b"], k=2),
                other.recommend_table("recommender", {"u": ["a", "b"]}, user="u", k=2),
                other.rank("ranker", "u1", ["i1", "i2"], device="tv"),
                other.rank_batch("ranker", ["u1"], [["i1", "i2"]], device="tv"),
                other.explain("recommender", "u1", ["i5"]),
                other.embed("towers", ["a"]),
                other.embed_items("towers", ["a"]),
                other.items("recommender", ["i1"]),
                other.titles("recommender", ["i1"]),
                other.status("ranker"),
                other.metadata("ranker"),
                other.predict("ranker", {"user_id": ["u"], "candidate_ids": [["i1"]]}),
            )

    found = asyncio.run(run())
    assert found[0] == client.recommend("recommender", "u1", k=2, ranker="ranker", boost=1)
    assert found[1] == found[2] == client.recommend_batch("recommender", ["a", "b"], k=2)
    assert found[3] == found.pop(4)[0] == client.rank("ranker", "u1", ["i1", "i2"], device="tv")
    assert found[4] == client.explain("recommender", "u1", ["i5"])
    assert found[5].tolist() == client.embed("towers", ["a"]).tolist()
    assert found[6].tolist() == client.embed_items("towers", ["a"]).tolist()
    assert found[7:10] == [client.items("recommender", ["i1"]), ["Title of [i1]"], client.status("ranker")]
    assert found[10].signatures.keys() == client.metadata("ranker").signatures.keys()
    assert found[11].outputs["scores"].tolist() == [[1.0]]


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """PEM files of an authority and of what it signed, for the server and for a client."""
    pytest.importorskip("cryptography", reason="cryptography is not installed: no certificates can be made")
    return write_certificates(tmp_path_factory.mktemp("pem"))


@pytest.mark.parametrize("protocol", ["grpc", "rest"])
def test_tls_checks_the_server_and_shows_the_clients_certificate(shared_server, certificates, protocol):
    rest_port = getattr(shared_server, "rest_port", 0)
    if protocol == "rest" and not rest_port:
        pytest.skip("the given server's REST port is not known")
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates / "authority.pem")
    server.load_cert_chain(certificates / "server.pem", certificates / "server.key")
    server.verify_mode = ssl.CERT_REQUIRED
    if protocol == "grpc":
        server.set_alpn_protocols(["h2"])
    proxy = TcpProxy(shared_server.target if protocol == "grpc" else f"127.0.0.1:{rest_port}", tls=server)
    address = proxy.target if protocol == "grpc" else f"https://{proxy.target}"

    def ids(**tls):
        options = ClientOptions(tls=Tls(**tls), retries={"attempts": 1})
        with Client(address, 20, options=options) as client:
            return client.recommend("recommender", "new", k=1).ids

    own = {"certificate": certificates / "client.pem", "private_key": certificates / "client.key"}
    trusted = {"root_certificates": certificates / "authority.pem"}
    assert ids(**trusted, **own) == ("i0",)
    wrongs = [own, trusted]
    if protocol == "grpc":
        assert ids(**trusted, **own, server_name="models.test") == ("i0",)
        wrongs.append({**trusted, **own, "server_name": "other.test"})
    for wrong in wrongs:
        with pytest.raises(ServingError) as caught:
            ids(**wrong)
        assert caught.value.code is grpc.StatusCode.UNAVAILABLE
    proxy.kill()
    with pytest.raises(ConfigError, match="certificate and private_key go together"):
        ids(certificate=own["certificate"])
    with pytest.raises(ConfigError, match=r"can't read .*nowhere"):
        ids(root_certificates="/nowhere.pem")
