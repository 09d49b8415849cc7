"""How the processes of one training come together at the port of the first.

To the first: {"hello": 2, "of": 4}. From it: {"start": 50123}, the port of JAX's coordinator, when
all are there, or {"refused": "why"}. A message is a line of JSON.
"""

import contextlib
import json
import select
import socket
import time
from typing import Any

from jaxgesture.core import relay
from jaxgesture.core.errors import UserError


def listen(port: int) -> socket.socket:
    """Opens the coordinator's port; 0 takes a free one.

    Raises:
        UserError: if it is taken.
    """
    try:
        if socket.has_dualstack_ipv6():
            return socket.create_server(("", port), family=socket.AF_INET6, dualstack_ipv6=True)
        return socket.create_server(("", port))
    except OSError as error:
        raise UserError(
            f"port {port} cannot be opened by process 0 ({error.strerror}); end what uses it, an "
            "earlier run perhaps, or choose another port for all processes"
        ) from error


def gather(listener: socket.socket, count: int, timeout_s: float) -> dict[int, socket.socket]:
    """Waits in the first process until all others are there.

    Args:
        listener: from `listen`; closed at the end.
        count: of the processes, this one included.
        timeout_s: how long to wait.

    Returns:
        Their connections, by process.

    Raises:
        UserError: naming those who did not come.
    """
    deadline = time.monotonic() + timeout_s
    there: dict[int, socket.socket] = {}
    with listener:
        while len(there) < count - 1:
            listener.settimeout(max(deadline - time.monotonic(), 0.01))
            try:
                connection, _ = listener.accept()
                index = _greet(connection, count, there)
            except TimeoutError:
                break
            if index is not None:
                there[index] = connection
    missing = [index for index in range(1, count) if index not in there]
    if missing:
        for connection in there.values():
            send(connection, {"refused": f"{name(missing, count)} did not come"})
        raise UserError(
            f"{name(missing, count)} did not come within {timeout_s:g} s; see whether they run "
            "and can reach this port, or wait longer with --start_timeout_s"
        )
    return there


def start(connections: dict[int, socket.socket], port: int) -> None:
    """Tells those who were gathered that all are there, and the port of JAX's coordinator."""
    for connection in connections.values():
        send(connection, {"start": port})


def _greet(
    connection: socket.socket, count: int, there: dict[int, socket.socket]
) -> int | None:  # fmt: skip
    """Returns which process has connected, or None where it is none of ours or was refused."""
    connection.settimeout(2.0)
    try:
        hello = receive(connection)
        index, of = hello["hello"], hello["of"]
    except (OSError, ValueError, KeyError):
        connection.close()  # a port scanner, or one that died at once
        return None
    connection.settimeout(None)
    if of != count:
        why = f"process 0 was started with {count} processes, process {index} with {of}"
    elif index not in range(1, count):
        why = f"there are {count} processes, from 0 to {count - 1}, and no process {index}"
    elif index in there and not _closed(there[index]):
        why = f"another process is process {index} of {count} already"
    else:
        return index
    send(connection, {"refused": why})
    connection.close()
    return None


def join(host: str, port: int, index: int, count: int, timeout_s: float) -> tuple[Any, int]:
    """Reports to the first process, and waits until all are there.

    Args:
        host: of the first process.
        port: of the first process.
        index: of this process.
        count: of the processes.
        timeout_s: how long to wait.

    Returns:
        The connection, and the port of JAX's coordinator there.

    Raises:
        UserError: if it cannot be reached or refuses.
    """
    where = f"{host}:{port}"
    again = "start all processes again with the same --coordinator and --processes"
    deadline = time.monotonic() + timeout_s
    try:
        connection = relay.dial(host, port, timeout_s)
    except OSError as error:
        raise UserError(
            f"process 0 cannot be reached at {where} within {timeout_s:g} s ({error}); start it, "
            "see that the port is open to this machine, or wait longer with --start_timeout_s"
        ) from error
    try:
        send(connection, {"hello": index, "of": count})
        # The first one gives up first, and says why.
        connection.settimeout(max(deadline - time.monotonic(), 0.0) + 10.0)
        answer = receive(connection)
    except (OSError, ValueError) as error:
        raise UserError(
            f"process 0 at {where} ended before all {count} processes were there; see what it "
            f"says, and {again}"
        ) from error
    if "refused" in answer:
        raise UserError(f"{answer['refused']} (says process 0 at {where}); {again}")
    connection.settimeout(None)
    return connection, int(answer["start"])


def name(indices: list[int], count: int) -> str:
    """Such as "process 1 of 4" or "processes 1 and 3 of 4"."""
    names = [str(index) for index in indices[:8]] + ["more"] * (len(indices) > 8)
    if len(names) == 1:
        return f"process {names[0]} of {count}"
    return f"processes {', '.join(names[:-1])} and {names[-1]} of {count}"


def _closed(connection: socket.socket) -> bool:
    readable, _, _ = select.select([connection], [], [], 0)
    if not readable:
        return False
    try:
        return not connection.recv(1, socket.MSG_PEEK)
    except OSError:
        return True


def receive(connection: socket.socket) -> dict[str, Any]:
    """Reads one line and nothing behind it.

    Raises:
        OSError: if the connection breaks, or is silent for longer than its timeout.
        ValueError: if it closes, or what came is no message.
    """
    line = b""
    while not line.endswith(b"\n") and len(line) < 1000:
        byte = connection.recv(1)
        if not byte:
            raise ValueError("the connection was closed")
        line += byte
    message = json.loads(line)
    if not isinstance(message, dict):
        raise ValueError(f"no message: {line!r}")
    return message


def send(connection: socket.socket, message: dict[str, Any]) -> None:
    """Writes one message, unless the connection is broken."""
    # A process that is gone is noticed where it is read.
    with contextlib.suppress(OSError):
        connection.sendall(json.dumps(message).encode() + b"\n")
