"""Scores of opinions: what they do not depend on, and what they are where little is known."""

import math

import numpy as np
import pytest

from jaxgesture.study import scores


def _raters(seed=0, count=6, each=5):
    rng = np.random.default_rng(seed)
    return {str(r): rng.integers(1, 6, each).tolist() for r in range(count)}


def _close(one, other):
    np.testing.assert_allclose(one[:2], other[:2], atol=1e-12)


def test_a_rater_counts_once_however_many_ratings_he_gave():
    few = {"a": [1, 3], "b": [4], "c": [5, 5]}
    many = {"a": [1, 3] * 50, "b": [4] * 7, "c": [5]}
    _close(scores.score(few), scores.score(many))
    assert scores.score(many).ratings == 108 and scores.score(many).raters == 3


def test_names_and_order_do_not_matter():
    raters = _raters()
    turned = {f"x{name}": values[::-1] for name, values in reversed(raters.items())}
    _close(scores.score(raters), scores.score(turned))


def test_intervals_follow_the_scale_and_the_confidence():
    raters = _raters()
    plain = scores.score(raters)
    wide = scores.score({name: [10 * v - 3 for v in values] for name, values in raters.items()})
    assert wide.mean == pytest.approx(10 * plain.mean - 3)
    assert wide.half_width == pytest.approx(10 * plain.half_width)
    widths = [scores.score(raters, level).half_width for level in (0.5, 0.9, 0.95, 0.999)]
    assert widths == sorted(widths) and widths[2] == plain.half_width
    # Four times the raters, of the same spread: a little less than half of the width.
    four = {f"{n}{name}": values for n in range(4) for name, values in raters.items()}
    assert 0.35 < scores.score(four).half_width / plain.half_width < 0.5


def test_raters_who_agree_leave_no_interval():
    found = scores.score({"a": [4, 4], "b": [3, 5], "c": [4]})
    assert found == (4.0, 0.0, 5, 3)


@pytest.mark.parametrize("raters", [{}, {"a": []}, {"a": [], "b": []}])
def test_nobody_has_no_opinion(raters):
    found = scores.score(raters)
    assert math.isnan(found.mean) and math.isnan(found.half_width)
    assert (found.ratings, found.raters) == (0, 0)


def _units(seed=0, agree=1.0):
    rng = np.random.default_rng(seed)
    true = rng.integers(1, 6, (40, 1))
    return list(np.where(rng.random((40, 4)) < agree, true, rng.integers(1, 6, (40, 4))))


def test_agreement_grows_with_agreement():
    found = [scores.alpha(_units(agree=share)) for share in (0.0, 0.3, 0.6, 0.9, 1.0)]
    assert found == sorted(found) and found[-1] == 1.0 and abs(found[0]) < 0.15


def test_agreement_does_not_hang_on_scale_order_or_single_ratings():
    units = _units(agree=0.6)
    alpha = scores.alpha(units)
    assert scores.alpha([7 * unit + 2 for unit in units]) == pytest.approx(alpha)
    assert scores.alpha([unit[::-1] for unit in units[::-1]]) == pytest.approx(alpha)
    assert scores.alpha([*units, [5], []]) == alpha


def test_raters_who_contradict_each_other_agree_less_than_by_chance():
    assert scores.alpha([[1, 5], [5, 1], [1, 5]]) < 0
    # By hand: D_o = 16, D_e = (9 * 16 * 2) / (6 * 5) = 9.6.
    assert scores.alpha([[1, 5], [5, 1], [1, 5]]) == pytest.approx(1 - 16 / 9.6)


@pytest.mark.parametrize("units", [[], [[]], [[3]], [[3], [4]], [[2, 2], [2, 2]]])
def test_agreement_that_cannot_be_known(units):
    assert math.isnan(scores.alpha(units))
