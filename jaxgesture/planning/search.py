"""The largest batch that fits, found with few attempts, each of which takes minutes.

Memory grows almost linearly with the rows of a chip. Two programs that fit predict how many rows
fill a chip; a third confirms it. Near the limit the compiler trades time for memory, so more may
fit than the line says: attempts go on until the number that fits and the number that does not are
neighbours, or as near as wanted.
"""

import dataclasses
from collections.abc import Callable

from jaxgesture.core.errors import UserError

MOST = 2**16  # rows a chip that nobody wants more of
FIRST = 64  # rows a chip of the second attempt, at most


@dataclasses.dataclass(frozen=True)
class Attempt:
    """What one number of rows a chip needs.

    Attributes:
      rows: on each chip.
      memory: bytes on each chip.
      fits: whether that is there.
      limit: bytes that are there, as far as the attempt told.
    """

    rows: int
    memory: int
    fits: bool
    limit: int


def largest(
    attempt: Callable[[int], Attempt], limit: int, *, attempts: int = 6, step: int = 1
) -> list[Attempt]:
    """Looks for the largest number of rows a chip that fits.

    Args:
      attempt: rows a chip -> what they need.
      limit: bytes of a chip.
      attempts: to make at most.
      step: rows a chip are multiples of this (parts that a gradient is computed in).

    Returns:
      all attempts, in their order; `best` tells the answer.

    Raises:
      UserError: not even one row fits.
    """
    made = [attempt(step)]
    limit = min(limit, made[0].limit)
    if not made[0].fits:
        raise UserError(
            f"not even {step} row(s) a chip fit: that needs {made[0].memory / 2**30:.2f} GiB of "
            f"{limit / 2**30:.2f}; try --config.model.remat=True, --config.mesh.fsdp=-1, more "
            "chips, or chips with more memory"
        )
    while len(made) < attempts:
        low, high = bracket(made)
        if high is not None and high.rows - low.rows <= step:
            break
        if low.rows >= MOST // step * step:
            break
        made.append(attempt(_next(made, low, high, limit, step)))
        limit = min(limit, made[-1].limit)
    return made


def bracket(made: list[Attempt]) -> tuple[Attempt, Attempt | None]:
    """The most rows that fit, and the fewest that do not (None if all did)."""
    low = max((one for one in made if one.fits), key=lambda one: one.rows)
    high = min((one for one in made if not one.fits), key=lambda one: one.rows, default=None)
    return low, high


def best(made: list[Attempt]) -> Attempt:
    """The attempt with the most rows that fit."""
    return bracket(made)[0]


def is_settled(made: list[Attempt], step: int = 1) -> bool:
    """Whether `step` rows more are known not to fit."""
    low, high = bracket(made)
    return high is not None and high.rows == low.rows + step


def _next(made: list[Attempt], low: Attempt, high: Attempt | None, limit: int, step: int) -> int:
    if len(made) == 1:
        # So many surely fit, if memory grows no faster than the rows: a long lever for the line.
        return step * max(2, min(limit // max(low.memory, 1), FIRST // step))
    # The line through the numbers on both sides of the limit, else through the largest two.
    known = [low, high] if high is not None else sorted(made, key=lambda one: one.rows)[-2:]
    first, second = known
    slope = (second.memory - first.memory) / (second.rows - first.rows)
    guess = MOST
    if slope > 0:
        guess = first.rows + int((limit - first.memory) / slope)
    # Strictly between what fits and what does not; beyond the line if nothing is known there.
    guess = max(guess // step * step, low.rows + step)
    return min(guess, MOST // step * step if high is None else high.rows - step)
