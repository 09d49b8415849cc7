"""Boxes as fractions of what is kept of a picture: where they are cut and when they are dropped."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import boxes

NAN = np.nan


def test_pixels_through_a_square_crop():
    # The middle square of a 400 x 200 picture: columns 100 to 300.
    kept = (100.0, 0.0, 300.0, 200.0)
    found = boxes.within(np.array([[120, 20, 160, 60], [100, 0, 300, 200]]), kept)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, [[0.1, 0.1, 0.3, 0.3], [0, 0, 1, 1]], atol=1e-7)


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((-10, 20, 20, 40), (0.0, 0.2, 0.2, 0.4)),  # two thirds are left
        ((-10, 20, 10, 40), (0.0, 0.2, 0.1, 0.4)),  # a half
        ((-12, 20, 10, 40), None),
        ((90, 90, 110, 110), None),  # a quarter, at a corner
        ((-50, -50, 60, 150), None),  # larger than the picture
        ((120, 10, 140, 20), None),
        ((20, 40, 20, 60), None),
        ((60, 40, 20, 60), None),
        ((60, 60, 20, 40), None),
        ((NAN, 10, 20, 20), None),
        ((10, 10, np.inf, 20), None),
        ((NAN, NAN, NAN, NAN), None),
    ],
)
def test_cut_or_dropped(box, expected):
    found = boxes.within(np.array(box), (0, 0, 100, 100))
    if expected is None:
        assert np.isnan(found).all()
    else:
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_what_is_found_can_be_written():
    rng = np.random.default_rng(0)
    found = boxes.within(rng.uniform(-80, 180, (500, 4, 4)), (0, 0, 100, 100))
    there = np.isfinite(found).all(-1)
    assert 0.01 < there.mean() < 0.9 and (np.isnan(found).any(-1) == ~there).all()
    np.testing.assert_array_equal(boxes.checked(found, "a"), found)


def test_the_mirror_image_swaps_the_hands():
    left, right, face, lips = (np.arange(4) / 100 + (i, i, i + 5, i + 6) for i in range(4))
    rows = np.stack([left, right, face, lips])[None] / 10
    found = boxes.mirrored(rows)
    np.testing.assert_allclose(found[0, 0], [1 - rows[0, 1, 2], rows[0, 1, 1],
                                             1 - rows[0, 1, 0], rows[0, 1, 3]])  # fmt: skip
    np.testing.assert_allclose(boxes.mirrored(found), rows)
    rows[0, boxes.PARTS.index("left_hand")] = NAN
    gone = np.isnan(boxes.mirrored(rows)).all(-1)[0]
    assert gone.tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (np.full((3, 4), 0.5), r"boxes of a are \(3, 4\), \(t, 4, 4\) is expected"),
        (np.full((3, 3, 4), NAN), "is expected"),
        (np.tile([10.0, 10, 20, 20], (1, 4, 1)), "give fractions of the frame"),
        (np.tile([0.3, 0.1, 0.2, 0.2], (1, 4, 1)), "x0 < x1"),
        (np.tile([0.1, 0.1, 0.2, NAN], (1, 4, 1)), "or be NaN"),
    ],
)
def test_boxes_that_cannot_be(rows, message):
    with pytest.raises(UserError, match=message):
        boxes.checked(rows, "a")
