"""A local end for JAX's connection to its coordinator, which stays open when the coordinator dies.

JAX's client ends its process at once, with pages of C++, when the connection to the coordinator
breaks. Connected through a relay it only waits, and `core.peers` has the time to say what happened.
"""

import contextlib
import socket
import threading
import time

_CHUNK = 2**16
# A local connection lives as long as the process: closing it is what must not happen.
_kept: list[socket.socket] = []


def start(host: str, port: int, timeout_s: float) -> int:
    """Passes bytes between a new local port and a server, in threads that end with the process.

    Args:
        host: of the server.
        port: of the server.
        timeout_s: how long to try to reach it, for each connection.

    Returns:
        The port, on 127.0.0.1.
    """
    listener = socket.create_server(("127.0.0.1", 0))
    _thread(_accept, listener, host, port, timeout_s)
    return listener.getsockname()[1]


def dial(host: str, port: int, timeout_s: float) -> socket.socket:
    """Connects, trying again until the time is over.

    Raises:
        OSError: of the last try.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        left = deadline - time.monotonic()
        try:
            connection = socket.create_connection((host, port), timeout=min(max(left, 1.0), 10.0))
        except OSError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(min(0.2, max(left, 0.0)))
            continue
        connection.settimeout(None)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection


def _thread(target, *arguments: object) -> None:
    threading.Thread(target=target, args=arguments, name="relay", daemon=True).start()


def _accept(listener: socket.socket, host: str, port: int, timeout_s: float) -> None:
    while True:
        near, _ = listener.accept()
        near.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        _thread(_join, near, host, port, timeout_s)


def _join(near: socket.socket, host: str, port: int, timeout_s: float) -> None:
    try:
        far = dial(host, port, timeout_s)
    except OSError:
        near.close()  # nothing was up yet: JAX tries again
        return
    _kept.append(near)
    _thread(_pass_on, far, near)
    _pass_on(near, far)
    # JAX is done with it; the server should know.
    with contextlib.suppress(OSError):
        far.shutdown(socket.SHUT_WR)


def _pass_on(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(_CHUNK):
            target.sendall(data)
