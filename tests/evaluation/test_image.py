import numpy as np
import pytest

from jaxgesture.evaluation.image import psnr


def test_psnr_by_hand():
    reference = np.full((4, 5, 3), 0.5, np.float32)
    assert psnr(reference + 0.1, reference) == pytest.approx(20, abs=1e-4)
    half = reference.copy()
    half[:2] += 0.1  # half of the pixels wrong: half the squared error
    assert psnr(half, reference) == pytest.approx(20 + 10 * np.log10(2), abs=1e-4)
    assert psnr(np.zeros((2, 2, 3)), np.ones((2, 2, 3))) == 0


def test_psnr_is_per_image_and_infinite_for_equal_ones():
    reference = np.random.default_rng(0).uniform(0, 1, (2, 3, 4, 4, 3))
    image = reference.copy()
    image[0, 1] += 0.01
    values = psnr(image, reference)
    assert values.shape == (2, 3)
    assert values[0, 1] == pytest.approx(40)
    assert np.isinf(values).sum() == 5


def test_psnr_against_one_reference():
    reference = np.zeros((1, 4, 4, 3))
    np.testing.assert_allclose(
        psnr(np.stack([np.full((4, 4, 3), 0.1), np.full((4, 4, 3), 1.0)]), reference), [20, 0]
    )
