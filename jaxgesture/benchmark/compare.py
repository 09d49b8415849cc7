"""Runs the cases: makes each side's program, compares the outputs, times the programs in turn."""

import dataclasses
import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from jaxgesture.benchmark.cases import Case
from jaxgesture.benchmark.program import Failure, Program, failure_of
from jaxgesture.benchmark.timing import Timing, best_rate, interleave
from jaxgesture.core.types import NumpyBatch

# Largest difference of two sides as a part of the output's range. A wrong reading of a layer is of
# the size of the range; what low precision does to the places of the warp comes near to that.
BOUNDS = {"float32": 0.01, "tf32": 0.2, "bfloat16": 0.5}
PEAK_SIZES = tuple(2**k for k in range(8, 15))
PEAK_LIMIT_S = 0.1


class Side(Protocol):
    """One framework in one way of running."""

    @property
    def name(self) -> str:
        """For the table."""
        ...

    def program(self, case: Case) -> Program:
        """Makes a case's program and runs it at least once."""
        ...

    def peak(self, precision: str) -> Callable[[int], Callable[[], Any]]:
        """For a side n, a program that multiplies two n x n matrices."""
        ...

    def release(self) -> None:
        """Gives back what the last case held."""
        ...


@dataclasses.dataclass(frozen=True)
class Measured:
    """One side of a case.

    Attributes:
      timing: of its calls.
      compile_s: seconds of compiling, None where nothing is compiled.
      memory_bytes: the most it holds at once, None if unknown.
      difference: largest absolute difference of its output from the first side's; None for the
        first side.
      relative: the largest of these differences as a part of the range of the array it is in.
    """

    timing: Timing
    compile_s: float | None = None
    memory_bytes: int | None = None
    difference: float | None = None
    relative: float | None = None


@dataclasses.dataclass(frozen=True)
class Result:
    """A case on all sides.

    Attributes:
      case: which.
      flops: floating point operations of a call, None if nobody could count them.
      sides: by name, what was measured or why nothing was.
    """

    case: Case
    flops: float | None
    sides: Mapping[str, Measured | Failure]


def run_case(sides: Sequence[Side], case: Case, repeats: int, seconds: float) -> Result:
    """Measures a case; a side that fails does not keep the others from running.

    Args:
      sides: the first is the one that the others are compared with.
      case: what to run.
      repeats: rounds at most.
      seconds: budget of the timed rounds.
    """
    programs: dict[str, Program] = {}
    failed: dict[str, Failure] = {}
    for side in sides:
        try:
            programs[side.name] = side.program(case)
        except Exception as error:  # of any kind: it is a line of the table
            failed[side.name] = failure_of(error)
    timings = interleave({name: p.call for name, p in programs.items()}, repeats, seconds)
    reference = programs.get(sides[0].name)
    found: dict[str, Measured | Failure] = {}
    for side in sides:
        if side.name in failed:
            found[side.name] = failed[side.name]
            continue
        program, timing = programs[side.name], timings[side.name]
        if isinstance(timing, Failure):
            found[side.name] = timing
            continue
        absolute = relative = None
        if reference is not None and program is not reference:
            try:
                absolute, relative = difference(reference.output, program.output)
            except ValueError as error:
                found[side.name] = failure_of(error)
                continue
        found[side.name] = Measured(
            timing, program.compile_s, program.memory_bytes, absolute, relative
        )
    flops = next((p.flops for p in programs.values() if p.flops is not None), None)
    programs.clear()
    gc.collect()
    for side in sides:
        side.release()
    return Result(case, flops, found)


def difference(ours: NumpyBatch, theirs: NumpyBatch) -> tuple[float, float]:
    """How far two outputs lie apart.

    Args:
      ours: arrays by name.
      theirs: likewise; what only one of them has is a ValueError.

    Returns:
      the largest absolute difference, and the largest one as a part of its array's range (of the
      value itself for single numbers and constant arrays). Infinite where only one is finite.

    Raises:
      ValueError: if names or shapes differ, which no rounding explains.
    """
    if ours.keys() != theirs.keys():
        raise ValueError(f"outputs {sorted(ours)} on one side, {sorted(theirs)} on the other")
    absolute, relative = 0.0, 0.0
    for name, a in ours.items():
        b = theirs[name]
        if a.shape != b.shape:
            raise ValueError(f"{name} is {a.shape} on one side, {b.shape} on the other")
        apart = float(np.max(np.abs(a - b)))
        if not np.isfinite(apart):
            apart = np.inf
        scale = float(np.ptp(a)) or float(np.max(np.abs(a)))
        absolute = max(absolute, apart)
        if apart:
            relative = max(relative, apart / scale if scale else np.inf)
    return absolute, relative


def warnings_of(result: Result) -> list[str]:
    """Sides of a case whose output is not that of the first side, one line each."""
    bound = BOUNDS[result.case.precision]
    return [
        f"{result.case}: {name} gives other numbers than the first side, by up to "
        f"{side.relative:.2g} of their range, more than {bound:g}; these times do not compare"
        for name, side in result.sides.items()
        if isinstance(side, Measured) and side.relative is not None and side.relative > bound
    ]


def framework(side: str) -> str:
    """What a side of this name runs in; sides of one framework share a peak."""
    return side.split()[0]


def peaks(
    sides: Sequence[Side], precisions: Sequence[str], step: Callable[[], Any] = lambda: None
) -> dict[str, dict[str, float]]:
    """The best rates of square matrix products.

    Args:
      sides: to measure; the first of each framework speaks for it.
      precisions: in which.
      step: called after each precision of each framework.

    Returns:
      {framework: {precision: operations a second}}.
    """
    found: dict[str, dict[str, float]] = {}
    for side in sides:
        name = framework(side.name)
        if name in found:
            continue
        found[name] = {}
        for precision in precisions:
            found[name][precision] = best_rate(side.peak(precision), PEAK_SIZES, PEAK_LIMIT_S)
            side.release()
            step()
    return found
