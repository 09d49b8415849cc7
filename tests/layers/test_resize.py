import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from jaxgesture.layers import resize


def draw(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_nearest_down_takes_every_second_pixel_from_zero():
    x = jnp.arange(48.0).reshape(1, 6, 8, 1)
    ours = np.asarray(resize.nearest_down2(x))[0, :, :, 0]
    np.testing.assert_array_equal(ours, np.arange(48.0).reshape(6, 8)[[0, 2, 4]][:, [0, 2, 4, 6]])


def test_nearest_up_repeats():
    x = draw(2, 3, 4, 5)
    np.testing.assert_array_equal(
        resize.nearest_up2(jnp.asarray(x)), x.repeat(2, axis=1).repeat(2, axis=2)
    )


def test_average_pool():
    x = draw(2, 6, 4, 3)
    corners = [x[:, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    np.testing.assert_allclose(
        resize.average_pool2(jnp.asarray(x)), np.mean(corners, axis=0), atol=1e-6
    )


@pytest.mark.parametrize(("h", "w"), [(8, 8), (7, 5)])
def test_max_pool_pads_with_minus_infinity(h, w):
    x = draw(2, h, w, 3) - 10  # all negative: a zero at the border would win
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    rows, columns = range(0, h, 2), range(0, w, 2)
    expected = np.stack(
        [np.stack([padded[:, i : i + 3, j : j + 3].max((1, 2)) for j in columns], 1) for i in rows],
        1,
    )
    ours = np.asarray(resize.max_pool3(jnp.asarray(x)))
    np.testing.assert_array_equal(ours, expected)
    assert ours.max() < 0


@pytest.mark.parametrize("size", [4, 8, 16, 5])
def test_bilinear_has_half_pixel_centres_and_no_antialiasing(size):
    x = draw(2, 8, 8, 3)
    places = np.clip((np.arange(size) + 0.5) * 8 / size - 0.5, 0, 7)
    lattice = np.stack(np.meshgrid(places, places, indexing="ij"))
    expected = np.stack(
        [
            np.stack(
                [scipy.ndimage.map_coordinates(x[n, :, :, c], lattice, order=1) for c in range(3)],
                -1,
            )
            for n in range(2)
        ]
    )
    np.testing.assert_allclose(resize.bilinear(jnp.asarray(x), size), expected, atol=1e-5)


def test_pyramid_level_one_is_the_identity():
    x = jnp.asarray(draw(1, 8, 8, 3))
    assert resize.blur_downsample(x, 1) is x


@pytest.mark.parametrize("factor", [2, 4])
def test_pyramid_blurs_then_takes_every_pixel_of_the_factor(factor):
    x = draw(2, 32, 24, 3)
    sigma = (factor - 1) / 2
    # The kernel written out: 5 taps for 2 and 13 for 4.
    radius = {2: 2, 4: 6}[factor]
    taps = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    taps /= taps.sum()
    expected = x.astype(np.float64)
    for axis in (1, 2):
        expected = scipy.ndimage.correlate1d(expected, taps, axis, mode="constant")
    expected = expected[:, ::factor, ::factor]
    ours = np.asarray(resize.blur_downsample(jnp.asarray(x), factor))
    assert ours.shape == expected.shape
    np.testing.assert_allclose(ours, expected, atol=1e-5)
    # Away from the border scipy's own Gaussian says the same.
    gaussian = scipy.ndimage.gaussian_filter(x, (0, sigma, sigma, 0), truncate=4.0)
    inner = slice(radius // factor + 1, -(radius // factor + 1))
    np.testing.assert_allclose(
        ours[:, inner, inner], gaussian[:, ::factor, ::factor][:, inner, inner], atol=1e-4
    )


def test_pyramid_of_a_constant_is_constant_inside_and_darker_at_the_border():
    ours = np.asarray(resize.blur_downsample(jnp.full((1, 32, 32, 2), 0.7), 4))[0]
    np.testing.assert_allclose(ours[2:-2, 2:-2], 0.7, rtol=1e-6)
    assert (ours[0] < 0.5).all()  # zero padding
