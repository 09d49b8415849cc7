"""Several processes as one training: joined, watched, ended together.

Each process executes the same command; together they hold one mesh. `core.launch` finds out how
many there are, `processes` joins them and ends them together: where one dies, the others say so and
end with status 1 (`core.peers`), and never wait for it in a collective or at the exit.
"""

import contextlib
import dataclasses
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator
from typing import TypeVar

import jax
import numpy as np

from jaxgesture.core import meeting, peers, relay, sharding
from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.core.launch import Launch

T = TypeVar("T")
_LONGEST_S = 20 * 86400.0  # systems count milliseconds in 32 bits


@dataclasses.dataclass(frozen=True)
class Patience:
    """How long processes wait for each other, in seconds.

    Attributes:
        start_s: for all to come.
        silent_s: for a sign of life of a process whose connection is still there.
        stall_s: for the next step of the slowest, whatever it does meanwhile.
    """

    start_s: float = 300.0
    silent_s: float = 60.0
    stall_s: float = 1800.0

    def __post_init__(self):
        if not all(0 < s <= _LONGEST_S for s in (self.start_s, self.silent_s, self.stall_s)):
            raise UserError(
                f"--start_timeout_s={self.start_s:g}, --peer_timeout_s={self.silent_s:g} and "
                f"--stall_timeout_s={self.stall_s:g} must be more than 0 and at most "
                f"{_LONGEST_S:.0f}, 20 days"
            )


_current: peers.Peers | None = None


def passed(step: int) -> None:
    """Notes that this process has done so many steps."""
    if _current is not None:
        _current.step = step


def meet() -> None:
    """Waits until all processes are there, so that none waits in a collective for a slower one.

    On CPUs the first collective of a program gives up after half a minute.
    """
    if _current is not None:
        _current.meet()


def _same(values: T) -> T:
    return values


def here(values: T) -> T:
    """Returns a tree of arrays that several processes hold together whole on a device of this one.

    All must call it at once. Of one process the arrays are returned as they are.
    """
    leaves = jax.tree.leaves(values)
    if all(leaf.is_fully_addressable for leaf in leaves):
        return values
    everywhere = sharding.replicated(leaves[0].sharding.mesh)
    whole = jax.jit(_same, out_shardings=everywhere)(values)
    return jax.tree.map(lambda leaf: leaf.addressable_data(0), whole)


@contextlib.contextmanager
def attended() -> Iterator[None]:
    """Says whose fault it is when what several processes do together fails inside.

    A collective whose other end is gone raises all kinds of errors, all of them long.
    """
    if _current is not None and _current.index:
        # Up to here they were those of the first process; from now on they are of this host.
        warnings.simplefilter("always", DataWarning)
    try:
        yield
    except Exception as error:
        if _current is not None:
            # Even one about the storage: to save is to wait for the others as well.
            _current.await_blame(isinstance(error, UserError))
            _fail(_current, error)
        raise


@contextlib.contextmanager
def processes(launch: Launch, patience: Patience, last_words: Callable[[], str]) -> Iterator[None]:
    """Joins this process with the others for what is done inside; alone it does nothing.

    Args:
        launch: from `find`.
        patience: how long to wait for the others.
        last_words: what is saved and what to do now, for the line that says that one died.

    Raises:
        UserError: if the others cannot be reached. An error inside ends the process with status 1
            when it is printed.
    """
    global _current
    if launch.count == 1:
        yield
        return
    watch = _start(launch, patience, last_words)
    if watch is None:
        yield
        return
    _current, stop = watch, None
    try:
        yield
    except SystemExit as error:  # all have saved and stop at the same step
        stop = error
    except BaseException as error:  # noqa: BLE001 - an interruption too
        _fail(watch, error)
        peers.end()
    watch.finish()
    jax.distributed.shutdown()
    watch.close()
    _current = None
    if stop is not None:
        raise stop


def _fail(watch: peers.Peers, error: BaseException) -> None:
    """Prints an error, once, and tells the others."""
    if watch.failed:
        return
    if isinstance(error, UserError):
        print(f"\njaxgesture: error: {' '.join(str(error).split())}", file=sys.stderr)
    else:
        traceback.print_exception(error)
    watch.fail(str(error) or type(error).__name__)


def _start(launch: Launch, patience: Patience, last_words: Callable[[], str]) -> peers.Peers | None:
    """Meets the others, then starts JAX's coordinator and its clients."""
    if not launch.count:
        return _start_by_jax(patience, last_words)
    index, count, seconds = launch.index, launch.count, patience.start_s
    if index == 0:
        where = f"{launch.host}:{launch.port}"
        print(f"{count} processes by {launch.by}; this is 0, at {where}", file=sys.stderr)
        connections = meeting.gather(meeting.listen(launch.port), count, seconds)
        port = _free_port(launch.port + 1)
        meeting.start(connections, port)
    else:
        connection, far = meeting.join(launch.host, launch.port, index, count, seconds)
        connections = {0: connection}
        port = relay.start(launch.host, far, seconds)
    watch = _watch(index, count, connections, patience, last_words)
    with _direct():
        jax.distributed.initialize(
            f"127.0.0.1:{port}", count, index, launch.devices,
            cluster_detection_method="deactivate", initialization_timeout=round(seconds),
        )  # fmt: skip
    return watch


def _start_by_jax(patience: Patience, last_words: Callable[[], str]) -> peers.Peers | None:
    """Lets JAX find the others, then meets them."""
    from jax.experimental import multihost_utils

    seconds = patience.start_s
    jax.distributed.initialize(initialization_timeout=round(seconds))
    index, count = jax.process_index(), jax.process_count()
    if count == 1:
        return None
    listener = meeting.listen(0) if index == 0 else None
    where = np.zeros(300, np.uint8)
    if listener is not None:
        name = f"{socket.gethostname()}:{listener.getsockname()[1]}".encode()
        where[: len(name)] = np.frombuffer(name, np.uint8)
        print(f"{count} processes by the TPU's metadata; this is 0", file=sys.stderr)
    sent = np.asarray(multihost_utils.broadcast_one_to_all(where), np.uint8)
    host, _, port = sent.tobytes().rstrip(b"\0").decode().rpartition(":")
    if listener is not None:
        connections = meeting.gather(listener, count, seconds)
        meeting.start(connections, 0)
    else:
        connections = {0: meeting.join(host, int(port), index, count, seconds)[0]}
    return _watch(index, count, connections, patience, last_words)


def _watch(
    index: int,
    count: int,
    connections: dict[int, socket.socket],
    patience: Patience,
    last_words: Callable[[], str],
) -> peers.Peers:
    times = (patience.silent_s, patience.stall_s)
    return peers.Peers(index, count, connections, *times, last_words)


def _free_port(wanted: int) -> int:
    """That port, or another where it is taken."""
    for port in (wanted, 0):
        with contextlib.suppress(OSError, OverflowError), socket.create_server(("", port)) as probe:
            return probe.getsockname()[1]
    raise UserError("process 0 finds no free port; end other programs on this machine")


@contextlib.contextmanager
def _direct() -> Iterator[None]:
    """Keeps gRPC from looking for this very machine through an HTTP proxy."""
    proxies = [name for name in os.environ if name.lower().endswith("_proxy")]
    name = "no_grpc_proxy"
    before = os.environ.get(name)
    if proxies:
        os.environ[name] = "127.0.0.1"
    try:
        yield
    finally:
        if before is not None:
            os.environ[name] = before
        elif proxies:
            del os.environ[name]
