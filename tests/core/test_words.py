"""What processes say to each other, and what launchers say in other words than usual."""

import os
import socket

import pytest

from jaxgesture.core import distributed, meeting
from jaxgesture.core.errors import UserError
from jaxgesture.core.launch import Launch, find

SLURM = {
    "SLURM_JOB_ID": "1", "SLURM_STEP_NODELIST": "a", "SLURM_NTASKS": "2", "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0",
}  # fmt: skip
OPEN_MPI = {"OMPI_COMM_WORLD_SIZE": "2", "OMPI_COMM_WORLD_RANK": "1"}


@pytest.fixture
def pair():
    """Both ends of a connection."""
    near, far = socket.socketpair()
    with near, far:
        yield near, far


def test_messages_come_one_by_one(pair):
    near, far = pair
    messages = [{"hello": 2, "of": 4}, {"refused": 'a "word"\nand a line'}, {}]
    for message in messages:
        meeting.send(near, message)
    assert [meeting.receive(far) for _ in messages] == messages
    far.setblocking(False)
    with pytest.raises(BlockingIOError):  # nothing is left, and nothing was read ahead
        far.recv(1)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "was closed"),
        (b'{"hello": 1', "was closed"),
        (b"[1, 2]\n", "no message"),
        (b"GET / HTTP/1.1\r\n", "Expecting value"),
        (b"x" * 3000, "Expecting value"),
        (b"\xff\xfe\n", "codec"),
    ],
)
def test_what_is_no_message_is_an_error_and_never_waits(pair, data, said):
    near, far = pair
    far.settimeout(5.0)
    near.sendall(data)
    near.shutdown(socket.SHUT_WR)
    with pytest.raises(ValueError, match=said):
        meeting.receive(far)


def test_a_process_that_is_gone_is_noticed_where_it_is_read(pair):
    near, far = pair
    far.close()
    for _ in range(3):
        meeting.send(near, {"step": 1})  # raises nothing
    with pytest.raises((ValueError, OSError)):
        meeting.receive(near)


@pytest.mark.parametrize(
    ("indices", "text"),
    [
        ([3], "process 3 of 12"),
        ([1, 3], "processes 1 and 3 of 12"),
        ([0, 1, 2], "processes 0, 1 and 2 of 12"),
        (list(range(8)), "processes 0, 1, 2, 3, 4, 5, 6 and 7 of 12"),
        (list(range(9)), "processes 0, 1, 2, 3, 4, 5, 6, 7 and more of 12"),
    ],
)
def test_names_of_processes(indices, text):
    assert meeting.name(indices, 12) == text


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        # One GPU each, unless the launcher shows each its own, or JAX is told.
        ({**SLURM, "CUDA_VISIBLE_DEVICES": "0,1"}, ("a", [0])),
        ({**SLURM, "CUDA_VISIBLE_DEVICES": ""}, ("a", None)),
        ({**SLURM, "JAX_LOCAL_DEVICE_IDS": "1"}, ("a", None)),
        ({**SLURM, "SLURM_STEP_NODELIST": "gpu[07,09-11]"}, ("gpu07", [0])),
        ({**SLURM, "SLURM_STEP_NODELIST": "x1,x2"}, ("x1", [0])),
        (
            {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": "4096.0;tcp6://[fe80::1,::2]:9"},
            ("fe80::1", None),
        ),
    ],
)
def test_hosts_and_devices(environment, expected):
    found = find(environment=environment)
    assert (found.host, found.devices) == expected and (found.count, found.index) == (2, 1)


def test_one_process_under_a_launcher_is_alone():
    alone = {"OMPI_COMM_WORLD_SIZE": "1", "OMPI_COMM_WORLD_RANK": "0"}
    assert find(environment=alone) == Launch() == find(None, 1, 0, SLURM)


def test_two_jobs_on_a_host_have_ports_of_their_own():
    ports = {find(environment={**SLURM, "SLURM_JOB_ID": str(k)}).port for k in range(5000, 5040)}
    assert len(ports) == 40 and min(ports) > 1023 and max(ports) < 2**16 - 1


@pytest.mark.parametrize(
    ("arguments", "environment", "message"),
    [
        (("a:0", 2, 0), {}, r"port 0 \(by flags\) cannot be used; choose one from 1 to 65534"),
        (("a:65535", 2, 0), {}, "port 65535 .*cannot be used"),
        ((":80", 2, 0), {}, "--coordinator=:80 is no HOST:PORT"),
        (("a:1", 2, -1), {}, r"process -1 of 2 \(by flags\) is none: number .* from 0 to 1"),
        ((None, None, 1), {}, "--process=1 needs --coordinator and --processes too"),
        ((), {**SLURM, "SLURM_JOB_ID": "x"}, "SLURM_JOB_ID is 'x'; it must be a whole number"),
        ((), {**SLURM, "SLURM_STEP_NODELIST": ""}, "SLURM_STEP_NODELIST= names no host; give --co"),
        ((), {**SLURM, "SLURM_LOCALID": "q"}, "the local rank is 'q'"),
        ((), {**SLURM, "SLURM_PROCID": "2"}, r"process 2 of 2 \(by Slurm\) is none"),
        ((), {**SLURM, "JAX_COORDINATOR_PORT": "far"}, "JAX_COORDINATOR_PORT is 'far'"),
        (
            (),
            {"TPU_WORKER_HOSTNAMES": "a,b", "TPU_WORKER_ID": "0", "MEGASCALE_NUM_SLICES": "two"},
            "MEGASCALE_NUM_SLICES is 'two'",
        ),
    ],
)
def test_what_launchers_cannot_mean(arguments, environment, message):
    with pytest.raises(UserError, match=message):
        find(*arguments, environment=environment)


def test_a_port_that_is_taken_is_replaced():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        other = distributed._free_port(port)
        assert other != port and 0 < other < 2**16
    assert distributed._free_port(2**16) != 2**16  # no port at all
    assert distributed._free_port(port) == port


@pytest.mark.parametrize(
    ("before", "proxy", "expected"),
    [
        (None, None, None),
        (None, "HTTPS_PROXY", "127.0.0.1"),
        ("host.example", "http_proxy", "127.0.0.1"),
    ],
)
def test_a_proxy_is_kept_from_this_very_machine(monkeypatch, before, proxy, expected):
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    if before is not None:
        monkeypatch.setenv("no_grpc_proxy", before)
    if proxy is not None:
        monkeypatch.setenv(proxy, "http://proxy:1")
    with distributed._direct():
        inside = os.environ.get("no_grpc_proxy")
    assert inside == expected and os.environ.get("no_grpc_proxy") == before


@pytest.mark.parametrize("name", ["start_s", "silent_s", "stall_s"])
def test_patience_has_an_end_and_a_beginning(name):
    with pytest.raises(UserError, match="--start_timeout_s=.*must be more than 0"):
        distributed.Patience(**{name: -1.0})
