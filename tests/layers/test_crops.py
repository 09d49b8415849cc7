import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgesture.layers import crops
from jaxgesture.layers.resize import bilinear

crop_and_resize = jax.jit(crops.crop_and_resize, static_argnums=2)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, shape).astype(np.float32)


def reference(image, box, size):
    """scipy's linear interpolation of one image (h w c) at the places that the docstring names."""
    h, w, c = image.shape
    x0, y0, x1, y1 = box
    centres = (np.arange(size) + 0.5) / size
    rows = (y0 + (y1 - y0) * centres) * h - 0.5
    columns = (x0 + (x1 - x0) * centres) * w - 0.5
    lattice = np.stack(np.meshgrid(rows, columns, indexing="ij"))
    return np.stack(
        [
            scipy.ndimage.map_coordinates(
                image[..., k].astype(np.float64), lattice, order=1, mode="nearest"
            )
            for k in range(c)
        ],
        -1,
    )


def test_equals_scipy_inside_across_the_border_and_outside():
    image = draw(2, 12, 20, 3)
    boxes = np.array(
        [
            [[0.2, 0.3, 0.7, 0.9], [-0.2, 0.5, 0.3, 1.4], [0.1, 0.1, 0.12, 0.15]],
            [[0.0, 0.0, 1.0, 1.0], [0.9, 0.8, 1.6, 1.1], [1.2, 1.2, 1.5, 1.5]],
        ],
        np.float32,
    )
    ours, present = crop_and_resize(image, boxes, 9)
    assert ours.shape == (2, 3, 9, 9, 3)
    assert present.shape == (2, 3) and present.dtype == bool and present.all()
    for i in range(2):
        for j in range(3):
            np.testing.assert_allclose(
                ours[i, j], reference(image[i], boxes[i, j].astype(np.float64), 9), atol=1e-5
            )


def test_by_hand():
    # One row 1 2 3 4: its right half is 3 4, and x does not move along the height.
    image = jnp.broadcast_to(jnp.arange(1.0, 5.0)[None, None, :, None], (1, 4, 4, 1))
    box = jnp.asarray([[[0.5, 0.0, 1.0, 1.0], [0.0, 0.5, 1.0, 1.0]]])
    ours, _ = crop_and_resize(image, box, 2)
    np.testing.assert_allclose(ours[0, 0, :, :, 0], [[3, 4], [3, 4]], atol=1e-6)
    np.testing.assert_allclose(ours[0, 1, :, :, 0], [[1.5, 3.5], [1.5, 3.5]], atol=1e-6)


@pytest.mark.parametrize("size", [8, 5, 16])
def test_the_whole_image_is_a_resize(size):
    image = draw(2, 8, 8, 3)
    whole = jnp.broadcast_to(jnp.asarray(crops.WHOLE)[None, None], (2, 1, 4))
    ours, _ = crop_and_resize(image, whole, size)
    np.testing.assert_allclose(ours[:, 0], bilinear(image, size), atol=1e-5)


def test_absent_boxes_are_marked_and_leave_no_nan():
    image = draw(1, 8, 8, 3)
    nan = np.nan
    boxes = np.array([[[nan] * 4, [0.25, 0.25, 0.75, 0.75], [0.1, 0.1, nan, 0.9]]], np.float32)

    def total(image, boxes):
        ours, present = crops.crop_and_resize(image, boxes, 4)
        return (ours.sum((2, 3, 4)) * present).sum(), (ours, present)

    step = jax.value_and_grad(total, (0, 1), has_aux=True)
    (value, (ours, present)), (to_image, to_boxes) = step(jnp.asarray(image), jnp.asarray(boxes))
    np.testing.assert_array_equal(present, [[False, True, False]])
    np.testing.assert_allclose(ours[0, 0], bilinear(image, 4)[0], atol=1e-6)
    np.testing.assert_array_equal(ours[0, 0], ours[0, 2])
    for array in (value, ours, to_image, to_boxes):
        assert np.isfinite(array).all()
    # The centre alone, whose pixels are hit exactly, carries a gradient.
    expected = np.zeros((8, 8))
    expected[2:6, 2:6] = 1
    np.testing.assert_allclose(to_image[0, :, :, 0], expected, atol=1e-5)
    assert not np.any(to_boxes[0, [0, 2]]) and np.any(to_boxes[0, 1])


def test_crops_have_the_type_of_the_image():
    image, boxes = jnp.ones((1, 4, 4, 3), jnp.bfloat16), jnp.asarray([[[0.0, 0.0, 1.0, 1.0]]])
    assert crop_and_resize(image, boxes, 2)[0].dtype == jnp.bfloat16
    with jax.enable_x64():
        ours, _ = crops.crop_and_resize(
            jnp.asarray(draw(1, 6, 7, 2), jnp.float64), jnp.asarray([[[0.1, 0.2, 0.7, 0.9]]]), 3
        )
        assert ours.dtype == jnp.float64
        expected = reference(draw(1, 6, 7, 2)[0], (0.1, 0.2, 0.7, 0.9), 3)
        np.testing.assert_allclose(ours[0, 0], expected, rtol=0, atol=1e-13)
