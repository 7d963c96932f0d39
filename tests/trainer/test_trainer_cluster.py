"""TF_CONFIG: what it means, every mistake in it in one line, and tasks that are not there."""

import json
import socket
import threading
import time

import pytest

from tfrec.errors import ConfigError
from trainer.cluster.rendezvous import gather, listening, wait_for, why_unreachable
from trainer.cluster.tf_config import Address, read_cluster

CHIEF, WORKERS, SERVERS = ["a:2222"], ["b:2222", "c:2222"], ["d:2222", "e:2222"]
FULL = {"chief": CHIEF, "worker": WORKERS, "ps": SERVERS}


def cluster_of(cluster, role="chief", index=0, **further):
    content = {"cluster": cluster, "task": {"type": role, "index": index}, **further}
    return read_cluster({"TF_CONFIG": json.dumps(content)})


def free_ports(count):
    holders = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [holder.getsockname()[1] for holder in holders]
    for holder in holders:
        holder.close()
    return ports


def test_roles_and_addresses_are_what_the_json_says():
    cluster = cluster_of(FULL, "worker", 1)
    assert cluster.own == Address("c", 2222)
    assert cluster.spec == FULL
    assert cluster.others() == {
        "chief 0": Address("a", 2222),
        "worker 0": Address("b", 2222),
        "ps 0": Address("d", 2222),
        "ps 1": Address("e", 2222),
    }
    assert (cluster.has_servers, cluster.is_chief, cluster.num_trainers) == (True, False, 3)


def test_master_is_the_older_name_of_the_chief():
    for index in (0, "0"):  # some schedulers write the index as text
        cluster = cluster_of({"master": CHIEF, "worker": WORKERS}, "master", index, environment="cloud", job={})
        assert (cluster.role, cluster.index, cluster.is_chief) == ("chief", 0, True)
        assert cluster.spec == {"chief": CHIEF, "worker": WORKERS}


def test_without_a_chief_the_first_worker_is_it():
    assert [cluster_of({"worker": WORKERS}, "worker", index).is_chief for index in (0, 1)] == [True, False]
    assert [cluster_of({"worker": WORKERS}, "worker", index).trainer_index for index in (0, 1)] == [0, 1]
    with_chief = {"chief": CHIEF, "worker": WORKERS}
    assert [cluster_of(with_chief, "worker", index).is_chief for index in (0, 1)] == [False, False]
    assert cluster_of(with_chief, "chief").trainer_index == 0
    assert [cluster_of(with_chief, "worker", index).trainer_index for index in (0, 1)] == [1, 2]


def test_an_address_of_ip_version_6_keeps_its_colons():
    cluster = cluster_of({"worker": ["[::1]:2222", "b:2222"]}, "worker", 0)
    assert cluster.own == Address("::1", 2222)
    assert cluster.spec == {"worker": ["[::1]:2222", "b:2222"]}


@pytest.mark.parametrize("text", ["", "  ", "{}", '{"cluster": {}}', '{"cluster": {"worker": []}}'])
def test_no_tasks_mean_plain_training(text):
    assert read_cluster({"TF_CONFIG": text}) is None
    assert read_cluster({}) is None


def test_one_task_means_plain_training():
    assert cluster_of({"chief": CHIEF}) is None
    assert cluster_of({"master": CHIEF}, "master") is None
    assert cluster_of({"worker": CHIEF}, "worker") is None
    assert cluster_of({"chief": CHIEF, "evaluator": ["b:1"]}, "chief") is None


