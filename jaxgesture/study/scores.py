r"""Mean opinion scores with intervals, and how far raters agree.

Ratings of one rater are not independent, so a rater counts once: with x_r the mean of the ratings
that rater r gave a system on a question, r = 1 .. R,

    mean = (1/R) \sum_r x_r,   half width = t_{0.975, R-1} s / \sqrt{R},

where s is the standard deviation of the x_r (with R - 1) and t the quantile of Student's.

Krippendorff's alpha (Krippendorff 2011, "Computing Krippendorff's Alpha-Reliability"), with the
interval difference (a - b)^2, over units u (videos) that m_u >= 2 raters rated, n = \sum_u m_u:

    D_o = (1/n) \sum_u \sum_{i != j} (v_ui - v_uj)^2 / (m_u - 1),
    D_e = 1/(n (n - 1)) \sum_{a != b} (v_a - v_b)^2,      alpha = 1 - D_o / D_e:

1 is perfect agreement, 0 what chance gives.
"""

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np


class Score(NamedTuple):
    """The mean opinion of a system on a question.

    Attributes:
      mean: of the raters' means, 1 to 5; nan without ratings.
      half_width: of its 95 % interval; nan for fewer than two raters.
      ratings: their number.
      raters: their number.
    """

    mean: float
    half_width: float
    ratings: int
    raters: int


def score(by_rater: Mapping[str, Sequence[float]], level: float = 0.95) -> Score:
    """Mean and interval of ratings, clustered by rater.

    Args:
      by_rater: rater -> ratings of one system on one question; raters without any do not count.
      level: of confidence, between 0 and 1.
    """
    means = np.array([np.mean(values) for values in by_rater.values() if len(values)])
    ratings = sum(map(len, by_rater.values()))
    if len(means) < 2:
        return Score(float(means[0]) if len(means) else math.nan, math.nan, ratings, len(means))
    from scipy import stats

    quantile = float(stats.t.ppf((1 + level) / 2, len(means) - 1))
    half_width = quantile * float(means.std(ddof=1)) / math.sqrt(len(means))
    return Score(float(means.mean()), half_width, ratings, len(means))


def alpha(units: Sequence[Sequence[float]]) -> float:
    """Krippendorff's alpha for numbers at equal distances.

    Args:
      units: the ratings of each video, by any raters; those with fewer than two do not count.

    Returns:
      At most 1; nan where no video has two ratings, or where all ratings are alike.
    """
    pairable = [np.asarray(values, np.float64) for values in units if len(values) > 1]
    if not pairable:
        return math.nan
    every = np.concatenate(pairable)
    expected = _squares(every) / (len(every) - 1)
    observed = sum(_squares(values) / (len(values) - 1) for values in pairable)
    return float(1 - observed / expected) if expected else math.nan


def _squares(values: np.ndarray) -> float:
    """Sum over ordered pairs i != j of (v_i - v_j)^2, from the deviations."""
    return float(2 * len(values) * np.square(values - values.mean()).sum())
