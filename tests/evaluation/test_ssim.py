import numpy as np
import pytest
import tolerances

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation.image import psnr
from jaxgesture.evaluation.ssim import ssim, ssim_map


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*shape, 3)).astype(np.float32)


@pytest.mark.parity
@pytest.mark.parametrize("kind", ["pair", "degraded"])
def test_scikit_image(shared, kind):
    golden = np.load(shared / "parity/psnr_ssim_seed0.npz")
    first, second = golden["image_0_u8"], golden["image_1_u8"]
    if kind == "degraded":
        noise = np.random.Generator(np.random.PCG64(11000)).standard_normal((256, 256, 3))
        second = np.clip(np.rint(first + 12 * noise), 0, 255).astype(np.uint8)
    first, second = first / 255, second / 255
    errors = {
        "psnr": abs(psnr(first, second) - golden[f"psnr_{kind}"]),
        "ssim": abs(ssim(first, second) - golden[f"ssim_{kind}"]),
        "map": np.abs(ssim_map(first, second)[::8, ::8] - golden[f"ssim_map_{kind}"]).max(),
    }
    print(errors)
    assert max(errors.values()) <= tolerances.PSNR_SSIM, errors


@pytest.mark.parametrize("shape", [(64, 48), (17, 200), (128, 128)])
def test_random_images_against_scikit_image(shape):
    metrics = pytest.importorskip("skimage.metrics")
    for seed in range(3):
        rng = np.random.default_rng(seed)
        a = rng.uniform(0, 1, (*shape, 3))
        b = np.clip(a + rng.uniform(0, 0.5) * rng.standard_normal(a.shape), 0, 1)
        expected = metrics.peak_signal_noise_ratio(a, b, data_range=1)
        assert psnr(b, a) == pytest.approx(expected, abs=tolerances.PSNR_SSIM)
        expected = metrics.structural_similarity(
            a, b, channel_axis=-1, data_range=1, gaussian_weights=True, sigma=1.5,
            use_sample_covariance=False,
        )  # fmt: skip
        assert ssim(b, a) == pytest.approx(expected, abs=tolerances.PSNR_SSIM)


def test_constant_images_by_hand():
    a, b = np.full((16, 16, 3), 0.25), np.full((16, 16, 3), 0.75)
    # Without variance only the first factor is left.
    expected = (2 * 0.25 * 0.75 + 1e-4) / (0.25**2 + 0.75**2 + 1e-4)
    assert ssim(a, b) == pytest.approx(expected, abs=1e-12)
    assert ssim(a, a) == 1


def test_per_image_and_against_one_reference():
    reference = draw(1, 20, 24)
    images = np.concatenate((reference, np.clip(reference + 0.3, 0, 1), draw(1, 20, 24, seed=1)))
    values = ssim(images, reference)
    assert values.shape == (3,) and values.dtype == np.float64
    assert values[0] == 1 > values[1] > values[2]
    for image, value in zip(images, values, strict=True):
        assert ssim(image, reference[0]) == value
    assert ssim(images[None], reference[None]).shape == (1, 3)
    np.testing.assert_allclose(ssim(reference, images), values, rtol=1e-12)


def test_pixels_whose_window_crosses_the_border_do_not_count():
    reference = draw(24, 24)
    image = reference.copy()
    image[0] = 1 - image[0]
    # Row 0 is in the windows of rows 0 to 5; 5 is the first that counts.
    assert (ssim_map(image, reference)[6:] == 1).all()
    assert ssim(image, reference) < 1
    assert ssim(image[1:], reference[1:]) == 1


def test_smaller_than_the_window_is_refused():
    with pytest.raises(UserError, match="10 x 40 pixels is smaller than the window.*11 x 11"):
        ssim(np.zeros((2, 10, 40, 3)), np.zeros((2, 10, 40, 3)))
    assert ssim(draw(11, 11), draw(11, 11)) == 1
