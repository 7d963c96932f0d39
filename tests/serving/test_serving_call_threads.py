"""The threads that answer calls: their order, their number, and what is left when some are held up or a call fails."""

import threading
import time
import weakref

import pytest

from serving.server.rpc import call_threads
from serving.server.rpc.call_threads import CallThreads
from serving.server.runtime.waiting import wait_for


@pytest.fixture
def threads_of():
    made = []

    def make(num_threads, most_threads):
        made.append(CallThreads(num_threads, most_threads))
        return made[-1]

    yield make
    for threads in made:
        threads.close()


def num_alive(threads):
    return sum(thread.is_alive() for thread in list(threads._threads))


def test_one_thread_takes_the_calls_in_their_order(threads_of):
    threads, done, order = threads_of(1, 1), threading.Event(), []
    for number in range(50):
        threads.submit(order.append, number)
    threads.submit(done.set)
    assert done.wait(20)
    assert order == list(range(50))


def test_quick_calls_take_no_more_threads_than_there_should_be(threads_of):
    threads, used, left = threads_of(2, 10), set(), threading.Semaphore(0)

    def work():
        used.add(threading.get_ident())
        left.release()

    for _ in range(500):
        threads.submit(work)
    for _ in range(500):
        assert left.acquire(timeout=20)
    assert len(used) <= 2
    assert num_alive(threads) <= 2


def test_calls_that_are_held_up_keep_no_other_out_and_their_threads_end_later(threads_of, eventually):
    threads, opens, done = threads_of(2, 12), threading.Event(), threading.Event()
    for _ in range(8):
        threads.submit(opens.wait)
    threads.submit(done.set)
    assert done.wait(20)
    opens.set()

    def is_back():
        for _ in range(4):  # a thread sees that it is one too many when it has ended a call
            threads.submit(time.sleep, 0)
        return num_alive(threads) == 2

    eventually(is_back)


def test_calls_that_wait_for_others_lend_their_place_at_once(threads_of, monkeypatch):
    monkeypatch.setattr(call_threads, "PATIENCE_SECONDS", 60)  # none counts as held up
    threads, last, left = threads_of(2, 12), threading.Lock(), threading.Semaphore(0)
    last.acquire()

    def wait():
        wait_for(last)
        last.release()
        left.release()

    for _ in range(9):
        threads.submit(wait)
    threads.submit(last.release)
    for _ in range(9):
        assert left.acquire(timeout=20)
    assert threads._num_waiting == 0


def test_there_are_never_more_threads_than_allowed(threads_of):
    threads, opens, left = threads_of(1, 3), threading.Event(), threading.Semaphore(0)

    def work():
        opens.wait()
        left.release()

    for _ in range(10):
        threads.submit(work)
    most, end = 0, time.monotonic() + 0.5
    while time.monotonic() < end:
        most = max(most, num_alive(threads))
        time.sleep(0.01)
    assert most == 3
    opens.set()
    for _ in range(10):
        assert left.acquire(timeout=20)


def test_a_callback_is_called_once_whether_it_comes_early_or_late(threads_of, eventually):
    threads, opens, called = threads_of(1, 1), threading.Event(), []
    early = threads.submit(opens.wait)
    early.add_done_callback(called.append)
    assert not called
    opens.set()
    eventually(lambda: called)
    late = threads.submit(int)
    eventually(lambda: late.is_done)
    late.add_done_callback(called.append)
    assert called == [early, late]


def test_an_error_ends_the_call_and_not_the_thread(threads_of, eventually, caplog):
    threads, called, done = threads_of(1, 1), [], threading.Event()
    threads.submit(int, "no number").add_done_callback(called.append)
    threads.submit(done.set)
    assert done.wait(20)
    assert called
    assert "invalid literal" in caplog.text


def test_what_a_call_brought_is_forgotten_when_it_has_ended(threads_of, eventually):
    class Request:
        pass

    threads, request = threads_of(1, 1), Request()
    forgotten = weakref.ref(request)
    threads.submit(id, request)
    del request
    eventually(lambda: forgotten() is None)


def test_closed_threads_end_after_the_calls_that_they_have(threads_of, eventually):
    threads, opens, order = threads_of(2, 4), threading.Event(), []
    alive = threads._threads
    threads.submit(opens.wait)
    for number in range(20):
        threads.submit(order.append, number)
    threads.close()
    with pytest.raises(RuntimeError, match="they are closed"):
        threads.submit(int)
    opens.set()
    eventually(lambda: not any(thread.is_alive() for thread in alive))
    assert sorted(order) == list(range(20))
