import numpy as np
import pytest

from jaxgesture.evaluation import regions
from jaxgesture.evaluation.batched import in_batches
from jaxgesture.evaluation.reconstruction import Clip

NAN = (np.nan,) * 4
LEFT, RIGHT, FACE, LIPS = range(4)
ROUNDING = 5e-5  # places in float32 between pixels that differ by up to 1; measured 1.2e-5


def clip(boxes, size=80, seed=0):
    """Frames of noise with the given boxes."""
    count = 3 if boxes is None else len(boxes)
    frames = np.random.default_rng(seed).integers(0, 256, (count, size, size, 3), np.uint8)
    boxes = None if boxes is None else np.asarray(boxes, np.float32)
    return Clip(frames[0], frames, frames.mean(0) / 255.0, boxes)


def pixels(x, y, side, size=80):
    """A box whose square with its margin covers whole pixels: `side` of them from (x, y)."""
    inner = np.asarray([x + side / 6, y + side / 6, x + side * 5 / 6, y + side * 5 / 6])
    return tuple(inner / size)


def test_square_by_hand():
    boxes = np.asarray([[0.2, 0.4, 0.4, 0.5], [0.1, 0.1, 0.2, 0.5]])
    # Sides of .2 and .4, and half of each as margin: .3 and .6 around (.3, .45) and (.15, .3).
    expected = [[0.15, 0.3, 0.45, 0.6], [-0.15, 0.0, 0.45, 0.6]]
    np.testing.assert_allclose(regions.square(boxes), expected, atol=1e-12)
    np.testing.assert_allclose(
        regions.square(boxes, 0.0), [[0.2, 0.35, 0.4, 0.55], [-0.05, 0.1, 0.35, 0.5]], atol=1e-12
    )
    assert "25%" in regions.RULE and "64 x 64" in regions.RULE


def test_boxes_without_extent_are_not_there():
    boxes = np.asarray([NAN, (0.1, 0.1, np.nan, 0.3), (0.4, 0.4, 0.4, 0.4), (0.5, 0.5, 0.4, 0.4)])
    assert np.isnan(regions.square(boxes)).all()
    line = regions.square(np.asarray([0.2, 0.4, 0.4, 0.4]))  # a closed mouth
    np.testing.assert_allclose(line, [0.15, 0.25, 0.45, 0.55], atol=1e-12)


def test_places_are_the_regions_own_boxes():
    hand, other, face, lips = ((x, 0.1, x + 0.1, 0.2) for x in (0.1, 0.3, 0.5, 0.7))
    item = clip([[hand, other, face, lips], [NAN, other, face, NAN], [NAN, NAN, face, NAN]])
    hands, mouth = regions.places(item, "hand"), regions.places(item, "lips")
    np.testing.assert_array_equal(hands.frames, [0, 0, 1])
    expected = regions.square(np.asarray([hand, other, other], np.float32))
    np.testing.assert_array_equal(hands.boxes, expected)
    assert hands.absent == 3
    np.testing.assert_array_equal(mouth.frames, [0])
    np.testing.assert_array_equal(mouth.boxes, regions.square(np.asarray([lips], np.float32)))
    assert mouth.absent == 2
    full = regions.places(item, "full")
    np.testing.assert_array_equal(full.frames, [0, 1, 2])
    assert full.boxes is None and full.absent == 0


def test_without_boxes_only_the_whole_picture_is_left():
    item = clip(None)
    for region, count in (("hand", 6), ("lips", 3)):
        where = regions.places(item, region)
        assert len(where.frames) == 0 and where.absent == count
    assert len(regions.places(item, "full").frames) == 3


def test_crops_are_the_pixels_of_the_square():
    boxes = [[NAN, NAN, NAN, pixels(3 + i, 7, 64)] for i in range(3)]
    boxes[1][LEFT] = pixels(10, 2, 64)
    item = clip(boxes)
    images = item.frames / 255.0
    lips = regions.cut(images, regions.places(item, "lips"))
    assert lips.shape == (3, 64, 64, 3)
    for i in range(3):
        np.testing.assert_allclose(lips[i], images[i, 7:71, 3 + i : 67 + i], atol=ROUNDING)
    (hand,) = regions.cut(images, regions.places(item, "hand"))
    np.testing.assert_allclose(hand, images[1, 2:66, 10:74], atol=ROUNDING)
    full = regions.cut(images, regions.places(item, "full"))
    np.testing.assert_array_equal(full, images)


def test_beyond_the_picture_its_outermost_pixels_go_on():
    item = clip([[NAN, NAN, NAN, pixels(-10, 40, 64)]])
    image = item.frames[0] / 255.0
    (crop,) = regions.cut(image[None], regions.places(item, "lips"))
    np.testing.assert_allclose(crop[:40, 10:], image[40:, :54], atol=ROUNDING)
    np.testing.assert_allclose(crop[5, :10], np.repeat(image[45, :1], 10, 0), atol=ROUNDING)
    np.testing.assert_allclose(crop[40:, 10:], np.repeat(image[79:, :54], 24, 0), atol=ROUNDING)


def test_more_places_than_a_batch():
    count = 2 * regions.BATCH + 3
    item = clip([[pixels(i % 9, 2, 64), NAN, NAN, NAN] for i in range(count)])
    crops = regions.cut(item.frames / 255.0, regions.places(item, "hand"))
    assert len(crops) == count
    for i in (0, regions.BATCH, count - 1):
        expected = item.frames[i, 2:66, i % 9 : i % 9 + 64] / 255.0
        np.testing.assert_allclose(crops[i], expected, atol=ROUNDING)


@pytest.mark.parametrize("count", [1, 4, 5, 8])
def test_rows_in_batches_of_one_size(count):
    seen = []

    def double(a, b):
        seen.append(len(a))
        return a * 2 + b

    a = np.arange(float(count))
    np.testing.assert_array_equal(in_batches(double, 4, a, 10 * a), 12 * a)
    assert seen == [4] * -(-count // 4)
