"""The presenter's mouth: the order of its curves, and its opening as it is read from pixels."""

import dataclasses

import numpy as np
import pytest

from jaxgesture.data.presenter import mouth
from jaxgesture.data.presenter.looks import look_of
from jaxgesture.data.presenter.mouth import CENTRE_Y, HALF_WIDTH, INTERIOR, OPENING, lip_curves

SIZE = 96
BOX = (38.0, 28.0, 58.0, 48.0)


def _face(opening, size=SIZE, place=(0.5, 0.39), around=(230, 190, 160)):
    """A plain face with an oval of the interior's colour, as high as a mouth that is so open."""
    y, x = (np.mgrid[0 : 4 * size, 0 : 4 * size] + 0.5) / (4 * size)
    inside = ((x - place[0]) / HALF_WIDTH) ** 2
    inside = inside + ((y - place[1]) / (0.5 * OPENING * max(opening, 1e-9))) ** 2 < 1
    share = inside.reshape(size, 4, size, 4).mean(axis=(1, 3))[..., None]
    return np.rint(share * INTERIOR + (1 - share) * around).astype(np.uint8)


def _clip(*openings, **how):
    return np.stack([_face(opening, **how) for opening in openings])


@pytest.mark.parametrize("opening", [0.0, 0.2, 0.6, 1.0])
@pytest.mark.parametrize("width", [0.74, 1.0, 1.06])
def test_curves_lie_above_each_other(opening, width):
    curves = lip_curves(np.array(opening), np.array(width))
    names = ["outer_top", "inner_top", "teeth", "tongue", "inner_bottom", "outer_bottom"]
    assert set(curves) == set(names)
    heights = np.stack([curves[name][:, 1] for name in names])
    assert (np.diff(heights, axis=0) >= -1e-9).all()
    for curve in curves.values():
        # Left to right, and as wide on one side as on the other.
        assert (np.diff(curve[:, 0]) > 0).all()
        np.testing.assert_allclose(curve[:, 0], -curve[::-1, 0], atol=1e-12)
        np.testing.assert_allclose(curve[:, 1], curve[::-1, 1], atol=1e-12)
    top, bottom = curves["inner_top"], curves["inner_bottom"]
    assert (bottom[:, 1] - top[:, 1]).max() == pytest.approx(OPENING * opening, abs=1e-9)
    assert np.ptp(top[:, 0]) == pytest.approx(2 * HALF_WIDTH * width * (1 - 0.06 * opening))


def test_curves_of_many_frames_are_those_of_each():
    opening, width = np.random.default_rng(0).uniform(0, 1, (2, 7))
    together = lip_curves(opening, width)
    for frame in range(7):
        for name, curve in lip_curves(opening[frame], width[frame]).items():
            np.testing.assert_allclose(together[name][frame], curve)
    assert together["teeth"].shape == (7, 15, 2) and CENTRE_Y > 0


def test_the_opening_is_in_proportion_to_the_area():
    openings = np.array([0.0, 0.25, 0.5, 0.75, 1.0])
    found = mouth.mouth_opening(_clip(*openings, size=2 * SIZE), np.array(BOX) * 2)
    assert found.dtype == np.float32 and found[0] == 0.0
    # An oval has pi / 4 of its rectangle, of which the measure takes 0.65 for full.
    np.testing.assert_allclose(found, openings * np.pi / 4 / 0.65, atol=0.06)


@pytest.mark.parametrize("size", [48, 96, 192])
def test_the_opening_does_not_hang_on_the_size(size):
    box = np.array(BOX) * size / SIZE
    (found,) = mouth.mouth_opening(_clip(0.7, size=size), box)
    (reference,) = mouth.mouth_opening(_clip(0.7, size=288), np.array(BOX) * 3)
    # Of pixels that an edge crosses a part is lost: the more, the fewer there are.
    assert found == pytest.approx(reference, abs=0.1) and found <= reference


