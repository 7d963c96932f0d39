"""Which server gets a request, how many more requests than calls there are: rules, on a clock of their own."""

import dataclasses

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from serving.client import ClientOptions, Retries, ServingError
from serving.client.addresses import parse_addresses
from serving.client.balancer import Balancer
from serving.client.deadline import Deadline
from serving.client.model_name import ModelName
from serving.client.questions import AskStatus
from serving.client.retry_budget import RetryBudget
from serving.client.sender import Sender
from tfrec.errors import ConfigError


@dataclasses.dataclass(frozen=True)
class Named:
    target: str


@pytest.fixture
def clock():
    class Clock:
        now = 100.0

        def __call__(self):
            return self.now

    return Clock()


def balancer_of(count, clock, **options):
    return Balancer([Named(f"s{i}") for i in range(count)], clock=clock, **options)


def test_the_server_with_the_fewest_requests_is_taken_and_equals_take_turns(clock):
    balancer = balancer_of(3, clock)
    assert [balancer.take().target for _ in range(6)] == ["s0", "s1", "s2"] * 2
    balancer.answered(Named("s1"))
    assert balancer.take().target == "s1"


def test_round_robin_does_not_look_at_the_load(clock):
    balancer = balancer_of(2, clock, by_load=False)
    assert [balancer.take().target for _ in range(4)] == ["s0", "s1"] * 2
    balancer.answered(Named("s1"))
    assert balancer.take().target == "s0"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["take", "answered", "dropped"])), max_size=60))
def test_a_server_taken_never_has_more_requests_than_another(steps):
    balancer = balancer_of(4, lambda: 0.0)
    in_flight = dict.fromkeys([f"s{i}" for i in range(4)], 0)
    for number, what in steps:
        name = f"s{number}"
        if what == "take":
            taken = balancer.take().target
            assert in_flight[taken] == min(in_flight.values())
            in_flight[taken] += 1
        elif in_flight[name]:
            getattr(balancer, what)(Named(name))
            in_flight[name] -= 1


def test_a_server_that_fails_pauses_twice_as_long_each_time_up_to_ten_seconds(clock):
    balancer = balancer_of(2, clock)
    pauses = []
    for _ in range(8):
        while (server := balancer.take()).target != "s0":
            balancer.answered(server)
            clock.now += 0.01
        balancer.failed(server)
        failed_at = clock.now
        while not balancer.has_other({"s1"}):
            clock.now += 0.01
        pauses.append(clock.now - failed_at)
    assert pauses == pytest.approx([0.25, 0.5, 1, 2, 4, 8, 10, 10], abs=0.02)


def test_after_a_pause_one_request_tries_the_server_until_it_answers(clock):
    balancer = balancer_of(2, clock)
    balancer.failed(balancer.take())  # s0
    clock.now += 1
    assert sorted(balancer.take().target for _ in range(4)) == ["s0", "s1", "s1", "s1"]
    balancer.answered(Named("s0"))
    assert [balancer.take().target for _ in range(2)] == ["s0", "s0"]


def test_three_late_answers_in_a_row_pause_a_server(clock):
    balancer = balancer_of(2, clock)
    for _ in range(2):
        balancer.was_late(balancer.take({"s1"}))
    balancer.answered(balancer.take({"s1"}))
    for _ in range(2):
        balancer.was_late(balancer.take({"s1"}))
    assert balancer.has_other({"s1"})
    balancer.was_late(balancer.take({"s1"}))
    assert not balancer.has_other({"s1"})


def test_where_all_pause_the_one_whose_pause_ends_first_is_asked(clock):
    balancer = balancer_of(2, clock)
    balancer.failed(balancer.take({"s0"}))
    clock.now += 0.1
    balancer.failed(balancer.take({"s1"}))
    assert [balancer.take().target for _ in range(3)] == ["s1"] * 3


@settings(max_examples=50, deadline=None)
@given(st.lists(st.booleans(), max_size=300), st.sampled_from([0.0, 0.1, 0.2, 1.0]))
def test_no_more_than_the_share_and_ten_are_ever_spent(steps, share):
    budget = RetryBudget(share)
    calls = spent = 0
    for begins in steps:
        if begins:
            budget.earn()
            calls += 1
        else:
            spent += budget.spend()
        assert spent <= (10 + share * calls + 1e-9 if share else 0)


class Refusing:
    """A server that takes no request; counts them."""

    def __init__(self, target, code=grpc.StatusCode.UNAVAILABLE):
        self.target = target
        self.code = code
        self.requests = 0

    def call(self, question, deadline):
        self.requests += 1
        raise ServingError.of_answer(self.code, "full", question.asked, self.target, deadline.timeout_seconds)


def send(sender, timeout_seconds=60.0):
    with pytest.raises(ServingError) as caught:
        sender.send(AskStatus(ModelName.parse("m")), Deadline.after(timeout_seconds))
    return str(caught.value)


def test_a_call_is_made_as_often_as_allowed_each_time_elsewhere():
    servers = [Refusing(name) for name in ("a", "b", "c", "d")]
    assert send(Sender(servers, ClientOptions())).endswith("(3 attempts)")
    assert [server.requests for server in servers] == [1, 1, 1, 0]


def test_servers_that_are_down_get_few_more_requests_than_there_are_calls():
    servers = [Refusing("a"), Refusing("b")]
    retries = Retries(attempts=5, initial_backoff_seconds=1e-4, max_backoff_seconds=1e-4, extra_share=0.2)
    sender = Sender(servers, ClientOptions(retries=retries))
    for _ in range(100):
        send(sender)
    assert 110 <= sum(server.requests for server in servers) <= 100 + 10 + 20


@pytest.mark.parametrize(
    "code", [code for code in grpc.StatusCode if code not in (grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE)]
)
def test_only_what_a_server_could_not_take_is_tried_again(code):
    servers = [Refusing("a", code), Refusing("b", code)]
    assert "attempts" not in send(Sender(servers, ClientOptions()))
    assert servers[0].requests + servers[1].requests == 1


def test_a_wait_that_would_outlast_the_deadline_is_not_begun():
    server = Refusing("a")
    retries = Retries(initial_backoff_seconds=1e9, max_backoff_seconds=1e9)
    send(Sender([server], ClientOptions(retries=retries)), timeout_seconds=0.5)
    assert server.requests == 1


def test_addresses_are_listed_once_and_of_one_protocol():
    assert parse_addresses("a:1, b:2,a:1") == ("a:1", "b:2")
    assert parse_addresses(["http://a:1/", "http://b:2"]) == ("http://a:1", "http://b:2")
    with pytest.raises(ConfigError, match="all must speak gRPC"):
        parse_addresses("a:1,http://b:2")
    with pytest.raises(ConfigError, match="expected HOST:PORT"):
        parse_addresses(" ,")


def test_a_model_is_named_as_in_rest_paths():
    assert ModelName.parse("m") == ModelName("m", "m")
    assert ModelName.parse("m/versions/007") == ModelName("m/versions/007", "m", 7)
    assert ModelName.parse("m/labels/canary") == ModelName("m/labels/canary", "m", None, "canary")
    for odd in ("", "m/", "m/versions/x", "m/7", "m/labels/a/b"):
        with pytest.raises(ConfigError, match="expected NAME, NAME/versions/NUMBER or NAME/labels/LABEL"):
            ModelName.parse(odd)
