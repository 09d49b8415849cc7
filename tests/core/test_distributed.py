"""Processes that meet, live, fail and die; here they are threads with sockets between them."""

import concurrent.futures
import contextlib
import socket
import threading
import time

import pytest

from jaxgesture.core import distributed, meeting, peers, relay
from jaxgesture.core.errors import UserError
from jaxgesture.core.launch import Launch


class Ended(list):
    """What `leave` is called with; the process goes on, which in earnest it does not."""

    def __init__(self):
        super().__init__()
        self.event = threading.Event()

    def __call__(self, status):
        self.append(status)
        self.event.set()


@pytest.fixture
def together():
    """Makes the given number of processes that have met; closes them."""
    made = []

    def make(count, silent_s=5.0, stall_s=60.0):
        listener = meeting.listen(0)
        port = listener.getsockname()[1]
        with concurrent.futures.ThreadPoolExecutor() as pool:
            first = pool.submit(lambda: _open(listener, count))
            rest = [
                pool.submit(meeting.join, "localhost", port, k, count, 10.0)
                for k in range(1, count)
            ]
            links = [first.result(), *({0: one.result()[0]} for one in rest)]
        assert {one.result()[1] for one in rest} == {1234}
        for k, connections in enumerate(links):
            ended = Ended()
            one = peers.Peers(
                k, count, connections, silent_s, stall_s, lambda: "see step 30", ended
            )
            made.append((one, ended))
        return made

    yield make
    for one, _ in made:
        one.close()


def _open(listener, count):
    connections = meeting.gather(listener, count, 10.0)
    meeting.start(connections, 1234)
    return connections


def kill(one):
    """What the kernel does with the sockets of a killed process."""
    one._closed.set()
    for link in one._links.values():
        with contextlib.suppress(OSError):
            link.connection.shutdown(socket.SHUT_RDWR)


@pytest.mark.parametrize("victim", [0, 2])
def test_a_killed_process_is_named_by_all_others(together, capfd, victim):
    made = together(3)
    for one, _ in made:
        one.step = 37
    start = time.monotonic()
    kill(made[victim][0])
    for k, (_, ended) in enumerate(made):
        if k != victim:
            assert ended.event.wait(5.0) and ended[0] == 1
    assert time.monotonic() - start < 3.0
    line = (
        f"jaxgesture: error: process {victim} of 3 stopped answering while this one was at step "
        "37; see step 30"
    )
    assert capfd.readouterr().err.split("\n").count(line) == 2


def test_a_frozen_process_is_noticed(together, capfd, monkeypatch):
    made = together(2, silent_s=0.5)
    monkeypatch.setattr(made[1][0], "_tell_all", lambda message: None)
    assert made[0][1].event.wait(5.0) and made[1][1].event.wait(5.0)
    assert capfd.readouterr().err.count("process 1 of 2 stopped answering; see step 30") == 2


def test_a_step_that_never_ends_is_noticed(together, capfd):
    made = together(3, silent_s=0.5, stall_s=1.0)
    for (one, _), step in zip(made, (8, 7, 8), strict=True):
        one.step = step
    assert made[1][1].event.wait(5.0)
    text = "no step was finished for 1 s (--stall_timeout_s); last was step 7 of process 1 of 3"
    assert text in capfd.readouterr().err


def test_a_process_that_fails_tells_the_others_why(together, capfd, monkeypatch):
    monkeypatch.setattr(peers, "GRACE_S", 0.2)
    made = together(3)
    made[2][0].fail("no such\nfile")
    for _, ended in made:
        assert ended.event.wait(5.0)
    # It has said so itself, and the others say it for it.
    assert capfd.readouterr().err.count("process 2 of 3 failed: no such file; see step 30") == 2


def test_an_error_of_ones_own_is_told_from_one_by_another(together, capfd):
    made = together(2, silent_s=1.0)
    made[1][0].await_blame(False)  # returns: all live
    kill(made[0][0])
    blamed = threading.Thread(target=made[1][0].await_blame, args=(True,), daemon=True)
    blamed.start()
    assert made[1][1].event.wait(3.0)
    assert blamed.is_alive()
    assert "process 0 of 2 stopped answering" in capfd.readouterr().err


def test_meetings(together):
    made = together(3)
    order = []

    def visit(k):
        for number in range(2):
            time.sleep(0.1 * k)
            order.append(number)
            made[k][0].meet()
        made[k][0].finish()

    with concurrent.futures.ThreadPoolExecutor() as pool:
        list(pool.map(visit, range(3)))
    assert order == sorted(order)
    kill(made[1][0])
    time.sleep(0.5)
    assert not any(ended for _, ended in made)  # after the last one all may go


def test_words_that_fail_are_no_silence(together, capfd):
    made = together(2)
    made[0][0]._last_words = lambda: 1 / 0
    kill(made[1][0])
    assert made[0][1].event.wait(5.0)
    assert "stopped answering; what is saved cannot be seen (ZeroDivisionError" in (
        capfd.readouterr().err
    )


def test_who_did_not_come():
    listener = meeting.listen(0)
    port = listener.getsockname()[1]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(meeting.gather, listener, 5, 2.0)
        second = pool.submit(meeting.join, "localhost", port, 2, 5, 10.0)
        with socket.create_connection(("localhost", port)) as stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
            with pytest.raises(UserError, match="processes 1, 3 and 4 of 5 did not come within"):
                first.result()
        with pytest.raises(UserError, match="did not come .says process 0 at localhost"):
            second.result()


@pytest.mark.parametrize(
    "index, count, message",
    [
        (1, 3, "process 0 was started with 2 processes, process 1 with 3"),
        (7, 2, "there are 2 processes, from 0 to 1, and no process 7"),
    ],
)
def test_who_is_refused(index, count, message):
    listener = meeting.listen(0)
    port = listener.getsockname()[1]
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(meeting.gather, listener, 2, 1.0)
        with pytest.raises(UserError, match=message):
            meeting.join("localhost", port, index, count, 5.0)
        with pytest.raises(UserError, match="process 1 of 2 did not come"):
            first.result()


def test_nobody_is_there_and_the_port_is_taken():
    with meeting.listen(0) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} cannot be opened by process 0"):
            meeting.listen(port)
    with pytest.raises(UserError, match=f"cannot be reached at localhost:{port} within 0.3 s"):
        meeting.join("localhost", port, 1, 2, 0.3)


def test_the_relay_stays_open_when_the_server_is_gone():
    server = socket.create_server(("127.0.0.1", 0))
    near = relay.dial("127.0.0.1", relay.start("127.0.0.1", server.getsockname()[1], 5.0), 5.0)
    far, _ = server.accept()
    near.sendall(b"ping")
    assert far.recv(10) == b"ping"
    far.sendall(b"pong")
    assert near.recv(10) == b"pong"
    far.close()
    near.settimeout(0.3)
    with pytest.raises(TimeoutError):
        near.recv(10)
    near.close()


def test_one_process_needs_nobody():
    distributed.passed(3)
    distributed.meet()
    with distributed.processes(Launch(), distributed.Patience(), str), distributed.attended():
        pass
    with pytest.raises(ValueError, match="as it is"), distributed.attended():
        raise ValueError("as it is")
    with pytest.raises(UserError, match="must be more than 0"):
        distributed.Patience(silent_s=0)