def test_bytes_and_fractions_give_the_same():
    clip = _clip(0.2, 0.9)
    for kind in (np.float32, np.float64, np.float16):
        fractions = (clip / 255).astype(kind)
        np.testing.assert_allclose(
            mouth.mouth_opening(fractions, BOX), mouth.mouth_opening(clip, BOX), atol=0.01
        )
        np.testing.assert_allclose(mouth.find_lips(fractions), mouth.find_lips(clip), atol=1)


@pytest.mark.parametrize("place", [(0.5, 0.39), (0.42, 0.3), (0.6, 0.5)])
def test_lips_are_found_wherever_they_may_be(place):
    x0, y0, x1, y1 = mouth.find_lips(_clip(0.1, 0.8, 0.5, place=place))
    assert (x0 + x1) / 2 == pytest.approx(place[0] * SIZE, abs=2)
    assert (y0 + y1) / 2 == pytest.approx(place[1] * SIZE, abs=2)
    assert x1 - x0 == pytest.approx(0.15 * SIZE) and y1 - y0 == pytest.approx(0.11 * SIZE)


def test_what_has_the_colour_elsewhere_does_not_count():
    clip = _clip(0.0, 0.5)
    clip[:, -20:, :] = INTERIOR  # a red floor, larger than any mouth
    x0, y0, x1, y1 = mouth.find_lips(clip)
    assert y1 < 60 and 38 < (x0 + x1) / 2 < 58
    np.testing.assert_allclose(
        mouth.mouth_opening(clip, BOX), mouth.mouth_opening(_clip(0.0, 0.5), BOX)
    )


def test_a_box_for_each_frame():
    clip = np.concatenate([_clip(0.6), _clip(0.6, place=(0.45, 0.45))])
    boxes = np.stack([np.array(BOX), np.array(BOX) + (-5, 6, -5, 6)])
    found = mouth.mouth_opening(clip, boxes)
    assert found[0] == pytest.approx(found[1], abs=0.05)
    elsewhere = mouth.mouth_opening(clip, np.array([0.0, 60.0, 20.0, 80.0]))
    assert (elsewhere == 0).all()


def test_other_colours_of_a_face_are_no_open_mouth():
    for colour in (mouth.TEETH, (98, 64, 46), (40, 30, 34), (255, 255, 255)):
        assert (mouth.mouth_opening(_clip(0.0, around=colour), BOX) == 0).all()


def test_nobody_wears_the_colour_of_a_mouth():
    def excess(colour):
        return colour[0] + colour[2] - 2 * colour[1]

    worn = {}
    for look in map(look_of, range(240)):
        for name, value in dataclasses.asdict(look).items():
            # The blush is a breath of its colour, at most 0.22, on the skin.
            if type(value) is tuple and name != "blush":
                worn.update({tuple(colour): name for colour in np.reshape(value, (-1, 3)).tolist()})
    assert excess(INTERIOR) == 160
    assert max(excess(colour) for colour in worn) <= 64


def test_long_clips_are_counted_in_parts():
    clip = np.repeat(_clip(0.1, 0.4, 0.9), 50, axis=0)
    found = mouth.mouth_opening(clip, BOX)
    parts = [mouth.mouth_opening(clip[i : i + 1], BOX)[0] for i in (0, 63, 64, 149)]
    np.testing.assert_allclose(found[[0, 63, 64, 149]], parts)
    assert mouth.mouth_opening(clip[:0], BOX).shape == (0,)


@pytest.mark.parametrize(
    ("shape", "box", "message"),
    [
        ((3, 8, 8), BOX, r"frames must be \(t, s, s, 3\), not \(3, 8, 8\)"),
        ((2, 8, 8, 4), BOX, "frames must be"),
        ((2, 8, 8, 3), np.zeros(3), r"lips_box must be \(4,\) or \(2, 4\), not \(3,\)"),
        ((2, 8, 8, 3), np.zeros((1, 4)), "lips_box must be"),
    ],
)
def test_wrong_shapes(shape, box, message):
    with pytest.raises(ValueError, match=message):
        mouth.mouth_opening(np.zeros(shape, np.uint8), box)
