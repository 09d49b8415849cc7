"""Ctrl-C and SIGTERM as requests; here the process sends them to itself."""

import os
import signal
import threading

import pytest

from jaxgesture.core import interrupt
from jaxgesture.core.interrupt import StopRequests

BOTH = (signal.SIGINT, signal.SIGTERM)


def handlers():
    return [signal.getsignal(number) for number in BOTH]


@pytest.mark.parametrize("number", BOTH)
def test_a_signal_is_a_request_and_what_was_there_before_comes_back(number, capfd):
    before = handlers()
    with StopRequests() as stop:
        assert stop.requested is None
        os.kill(os.getpid(), number)
        assert stop.requested is number
    assert handlers() == before
    assert capfd.readouterr().err == "\nstopping after this step; Ctrl-C stops at once\n"


def test_several_processes_are_told_when_they_ask_each_other(monkeypatch, capfd):
    monkeypatch.setattr(interrupt.jax, "process_count", lambda: 2)
    with StopRequests():
        os.kill(os.getpid(), signal.SIGINT)
    assert "\nstopping at the next step that is logged; " in capfd.readouterr().err


def test_a_second_ctrl_c_stops_at_once_and_leaves_nothing_behind():
    before = handlers()
    with pytest.raises(KeyboardInterrupt):
        with StopRequests() as stop:
            os.kill(os.getpid(), signal.SIGINT)
            assert stop.requested is signal.SIGINT
            os.kill(os.getpid(), signal.SIGINT)
    assert handlers() == before


def test_a_scheduler_may_ask_twice():
    with StopRequests() as stop:
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGTERM)
        os.kill(os.getpid(), signal.SIGTERM)
    assert stop.requested is signal.SIGTERM


def test_a_thread_requests_nothing():
    """Python takes signal handlers in the main thread alone."""
    before, seen = handlers(), []

    def work():
        with StopRequests() as stop:
            seen.append((stop.requested, handlers() == before))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(None, True)] and handlers() == before


def test_among_several_processes_sigterm_is_left_to_jax(monkeypatch):
    monkeypatch.setattr(interrupt.jax, "process_count", lambda: 2)
    old = signal.getsignal(signal.SIGTERM)
    with StopRequests() as stop:
        assert signal.getsignal(signal.SIGTERM) is old
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.requested is signal.SIGINT
