"""Doing jobs in several processes, their outcomes in order.

Processes are spawned, not forked: JAX and FFmpeg have threads of their own. A process ends with the
one that started it, even if that is killed. A job whose process dies (a decoder can crash on a
broken file, or the memory can run out) is tried once more alone, then given up; the others go on.
"""

import concurrent.futures
import multiprocessing
import os
import pickle
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from jaxgesture.core.errors import UserError
from jaxgesture.data.spools import Job, Outcome, Spooler

# Outcomes that may wait for their turn, for each process: spools on the disk.
_AHEAD = 4
_POLL = 0.2
_KILLED = (
    "the process that read it was killed, because the file is broken or the memory was full; to "
    "try again, delete the dataset and prepare it with fewer --workers"
)

# In a worker process: what does the jobs, and the counter of frames.
_spooler: Spooler | None = None
_frames: Any = None


def usable_cores() -> int:
    """The cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _watch(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(0.5)
    os._exit(1)


def _begin(spooler: Spooler, frames: Any, begun: Any, parent: int) -> None:
    global _spooler, _frames
    _spooler, _frames = spooler, frames
    with begun.get_lock():
        begun.value += 1
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _count(number: int) -> None:
    with _frames.get_lock():
        _frames.value += number


def _do(number: int, pickled: bytes) -> Outcome:
    assert _spooler is not None
    # Unpickled here, so that a failure is an error and not the death of the process.
    return _spooler.run(number, pickle.loads(pickled), _count)


class _Pool:
    """Worker processes that count their frames in common."""

    def __init__(self, workers: int, spooler: Spooler, progress: Callable[[int], Any] | None):
        self._context = multiprocessing.get_context("spawn")
        self._workers, self._spooler, self._progress = workers, spooler, progress
        self._frames = self._context.Value("q", 0)
        self._begun = self._context.Value("q", 0)
        self._shown = 0
        self._executor = self._new(workers)

    def _new(self, workers: int) -> concurrent.futures.ProcessPoolExecutor:
        return concurrent.futures.ProcessPoolExecutor(
            workers,
            mp_context=self._context,
            initializer=_begin,
            initargs=(self._spooler, self._frames, self._begun, os.getpid()),
        )

    def submit(self, number: int, job: Job) -> concurrent.futures.Future[Outcome]:
        return self._executor.submit(_do, number, pickle.dumps(job))

    def wait(self, future: concurrent.futures.Future[Outcome]) -> Outcome:
        """The outcome, once it is there; shows progress meanwhile."""
        while True:
            try:
                return future.result(timeout=_POLL)
            except concurrent.futures.TimeoutError:
                if future.done():
                    return future.result()
            finally:
                self.show()

    def show(self) -> None:
        if self._progress is not None and self._frames.value > self._shown:
            value = self._frames.value
            self._progress(value - self._shown)
            self._shown = value

    def alone(self, number: int, job: Job) -> Outcome | None:
        """The outcome of a job in a process of its own; None if that dies."""
        with self._new(1) as executor:
            try:
                return self.wait(executor.submit(_do, number, pickle.dumps(job)))
            except concurrent.futures.process.BrokenProcessPool:
                return None

    def check(self) -> None:
        """Raises `UserError` if no process has ever begun."""
        if not self._begun.value:
            raise UserError(
                "worker processes end as they start: the memory may be full, fewer --workers need "
                'less; a script of yours must call this below `if __name__ == "__main__":`'
            )

    def restart(self) -> None:
        self._executor.shutdown(cancel_futures=True)
        self._executor = self._new(self._workers)

    def stop(self) -> None:
        for process in list((self._executor._processes or {}).values()):
            process.terminate()
        self._executor.shutdown(cancel_futures=True)


def outcomes(
    jobs: Sequence[Job],
    spooler: Spooler,
    workers: int,
    progress: Callable[[int], Any] | None = None,
) -> Iterator[Outcome]:
    """Does the jobs that are not done yet, and yields the outcomes of all in their order.

    Args:
        jobs: what to do; with workers, they and what they hold must be picklable.
        spooler: does them.
        workers: processes; 0 does everything in this one.
        progress: called with a number of frames that were made.

    Raises:
        OSError: a spool cannot be written.
        UserError: worker processes cannot start.
    """
    if workers < 1:
        for number, job in enumerate(jobs):
            done = spooler.outcome(number)
            yield done if done is not None else spooler.run(number, job, progress)
        return
    pool: _Pool | None = None
    waiting: dict[int, concurrent.futures.Future[Outcome]] = {}
    try:
        following = 0
        for number, job in enumerate(jobs):
            while following < min(len(jobs), number + workers * _AHEAD):
                if following >= number and spooler.outcome(following) is None:
                    pool = pool or _Pool(workers, spooler, progress)
                    waiting[following] = pool.submit(following, jobs[following])
                following += 1
            if number not in waiting:
                done = spooler.outcome(number)
                assert done is not None
                yield done
                continue
            assert pool is not None
            try:
                yield pool.wait(waiting.pop(number))
            except concurrent.futures.process.BrokenProcessPool:
                pool.check()
                # Which job was to blame is not known: this one is tried by itself, those that were
                # on their way are begun again.
                done = spooler.outcome(number) or pool.alone(number, job)
                pool.restart()
                for other in waiting:
                    if spooler.outcome(other) is None:
                        waiting[other] = pool.submit(other, jobs[other])
                waiting = {n: f for n, f in waiting.items() if spooler.outcome(n) is None}
                yield done or Outcome([], [(job.name, _KILLED)], [])
    finally:
        if pool is not None:
            pool.stop()
