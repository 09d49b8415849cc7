"""Doing jobs in this process: in order, once each, and without another process."""

import multiprocessing
import os

import pytest

from jaxgesture.data import workers
from jaxgesture.data.spools import Outcome


class Named:
    def __init__(self, name):
        self.name = name

    def clips(self):
        raise AssertionError("a spooler of this test makes no clips")


class Counting:
    """A spooler that remembers which jobs it was asked for."""

    def __init__(self, done=()):
        self.asked: list[int] = []
        self.done = {number: Outcome([], [("kept", str(number))], []) for number in done}

    def outcome(self, number):
        return self.done.get(number)

    def run(self, number, job, progress):
        self.asked.append(number)
        if progress is not None:
            progress(number)
        return Outcome([], [(job.name, "made")], [])


def _names(found):
    return [outcome.skipped[0] for outcome in found]


def test_jobs_that_are_done_are_not_done_again(monkeypatch):
    def refuse(*args):
        raise AssertionError("no process is needed")

    monkeypatch.setattr(multiprocessing, "get_context", refuse)
    spooler, seen = Counting(done=[1]), []
    jobs = [Named(name) for name in "abc"]
    found = workers.outcomes(jobs, spooler, 0, seen.append)  # type: ignore[arg-type]
    assert spooler.asked == [], "nothing is done before it is asked for"
    assert _names(found) == [("a", "made"), ("kept", "1"), ("c", "made")]
    assert spooler.asked == seen == [0, 2]
    # Nothing to do, nothing to start: also where processes may be used.
    everything = Counting(done=range(3))
    assert len(_names(workers.outcomes(jobs, everything, 4))) == 3  # type: ignore[arg-type]
    assert list(workers.outcomes([], spooler, 4)) == []  # type: ignore[arg-type]


@pytest.mark.parametrize(("affinity", "count"), [({0, 2, 5}, 3), ({1}, 1)])
def test_usable_cores_are_those_of_the_process(monkeypatch, affinity, count):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: affinity, raising=False)
    assert workers.usable_cores() == count


@pytest.mark.parametrize(("cores", "count"), [(6, 6), (None, 1)])
def test_usable_cores_where_nobody_tells(monkeypatch, cores, count):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: cores)
    assert workers.usable_cores() == count
