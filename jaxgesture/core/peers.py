"""What the processes of one training tell each other beside their arrays: that they live.

Each holds one connection to the first process, made by `core.meeting`. A line of JSON goes each way
every few seconds; a connection that closes, or says nothing for long, is a process that is no more.
Collectives do not notice that, or wait for ever. The first process tells the others who is missing,
and all end with one line that says so.

To the first: {"step": 37}, {"failed": "what went wrong"}, {"at": 2} (its second meeting). From it:
{"step": 37, "age": 1.5} (the longest any has been silent, in seconds), {"end": "who is missing",
"grace": 0.0}, {"go": 2} (all are at the second meeting).
"""

import contextlib
import dataclasses
import json
import multiprocessing
import os
import selectors
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

from jaxgesture.core.meeting import name, send

# A process that tells of an error of its own may not be the only one: the others get this long,
# in seconds, to come to the same error and say it in their own words.
GRACE_S = 10.0


@dataclasses.dataclass
class _Link:
    """A connection to another process."""

    connection: socket.socket
    heard: float
    step: int = -1
    at: int = 0
    unread: bytes = b""


class Peers:
    """The other processes of a training, watched in a thread.

    Args:
        index: of this process.
        count: of all processes.
        connections: from `meeting.gather` in the first process, {0: that from `meeting.join`} in
            the others.
        timeout_s: how long a process may be silent.
        stall_s: how long none may finish a step.
        last_words: says what is saved and what to do now; printed behind what happened.
        leave: ends the process with a status; replaced in tests.

    Attributes:
        step: what this process has done; set as it goes on.
        failed: whether this process has told the others of an error of its own.
    """

    def __init__(
        self,
        index: int,
        count: int,
        connections: dict[int, socket.socket],
        timeout_s: float,
        stall_s: float,
        last_words: Callable[[], str],
        leave: Callable[[int], Any] = os._exit,
    ):
        self.index, self.count, self.step = index, count, -1
        self._timeout, self._stall = timeout_s, stall_s
        self._last_words, self._leave = last_words, leave
        now = time.monotonic()
        self._links = {k: _Link(connection, now) for k, connection in connections.items()}
        self._age, self.failed = 0.0, False
        self._at, self._met, self._over = 0, 0, threading.Event()
        self._go = threading.Condition()
        self._ending: tuple[float, str] | None = None
        self._moved, self._slowest = now, -1
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        for k, link in self._links.items():
            link.connection.settimeout(1.0)  # to send to one that has stopped reading
            self._selector.register(link.connection, selectors.EVENT_READ, k)
        self._interval = min(timeout_s / 5, 2.0)
        self._thread = threading.Thread(target=self._watch, name="peers", daemon=True)
        self._thread.start()

    def await_blame(self, clear: bool) -> None:
        """Returns when all others have shown that they live; does not return if one does not.

        For the thread that met an error which another process may have caused.

        Args:
            clear: whether the error says itself what is wrong. All may meet such a one at once;
                then each says it.
        """
        since = time.monotonic()
        while True:
            time.sleep(self._interval / 4)
            now = time.monotonic()
            if self._ending is not None:
                if clear and self._ending[0] > now:
                    return
                # What this thread met is another's end: no other words will come from here.
                self._ending = (now, self._ending[1])
                continue
            oldest = min(link.heard for link in self._links.values()) - self._age
            if oldest > since or now > since + self._timeout + 5 * self._interval:
                return

    def fail(self, why: str) -> None:
        """Tells the others that this process cannot go on; it has itself said why.

        It ends by itself soon after, at the latest: what it closes may wait for the others.
        """
        if self.failed:
            return
        self.failed = True
        text = f"process {self.index} of {self.count} failed: {' '.join(why.split())[:500]}"
        if self.index:
            self._tell_all({"failed": text})
        else:
            self._tell_all({"end": text, "grace": GRACE_S})
        self._ending = (time.monotonic() + GRACE_S, text)

    def meet(self) -> None:
        """Returns when all processes have called it as often; does not return if one never does."""
        self._at += 1
        if self.index:
            self._tell_all({"at": self._at})
        with self._go:
            self._go.wait_for(lambda: self._met >= self._at)

    def finish(self) -> None:
        """Meets the others a last time; whoever ends from then on may do so."""
        self.meet()
        self._over.set()

    def close(self) -> None:
        """Ends the watch."""
        self._closed.set()
        self._thread.join(timeout=5 * self._interval)
        for link in self._links.values():
            link.connection.close()
        if not self._thread.is_alive():
            self._selector.close()

    def _watch(self) -> None:
        try:
            self._watch_all()
        except Exception as error:  # noqa: BLE001 - unwatched, this process might wait for ever
            if not self._closed.is_set():
                self._end(f"the watch over the other processes failed ({error!r})")

    def _watch_all(self) -> None:
        beat = 0.0
        while not self._closed.is_set():
            for key, _ in self._selector.select(timeout=self._interval / 4):
                self._read(key.data)
            now = time.monotonic()
            if now - beat >= self._interval:
                beat = now
                self._beat(now)
            if self._ending is not None and now >= self._ending[0]:
                self._end(self._ending[1])
            elif self.index == 0:
                met = min(self._at, *(link.at for link in self._links.values()))
                if met > self._met:
                    self._tell_all({"go": met})
                    self._all_met(met)

    def _beat(self, now: float) -> None:
        ages = {k: now - link.heard for k, link in self._links.items()}
        self._tell_all({"step": self.step, "age": max(ages.values())})
        if self._ending is not None or self._over.is_set():
            return
        silent = [k for k, age in ages.items() if age > self._timeout]
        if silent:
            self._give_up(f"{name(silent, self.count)} stopped answering", 0.0)
            return
        # A first process that is stuck itself is alive, and watches.
        if self.index == 0:
            steps = {0: self.step, **{k: link.step for k, link in self._links.items()}}
            if min(steps.values()) != self._slowest:
                self._slowest, self._moved = min(steps.values()), now
            elif now - self._moved > self._stall:
                behind = [k for k, step in steps.items() if step == self._slowest]
                self._give_up(
                    f"no step was finished for {self._stall:g} s (--stall_timeout_s); last was "
                    f"step {self._slowest} of {name(behind, self.count)}",
                    0.0,
                )

    def _read(self, k: int) -> None:
        link = self._links[k]
        try:
            data = link.connection.recv(2**16)
            *lines, link.unread = (link.unread + data).split(b"\n")
            messages = [json.loads(line) for line in lines]
        except (OSError, ValueError):
            data, messages = b"", []
        if not data:
            self._selector.unregister(link.connection)
            if self._ending is None and not self._over.is_set() and not self._closed.is_set():
                self._give_up(f"{name([k], self.count)} stopped answering", 0.0)
            return
        link.heard = time.monotonic()
        for message in messages:
            self._take(link, message)

    def _take(self, link: _Link, message: dict[str, Any]) -> None:
        link.step = message.get("step", link.step)
        self._age = message.get("age", self._age) if self.index else 0.0
        if "failed" in message:
            self._give_up(message["failed"], GRACE_S)
        if "end" in message and self._ending is None:
            self._ending = (time.monotonic() + message["grace"], message["end"])
        link.at = message.get("at", link.at)
        if "go" in message:
            self._all_met(message["go"])

    def _all_met(self, number: int) -> None:
        with self._go:
            self._met = number
            self._go.notify_all()

    def _give_up(self, what: str, grace: float) -> None:
        if self._ending is not None:
            return  # the first to fail is the cause
        if self.index == 0:
            self._tell_all({"end": what, "grace": grace})
        self._ending = (time.monotonic() + grace, what)

    def _tell_all(self, message: dict[str, Any]) -> None:
        with self._lock:
            for link in self._links.values():
                send(link.connection, message)

    def _end(self, what: str) -> None:
        """Says what happened and ends this process, whatever its other threads are waiting for."""
        # Even where standard error or the folder of the checkpoints hangs.
        backstop = threading.Timer(10.0, self._leave, (1,))
        backstop.daemon = True
        backstop.start()
        if not self.failed:
            where = f" while this one was at step {self.step}" if self.step >= 0 else ""
            try:
                then = self._last_words()
            except Exception as error:  # noqa: BLE001 - of no storage may this process be kept
                then = f"what is saved cannot be seen ({type(error).__name__}: {error})"
            sys.stderr.write(f"\njaxgesture: error: {' '.join(f'{what}{where}; {then}'.split())}\n")
            sys.stderr.flush()
        end(self._leave)
        backstop.cancel()
        self._closed.set()


def end(leave: Callable[[int], Any] = os._exit) -> None:
    """Ends this process with status 1 and nothing else: at the usual exit JAX waits for others."""
    for child in multiprocessing.active_children():
        child.terminate()  # they read data, and would wait for this process for ever
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    leave(1)
