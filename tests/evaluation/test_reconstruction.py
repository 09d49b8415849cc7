import numpy as np
import pytest

from jaxgesture.evaluation.image import psnr
from jaxgesture.evaluation.reconstruction import (
    Clip,
    Reconstruction,
    mean_scores,
    reconstruct,
    strip,
    to_pixels,
)

SIZE = 4


def clip(count=6, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (count, SIZE, SIZE, 3), np.uint8)
    return Clip(frames[0], frames[1:], frames.mean(0) / 255.0)


def floats(pixels):
    return pixels.astype(np.float32) / 255.0


def test_a_perfect_model_and_its_controls():
    item = clip()
    result = reconstruct(lambda source, driving: floats(driving), item)
    scores = result.scores()
    truth = floats(item.frames)
    assert scores["psnr"] > 100  # equal up to float32
    assert scores["psnr_source_unchanged"] == pytest.approx(
        psnr(floats(item.source)[None], truth).mean(), abs=1e-4
    )
    assert scores["psnr_mean_frame"] == pytest.approx(psnr(item.mean[None], truth).mean(), abs=1e-4)
    own = psnr(truth.mean(0)[None], truth).mean()
    assert scores["psnr_own_mean_frame"] == pytest.approx(own, abs=1e-4)
    # Five frames: wrong ones are two on.
    wrong = psnr(truth[[3, 4, 0, 1, 2]], truth).mean()
    assert scores["psnr_wrong_driving"] == pytest.approx(wrong, abs=1e-4)


@pytest.mark.parametrize("count", [2, 3, 6, 7])
def test_wrong_driving_is_never_the_true_frame(count):
    item = clip(count)
    result = reconstruct(lambda source, driving: floats(driving), item)
    same = (result.wrong == result.generated).all((1, 2, 3))
    assert same.sum() == (1 if count == 2 else 0)  # one driving frame has no other
    assert sorted(map(bytes, result.wrong)) == sorted(map(bytes, result.generated))


def test_a_model_that_paints_the_average_gains_nothing_from_driving():
    item = clip()

    def average(source, driving):
        assert source is item.source
        return np.repeat(item.mean[None], len(driving), 0)

    scores = mean_scores([reconstruct(average, item)])
    assert scores["above_mean_frame"] == pytest.approx(0, abs=1e-6)
    assert scores["above_wrong_driving"] == pytest.approx(0, abs=1e-6)
    assert scores["psnr"] > scores["psnr_source_unchanged"]


def test_mean_over_clips():
    items = [reconstruct(lambda s, d: floats(d) * 0.9, clip(seed=seed)) for seed in range(3)]
    mean = mean_scores(items)
    for name in items[0].scores():
        assert mean[name] == pytest.approx(np.mean([item.scores()[name] for item in items]))
    assert mean["above_wrong_driving"] == pytest.approx(mean["psnr"] - mean["psnr_wrong_driving"])
    assert mean["above_mean_frame"] == pytest.approx(mean["psnr"] - mean["psnr_mean_frame"])


def test_strip_shows_truth_redrawn_and_wrong():
    item = clip(9)
    generated, wrong = floats(255 - item.frames), np.zeros(item.frames.shape, np.float32)
    picture = strip(Reconstruction(item, generated, wrong), columns=3)
    assert picture.shape == (3 * SIZE, 3 * SIZE, 3) and picture.dtype == np.uint8
    top = np.concatenate([item.frames[i] for i in (0, 4, 7)], axis=1)
    np.testing.assert_array_equal(picture[:SIZE], top)
    np.testing.assert_array_equal(picture[SIZE : 2 * SIZE], 255 - top)
    assert (picture[2 * SIZE :] == 0).all()


def test_to_pixels_rounds_and_clips():
    values = np.array([-0.1, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 1.2])
    np.testing.assert_array_equal(to_pixels(values), [0, 0, 0, 1, 255, 255])
    pixels = np.arange(256, dtype=np.uint8)
    np.testing.assert_array_equal(to_pixels(floats(pixels)), pixels)