def test_an_evaluator_stands_beside_the_cluster():
    cluster = cluster_of({"chief": CHIEF, "worker": WORKERS}, "evaluator")
    assert (cluster.role, cluster.is_chief) == ("evaluator", False)
    assert cluster_of({"chief": CHIEF, "evaluator": ["b:1"]}, "evaluator").role == "evaluator"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{'cluster'}", "not JSON"),
        ("[1]", "an object is needed"),
        ('{"cluster": [1]}', "'cluster' maps roles to lists of addresses; got [1]"),
        ('{"cluster": {"worker": "a:1"}}', "cluster.worker: a list of addresses is needed, got 'a:1'"),
        ('{"cluster": {"wroker": ["a:1"]}}', "unknown role 'wroker'; did you mean 'worker'?"),
        ('{"cluster": {"chief": ["a:1"], "master": ["b:1"]}}', "'master' is the older name of 'chief'"),
        ('{"cluster": {"worker": ["a"]}}', "cluster.worker[0]: 'host:port' is needed, got 'a'"),
        ('{"cluster": {"worker": [":1"]}}', "cluster.worker[0]: 'host:port' is needed, got ':1'"),
        ('{"cluster": {"worker": [7]}}', "cluster.worker[0]: 'host:port' is needed, got 7"),
        ('{"cluster": {"worker": ["grpc://a:1"]}}', "without a scheme; got 'grpc://a:1'"),
        ('{"cluster": {"worker": ["a:1", "b:http"]}}', "cluster.worker[1]: the port of 'b:http' is not a number"),
        ('{"cluster": {"worker": ["a:65536"]}}', "the port of 'a:65536' is not a number from 1 to 65535"),
        ('{"cluster": {"worker": ["a:0"]}}', "the port of 'a:0' is not a number from 1 to 65535"),
        ('{"cluster": {"worker": ["a:1"], "ps": ["a:1"]}}', "worker[0] and ps[0] have the same address a:1"),
        ('{"cluster": {"worker": ["a:1", "b:1"]}}', "'task' must say which one this process is"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"index": 0}}', "'task' must say which one this process is"),
        ('{"cluster": {"worker": ["a:1"]}, "task": {"type": "boss"}}', "task.type: unknown role 'boss'"),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "ps", "index": 0}}',
            "this process is a ps, but cluster has none; it has worker",
        ),
        (
            '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 2}}',
            "task.index: got 2, but cluster.worker has 2 (0 to 1)",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": -1}}',
            "task.index: a whole number from 0 is needed, got -1",
        ),
        (
            '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": true}}',
            "task.index: a whole number from 0 is needed, got True",
        ),
        (
            '{"cluster": {"chief": ["a:1", "b:1"]}, "task": {"type": "chief", "index": 0}}',
            "cluster.chief: there is one chief, got 2",
        ),
        (
            '{"cluster": {"worker": ["a:1"], "ps": ["b:1"]}, "task": {"type": "worker", "index": 0}}',
            "parameter servers (ps) need a chief, and there is none",
        ),
        (
            '{"cluster": {"chief": ["a:1"], "ps": ["b:1"]}, "task": {"type": "chief", "index": 0}}',
            "parameter servers (ps) need a worker, and there is none",
        ),
        (
            '{"cluster": {"evaluator": ["a:1"]}, "task": {"type": "evaluator", "index": 0}}',
            "nobody trains",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it(text, message):
    with pytest.raises(ConfigError) as caught:
        read_cluster({"TF_CONFIG": text})
    assert str(caught.value).startswith("TF_CONFIG: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_tasks_find_each_other_in_any_order():
    first, second = (f"localhost:{port}" for port in free_ports(2))
    clusters = [cluster_of({"worker": [first, second]}, "worker", index) for index in (0, 1)]
    errors = []

    def come(cluster, wait):
        time.sleep(wait)
        try:
            with listening(cluster):
                wait_for(cluster.others(), 20)
                arrived.wait(20)  # the port stays until the other has seen it, as TensorFlow's server would
        except Exception as error:
            errors.append(error)

    arrived = threading.Barrier(2)
    threads = [threading.Thread(target=come, args=(cluster, wait)) for cluster, wait in zip(clusters, (0, 0.5))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    for cluster in clusters:  # and the ports are free for TensorFlow
        with listening(cluster):
            pass


def test_who_does_not_answer_is_named_with_the_reason():
    own, closed = free_ports(2)
    with socket.create_server(("localhost", 0)) as server:
        there = server.getsockname()[1]
        cluster = cluster_of(
            {
                "chief": [f"localhost:{own}"],
                "worker": [f"localhost:{there}", f"localhost:{closed}"],
                "ps": ["nowhere.invalid:2222"],
            }
        )
        said = []
        with pytest.raises(ConfigError) as caught:
            gather(cluster, 0.3, said.append)
    message = str(caught.value)
    assert f"worker 1 (localhost:{closed}: connection refused)" in message
    assert "ps 0 (nowhere.invalid:2222: the host name does not resolve)" in message
    assert "worker 0" not in message
    assert "not there after 0.3 s" in message
    assert "\n" not in message


def test_a_taken_port_is_one_line():
    with socket.create_server(("", 0)) as server:
        port = server.getsockname()[1]
        cluster = cluster_of({"chief": [f"localhost:{port}"], "worker": ["localhost:1"]})
        with pytest.raises(ConfigError, match=rf"port {port} of this task \(chief 0\) cannot be taken"):
            gather(cluster, 0.3)


def test_a_listening_task_is_reachable_and_another_is_not():
    port, closed = free_ports(2)
    cluster = cluster_of({"worker": [f"127.0.0.1:{port}", "b:1"]}, "worker")
    with listening(cluster):
        assert why_unreachable(cluster.own) is None
    assert why_unreachable(Address("127.0.0.1", closed)) == "connection refused"
