"""A program of one side, ready to be timed, or the reason why there is none."""

import dataclasses
from collections.abc import Callable
from typing import Any

from jaxgesture.core.types import NumpyBatch

MESSAGE_LENGTH = 160  # characters of a failure that are kept
OUT_OF_MEMORY = ("resource_exhausted", "out of memory", "can't allocate memory")


@dataclasses.dataclass
class Program:
    """One case of one side.

    Attributes:
      call: does the work once and returns when the results are there.
      output: what its first call gave, channels last, by name.
      compile_s: seconds that compiling it took; None where nothing is compiled.
      memory_bytes: the most that it holds at once, weights and inputs included; None if unknown.
      flops: floating point operations of one call; None if the side does not count them.
    """

    call: Callable[[], Any]
    output: NumpyBatch
    compile_s: float | None = None
    memory_bytes: int | None = None
    flops: float | None = None


@dataclasses.dataclass(frozen=True)
class Failure:
    """Why a program could not be made or run.

    Attributes:
      reason: one line.
      out_of_memory: whether it was for want of memory.
    """

    reason: str
    out_of_memory: bool = False


def failure_of(error: Exception) -> Failure:
    """What to report of an error."""
    text = " ".join(str(error).split())
    if isinstance(error, MemoryError) or any(word in text.lower() for word in OUT_OF_MEMORY):
        return Failure("out of memory", True)
    kind = type(error).__name__
    return Failure(f"{kind}: {text}"[:MESSAGE_LENGTH] if text else kind)
