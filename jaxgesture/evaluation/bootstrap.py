"""Intervals of a mean over clips, by the percentile bootstrap (Efron 1979).

Of few clips percentiles are too narrow: their deviation lacks the factor sqrt(n / (n - 1)), and the
normal's quantile z stands where Student's t does. Both ends are widened by these (Hesterberg 2015,
"What Teachers Should Know About the Bootstrap", section 5).
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError


class Interval(NamedTuple):
    """A mean, the interval that holds it with the chosen confidence, and its number of values."""

    mean: float
    low: float
    high: float
    n: int


def bootstrap(
    values: Sequence[float] | Float[np.ndarray, "n"],
    *,
    level: float = 0.95,
    resamples: int = 2000,
    seed: int = 0,
) -> Interval:
    """The mean of one value a clip, with its interval over draws of clips with replacement.

    Differences of two systems on the same clips give a paired interval: pass the differences.

    Args:
      values: one a clip; clips without a value (nan) are left out.
      level: of confidence, between 0 and 1.
      resamples: draws.
      seed: of the draws.

    Returns:
      nan for the ends of a single value or where one is infinite, and for the mean of none.

    Raises:
      UserError: a level outside (0, 1), or no draws.
    """
    if not 0 < level < 1 or resamples < 1:
        raise UserError(
            f"level {level} and {resamples} draws give no interval; choose 0 < level < 1 and at "
            "least one draw"
        )
    rows = np.asarray(values, np.float64)
    rows = rows[~np.isnan(rows)]
    if len(rows) < 2 or not np.isfinite(rows).all():
        mean = float(rows.mean()) if len(rows) else float("nan")
        return Interval(mean, float("nan"), float("nan"), len(rows))
    from scipy import stats

    rng = np.random.default_rng(seed)
    means = rows[rng.integers(0, len(rows), (resamples, len(rows)))].mean(axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    n, mean, tail = len(rows), float(rows.mean()), (1 + level) / 2
    wider = stats.t.ppf(tail, n - 1) / stats.norm.ppf(tail) * math.sqrt(n / (n - 1))
    return Interval(mean, mean - wider * (mean - low), mean + wider * (high - mean), n)
