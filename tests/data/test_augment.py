"""Changes of images: what they do to pixels, and that boxes follow."""

import numpy as np
import pytest

from jaxgesture.core.errors import UserError
from jaxgesture.data import augment
from jaxgesture.data.augment import AugmentConfig


def test_augmentation_changes_both_images_alike():
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (32, 32, 3), np.uint8)
    change = augment.draw(AugmentConfig(), np.random.default_rng(4))
    np.testing.assert_array_equal(change.apply(image), change.apply(image.copy()))
    nothing = augment.draw(augment.NO_AUGMENTATION, rng)
    np.testing.assert_array_equal(nothing.apply(image), image)
    flipped = augment.draw(AugmentConfig(1, 0, 0, 0, 0), rng)
    np.testing.assert_array_equal(flipped.apply(image), image[:, ::-1])
    # A horizontal ramp shows which part was kept and how it was scaled.
    ramp = np.broadcast_to(np.arange(0, 256, 4, dtype=np.uint8)[None, :, None], (64, 64, 3))
    for seed in range(20):
        change = augment.draw(AugmentConfig(0, 0.5, 0, 0, 0), np.random.default_rng(seed))
        x0, y0, x1, y1 = change.box
        assert 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1 and 0.5 <= x1 - x0 <= 1
        columns = change.apply(ramp)[0, :, 0].astype(float)
        expected = 4 * ((x0 + (x1 - x0) * (np.arange(64) + 0.5) / 64) * 64 - 0.5)
        np.testing.assert_allclose(columns[2:-2], expected[2:-2], atol=1.5)


def test_boxes_follow_the_pixels():
    def bounds(image):
        """The bright square, by the half of its level on both sides."""
        edges = []
        for axis in (0, 1):
            profile = image[..., 0].max(axis=axis).astype(float)
            inside = np.flatnonzero(profile > 127)
            edges.append((inside[0] / size, (inside[-1] + 1) / size))
        (x0, x1), (y0, y1) = edges
        return x0, y0, x1, y1

    size = 200
    rng = np.random.default_rng(0)
    flips = 0
    for seed in range(40):
        low = rng.integers(0, 120, 2)
        high = low + rng.integers(40, 80, 2)
        image = np.zeros((size, size, 3), np.uint8)
        image[low[1] : high[1], low[0] : high[0]] = 255
        boxes = np.full((4, 4), np.nan, np.float32)
        boxes[0] = np.array([*low, *high]) / size
        change = augment.draw(AugmentConfig(0.5, 0.4, 0, 0, 0), np.random.default_rng(seed))
        found = change.apply_to_boxes(boxes)
        flips += change.flip
        row = found[int(change.flip)]
        assert found.shape == (4, 4) and np.isnan(np.delete(found, int(change.flip), 0)).all()
        if np.isnan(row).any():
            left = (change.apply(image)[..., 0] > 127).sum() * (change.box[2] - change.box[0]) ** 2
            assert left < 0.52 * np.prod(high - low)
        else:
            np.testing.assert_allclose(row, bounds(change.apply(image)), atol=1.5 / size)
    assert 10 < flips < 30


def test_boxes_without_augmentation_stay():
    boxes = np.random.default_rng(0).uniform(0, 1, (3, 4, 4)).astype(np.float32)
    nothing = augment.draw(augment.NO_AUGMENTATION, np.random.default_rng(0))
    np.testing.assert_array_equal(nothing.apply_to_boxes(boxes), boxes)
    change = augment.draw(AugmentConfig(1, 0.5), np.random.default_rng(1))
    rows = np.sort(boxes.reshape(3, 4, 2, 2), axis=2).reshape(3, 4, 4)
    expected = np.stack([change.apply_to_boxes(row) for row in rows])
    np.testing.assert_array_equal(change.apply_to_boxes(rows), expected)


def test_colour_jitter_is_what_it_says():
    pixels = np.array([[[10, 60, 200], [127, 127, 127], [250, 250, 250]]], np.uint8)
    config = AugmentConfig(0, 0, 0.2, 0.2, 0.2)
    rng = np.random.default_rng(1)
    rng.random(4)
    brightness, contrast, saturation = 1 + rng.uniform(-1, 1, 3) * 0.2
    luma = (pixels * [0.299, 0.587, 0.114]).sum(-1, keepdims=True)
    expected = saturation * pixels + (1 - saturation) * luma
    expected = brightness * (contrast * (expected - 127.5) + 127.5)
    found = augment.draw(config, np.random.default_rng(1)).apply(pixels)
    np.testing.assert_allclose(found, np.clip(expected, 0, 255), atol=1)
    with pytest.raises(UserError, match="augment.flip is 2"):
        AugmentConfig(flip=2)
