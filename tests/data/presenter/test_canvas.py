"""The presenter's canvas: curves, strokes, colours; drawing keeps its place at every size."""

import numpy as np
import pytest
from PIL import Image

from jaxgesture.data.presenter import canvas
from jaxgesture.data.presenter.canvas import Canvas

RED, WHITE, BLACK = (200, 0, 0), (255, 255, 255), (0, 0, 0)
BOX = np.array([(0.25, 0.25), (0.75, 0.25), (0.75, 0.75), (0.25, 0.75)])


def _area(points):
    x, y = points.T
    return 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))


@pytest.mark.parametrize(("size", "factor"), [(32, 5), (64, 5), (65, 4), (256, 4), (257, 2)])
def test_small_pictures_are_drawn_with_more_samples(size, factor):
    assert canvas.supersampling(size) == factor
    picture = Canvas(size)
    assert picture.image.size == (size * factor,) * 2 and picture.pixels().shape == (size, size, 3)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_mixtures_lie_between_their_colours(share):
    expected = np.array(RED) * (1 - share) + np.array([100, 40, 255]) * share
    np.testing.assert_allclose(canvas.mix(RED, (100, 40, 255), share), expected, atol=0.5)
    assert canvas.mix(RED, RED, share) == RED


def test_shadow_darkens_and_keeps_black():
    amounts = [canvas.shaded(WHITE, amount) for amount in (0.0, 0.3, 1.0)]
    assert amounts[0] == WHITE and amounts[2] == tuple(round(255 * s) for s in canvas.SHADOW)
    levels = [canvas.luminance(colour) for colour in amounts]
    assert levels[0] == pytest.approx(255) and levels == sorted(levels, reverse=True)
    assert canvas.shaded(BLACK, 1.0) == BLACK
    assert canvas.distance(BLACK, (3, 4, 0)) == 5.0


def test_a_cast_shadow_lies_where_its_mask_is_bright():
    image = Image.new("RGB", (4, 4), WHITE)
    mask = Image.new("L", (4, 4))
    mask.paste(255, (0, 0, 2, 4))
    canvas.cast_shadow(image, mask)
    pixels = np.asarray(image)
    assert (pixels[:, 2:] == 255).all()
    np.testing.assert_allclose(
        pixels[:, :2], [[[round(255 * s) for s in canvas.SHADOW]] * 2] * 4, atol=1
    )


@pytest.mark.parametrize("steps", [1, 4, 6])
def test_curves_go_through_their_points(steps):
    points = [(0.0, 0.0), (1.0, 0.2), (1.1, 1.0), (-0.2, 0.9)]
    curve = canvas.smooth_curve(points, steps)
    assert curve.shape == (4 * steps, 2)
    np.testing.assert_allclose(curve[::steps], points, atol=1e-12)
    # Closed: the last vertex is as near to the first as others to their neighbours.
    gaps = np.linalg.norm(np.diff(curve, axis=0, append=curve[:1]), axis=1)
    assert gaps.max() < 2.5 * np.median(gaps)


def test_a_curve_through_a_circle_is_round():
    angle = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    circle = [(float(np.cos(a)), float(np.sin(a))) for a in angle]
    radius = np.linalg.norm(canvas.smooth_curve(circle), axis=1)
    np.testing.assert_allclose(radius, 1, atol=0.01)


def test_a_symmetric_curve_is_its_own_mirror_image():
    half = [(0.0, -1.0), (0.6, -0.5), (0.4, 0.3), (0.0, 0.5)]
    curve = canvas.symmetric(half)
    # Six points: the two on the axis are not doubled.
    assert len(curve) == 36
    mirrored = curve * (-1, 1)
    nearest = np.abs(curve[:, None] - mirrored).sum(-1).min(axis=1)
    np.testing.assert_allclose(nearest, 0, atol=1e-12)


