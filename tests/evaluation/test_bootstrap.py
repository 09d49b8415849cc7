"""Intervals of means: laws they keep, and values that have none."""

import math

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation.bootstrap import bootstrap

VALUES = np.random.default_rng(0).gamma(2.0, 1.0, 30)


def test_the_same_values_have_the_same_interval():
    assert bootstrap(VALUES) == bootstrap(list(VALUES)) != bootstrap(VALUES, seed=1)


def test_intervals_move_and_stretch_with_the_values():
    one = bootstrap(VALUES)
    moved = bootstrap(3 * VALUES - 7)
    assert moved[:3] == pytest.approx([3 * value - 7 for value in one[:3]])
    turned = bootstrap(-VALUES)
    assert turned.mean == -one.mean and turned.low == pytest.approx(-one.high)


def test_more_confidence_takes_a_wider_interval():
    widths = [np.ptp(bootstrap(VALUES, level=level)[1:3]) for level in (0.5, 0.8, 0.95, 0.99)]
    assert widths == sorted(widths) and widths[0] > 0


def test_more_clips_make_it_narrower():
    few, many = (bootstrap(np.tile(VALUES, count)) for count in (1, 9))
    assert few.mean == pytest.approx(many.mean)
    assert np.ptp(many[1:3]) == pytest.approx(np.ptp(few[1:3]) / 3, rel=0.2)


def test_two_clips_are_nearly_nothing():
    """Percentiles alone would be the two values; Student's quantile of one degree is 12.7."""
    found = bootstrap([1.0, 2.0])
    assert found.n == 2 and found.mean == 1.5
    assert found.high - found.low == pytest.approx(12.706 / 1.960 * math.sqrt(2), rel=1e-3)


@pytest.mark.parametrize("count", [2, 20])
def test_equal_values_have_no_width(count):
    found = bootstrap([0.25] * count)
    assert (found.mean, found.low, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("values", "mean", "n"),
    [
        ([], math.nan, 0),
        ([math.nan] * 3, math.nan, 0),
        ([math.nan, 4.0], 4.0, 1),
        ([1.0, math.inf], math.inf, 2),
        ([1.0, -math.inf, 2.0], -math.inf, 3),
    ],
)
def test_values_without_an_interval(values, mean, n):
    found = bootstrap(values)
    assert found.mean == mean or math.isnan(mean) and math.isnan(found.mean)
    assert math.isnan(found.low) and math.isnan(found.high) and found.n == n


def test_clips_without_a_value_are_as_if_they_were_not_there():
    with_gaps = np.full(90, np.nan)
    with_gaps[::3] = VALUES
    assert bootstrap(with_gaps) == bootstrap(VALUES)


@pytest.mark.parametrize(
    "wish", [{"level": 0.0}, {"level": 1.0}, {"level": math.nan}, {"resamples": 0}], ids=str
)
def test_wishes_that_give_no_interval(wish):
    with pytest.raises(UserError, match="give no interval; choose 0 < level < 1 and at least one"):
        bootstrap(VALUES, **wish)
