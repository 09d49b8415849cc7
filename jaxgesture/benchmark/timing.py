"""Timing of programs side by side.

Repeats interleave, A B C A B C ..., so that whatever else the machine does hits all programs alike.
A program must not return before its results are there. Each repeat is one timed call, after calls
without a clock for `SETTLE_S`: the threads and the caches that another framework leaves behind made
a call of 4 ms 1.2 to 1.7 times as long, and a pause made it worse. What is reported is the median;
the spread is half the distance of the quartiles, as a part of the median.
"""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from jaxgesture.benchmark.program import Failure, failure_of

MIN_REPEATS = 3  # below which no median is worth anything, whatever the budget
WARM_UP = 1  # calls of each program, after those of its preparation
SETTLE_S = 0.03
LONG_S = 0.3  # calls from this length on need no settling
PEAK_REPEATS = 5

Clock = Callable[[], float]


@dataclasses.dataclass(frozen=True)
class Timing:
    """What repeats took, in seconds.

    Attributes:
      median: of all repeats.
      low: their lower quartile.
      high: their upper quartile.
      repeats: how many there were.
    """

    median: float
    low: float
    high: float
    repeats: int

    @property
    def spread(self) -> float:
        """Half the distance of the quartiles, as a part of the median."""
        return (self.high - self.low) / 2 / self.median if self.median else 0.0


def summarise(samples: Sequence[float]) -> Timing:
    """The timing of repeats that took so many seconds each."""
    low, median, high = np.percentile(samples, (25, 50, 75))
    return Timing(float(median), float(low), float(high), len(samples))


def interleave(
    programs: Mapping[str, Callable[[], Any]],
    repeats: int,
    seconds: float,
    clock: Clock = time.perf_counter,
) -> dict[str, Timing | Failure]:
    """Times programs in turn.

    Args:
      programs: by name; each returns when its results are ready. One that fails is left out of the
        rounds that follow.
      repeats: rounds at most.
      seconds: budget of all rounds together, the warm-up left aside. A round that would overrun it
        is not begun, but there are at least `MIN_REPEATS` (or `repeats`, if that is less).
      clock: gives the time in seconds.

    Returns:
      for each program its timing, or why it failed.
    """
    failed: dict[str, Failure] = {}
    samples: dict[str, list[float]] = {name: [] for name in programs}

    def call(name: str) -> float:
        start = clock()
        try:
            programs[name]()
        except Exception as error:  # of any kind: the other programs still count
            failed[name] = failure_of(error)
        return clock() - start

    def settle(name: str) -> None:
        spent = 0.0
        while spent < SETTLE_S and lengths[name] < LONG_S and name not in failed:
            spent += call(name)

    lengths: dict[str, float] = {}
    for _ in range(WARM_UP):
        lengths = {name: call(name) for name in programs if name not in failed}
    start, done = clock(), 0
    while done < repeats and len(failed) < len(programs):
        spent = clock() - start
        if done >= MIN_REPEATS and spent * (done + 1) / done > seconds:
            break
        for name in [name for name in programs if name not in failed]:
            settle(name)
            if name not in failed:
                samples[name].append(call(name))
        done += 1
    return {name: failed[name] if name in failed else summarise(samples[name]) for name in programs}


def best_rate(
    make: Callable[[int], Callable[[], Any]],
    sizes: Sequence[int],
    limit_s: float,
    clock: Clock = time.perf_counter,
) -> float:
    """The highest rate of square matrix products, in floating point operations a second.

    Args:
      make: gives, for a side n, a program that multiplies two n x n matrices once.
      sizes: sides to try, rising.
      limit_s: sides above one whose product takes longer than this are not tried.
      clock: gives the time in seconds.
    """
    best = 0.0
    for n in sizes:
        try:
            program = make(n)
            program()
            times = []
            for _ in range(PEAK_REPEATS):
                start = clock()
                program()
                times.append(clock() - start)
        except Exception as error:
            if best and failure_of(error).out_of_memory:
                break
            raise
        best = max(best, 2 * n**3 / min(times))
        if min(times) > limit_s:
            break
    return best
