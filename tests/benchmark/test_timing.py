"""Timing with a clock that only moves when a program says so."""

import numpy as np
import pytest

from jaxgesture.benchmark.program import Failure, failure_of
from jaxgesture.benchmark.timing import (
    LONG_S,
    MIN_REPEATS,
    WARM_UP,
    best_rate,
    interleave,
    summarise,
)


class FakeClock:
    """Programs that take given times, one after the other, and a log of who ran."""

    def __init__(self):
        self.now = 0.0
        self.log = []

    def __call__(self):
        return self.now

    def program(self, name, *seconds):
        spans = list(seconds)

        def run():
            self.log.append(name)
            self.now += spans.pop(0) if len(spans) > 1 else spans[0]

        return run


@pytest.fixture
def clock():
    return FakeClock()


def test_repeats_take_turns(clock):
    programs = {name: clock.program(name, 1.0) for name in "ABC"}
    found = interleave(programs, repeats=4, seconds=1e9, clock=clock)
    assert "".join(clock.log) == "ABC" * (WARM_UP + 4)
    assert {name: t.repeats for name, t in found.items()} == dict.fromkeys("ABC", 4)


def test_short_programs_settle_before_each_repeat(clock):
    short = clock.program("S", 0.02, 0.5, 0.5, 0.01)  # warm-up, settling, repeat; then 0.01
    found = interleave({"S": short, "L": clock.program("L", LONG_S)}, 3, 1e9, clock)
    # Settled by one long call first, then by three calls of 0.01.
    assert "".join(clock.log) == "SL" + "SSL" + "SSSSL" * 2
    assert found["S"].repeats == found["L"].repeats == 3
    assert (found["S"].median, found["L"].median) == pytest.approx((0.01, LONG_S))


def test_median_and_quartiles_without_the_warm_up(clock):
    programs = {"A": clock.program("A", 99.0, 1.0, 5.0, 2.0, 3.0, 4.0), "B": clock.program("B", 7)}
    found = interleave(programs, repeats=5, seconds=1e9, clock=clock)
    assert (found["A"].median, found["A"].low, found["A"].high) == (3.0, 2.0, 4.0)
    assert found["A"].spread == pytest.approx(1 / 3)
    assert (found["B"].median, found["B"].spread) == (7.0, 0.0)


@pytest.mark.parametrize(("budget", "rounds"), [(10.0, 5), (9.9, 4), (0.1, MIN_REPEATS)])
def test_budget_ends_the_rounds_before_it_is_overrun(clock, budget, rounds):
    programs = {"A": clock.program("A", 1.5), "B": clock.program("B", 0.5)}
    found = interleave(programs, repeats=100, seconds=budget, clock=clock)
    assert found["A"].repeats == found["B"].repeats == rounds


def test_fewer_repeats_than_the_least(clock):
    assert interleave({"A": clock.program("A", 1.0)}, 1, 0.1, clock)["A"].repeats == 1


def test_a_side_that_fails_lets_the_others_run(clock):
    calls = []

    def breaks():
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("RESOURCE_EXHAUSTED: Out of memory\nallocating")

    programs = {"A": breaks, "B": clock.program("B", 1.0)}
    found = interleave(programs, repeats=6, seconds=1e9, clock=clock)
    assert found["A"] == Failure("out of memory", out_of_memory=True)
    assert found["B"].repeats == 6 and len(calls) == 3


def test_all_fail(clock):
    def breaks():
        raise ValueError("a\n  b")

    assert interleave({"A": breaks}, 3, 1.0, clock) == {"A": Failure("ValueError: a b")}
    assert interleave({}, 3, 1.0, clock) == {}


def test_failures_are_one_line():
    assert failure_of(MemoryError()).out_of_memory
    assert failure_of(KeyError()) == Failure("KeyError")
    assert len(failure_of(ValueError("x" * 1000)).reason) < 200


def test_summary_of_even_count():
    assert summarise([1.0, 2.0, 3.0, 10.0]).median == np.median([1.0, 2.0, 3.0, 10.0])


def test_best_rate_stops_at_the_limit(clock):
    made = []

    def make(n):
        made.append(n)
        # 16 goes best; 32 takes longer than the limit.
        return clock.program(n, 2 * n**3 / {8: 100.0, 16: 500.0, 32: 400.0}[n])

    assert best_rate(make, (8, 16, 32, 64), limit_s=100.0, clock=clock) == 500.0
    assert made == [8, 16, 32]


def test_best_rate_of_what_fits(clock):
    def make(n):
        if n > 8:
            raise MemoryError
        return clock.program(n, 1.0)

    assert best_rate(make, (8, 16), 1e9, clock) == 2 * 8**3
    with pytest.raises(MemoryError):
        best_rate(make, (16,), 1e9, clock)