def test_ellipses():
    points = canvas.ellipse(0.3, 0.4, 0.2, 0.1, steps=96)
    np.testing.assert_allclose(((points - (0.3, 0.4)) / (0.2, 0.1) ** np.ones(2)) ** 2 @ [1, 1], 1)
    assert _area(points) == pytest.approx(np.pi * 0.02, rel=0.01)
    upright = canvas.ellipse(0.3, 0.4, 0.2, 0.1, tilt=np.pi / 2)
    np.testing.assert_allclose(np.ptp(upright, axis=0), (0.2, 0.4), atol=1e-9)


@pytest.mark.parametrize("end", [(0.8, 0.3), (0.2, 0.3), (0.2, 0.9)])
def test_capsules_hold_both_of_their_circles(end):
    a, b, ra, rb = np.array([0.2, 0.3]), np.array(end), 0.1, 0.05
    outline = canvas.capsule(a, b, ra, rb)
    from_a, from_b = (np.linalg.norm(outline - p, axis=1) for p in (a, b))
    # Each vertex lies on one of the circles, none inside of either.
    on_circle = np.isclose(from_a, ra) | np.isclose(from_b, rb)
    assert on_circle.all() and from_a.max() <= np.linalg.norm(b - a) + ra + 1e-9
    length = np.linalg.norm(b - a)
    expected = length * (ra + rb) + np.pi / 2 * (ra**2 + rb**2)
    assert _area(outline) == pytest.approx(expected, rel=0.05)  # of twelve corners


def test_drawing_keeps_its_place_at_every_size():
    for size in (32, 100, 300):
        picture = Canvas(size)
        picture.polygon(BOX, RED)
        red = picture.pixels()[..., 0] / 200
        assert red.mean() == pytest.approx(0.25, abs=0.02)
        rows = np.arange(size) + 0.5
        assert (red.sum(1) @ rows / red.sum()) == pytest.approx(size / 2, abs=0.6)
        picture.capsule(np.array([0.5, 0.1]), np.array([0.5, 0.1]), 0.05, 0.05, WHITE)
        assert (picture.pixels()[round(0.1 * size), size // 2] == 255).all()


def test_what_is_drawn_outside_is_cut():
    picture = Canvas(32)
    picture.polygon(BOX * 3 - 1, RED)
    assert (picture.pixels() == RED).all()
    picture.polygon(BOX + 2, WHITE)
    assert (picture.pixels() == RED).all()


def test_glass_lets_shine_through():
    picture = Canvas(32)
    picture.polygon(BOX * 3 - 1, WHITE)
    picture.polygon(BOX, BLACK, alpha=0.25)
    middle, corner = picture.pixels()[16, 16], picture.pixels()[2, 2]
    np.testing.assert_allclose(middle, 255 * 0.75, atol=1)
    assert (corner == 255).all()


def test_a_background_is_copied():
    first = Canvas(32)
    first.polygon(BOX, RED)
    second = Canvas(32, first.image)
    second.polygon(BOX, WHITE)
    assert (first.pixels()[16, 16] == RED).all() and (second.pixels()[16, 16] == WHITE).all()


def test_gradients_and_glows():
    pixels = np.asarray(canvas.gradient(64, (10, 200, 0), (250, 20, 0))).astype(int)
    assert (pixels == pixels[:, :1]).all()
    assert (np.diff(pixels[:, 0, 0]) >= 0).all() and (np.diff(pixels[:, 0, 1]) <= 0).all()
    np.testing.assert_allclose(pixels[[0, -1], 0], [(10, 200, 0), (250, 20, 0)], atol=1)
    mask = np.asarray(canvas.glow(101, 0.25, 0.75, 0.2, 0.8))
    np.testing.assert_allclose(np.argwhere(mask == mask.max()).mean(axis=0), (75, 25), atol=1)
    assert mask.max() == pytest.approx(0.8 * 255, abs=1)
    # One radius from the middle it has fallen to 1 / e.
    assert mask[75, 25 + 20] == pytest.approx(0.8 * 255 / np.e, abs=6)
