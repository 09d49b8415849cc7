"""Diversity, feature distance and L1 diversity, and distances of landmarks."""

import numpy as np
import pytest
import tolerances

from jaxgesture.core.errors import UserError
from jaxgesture.evaluation.diversity import diversity, feature_distance, l1_diversity
from jaxgesture.evaluation.landmark_distance import landmark_distance, missing_hands


def test_diversity_is_the_mean_distance_of_different_rows():
    rows = np.repeat(np.eye(4) * 3, 2, axis=0)
    assert diversity(rows, np.roll(np.arange(8), 2)) == pytest.approx(6)
    assert diversity(np.ones((5, 3))) == 0
    assert np.isnan(diversity(np.ones((1, 3))))
    drawn = diversity(np.arange(2.0)[:, None])  # never a row with itself
    assert drawn == 1


def test_diversity_grows_with_the_spread():
    rows = np.random.default_rng(0).standard_normal((200, 8))
    assert diversity(2 * rows) == pytest.approx(2 * diversity(rows))


def test_feature_distance():
    rows = np.random.default_rng(0).standard_normal((20, 8))
    assert feature_distance(rows, rows) == 0
    assert feature_distance(rows + 0.5, rows) == pytest.approx(4)
    with pytest.raises(UserError, match="make no pairs"):
        feature_distance(rows, rows[:3])


@pytest.mark.parity
def test_golden_l1_diversity(shared):
    golden = np.load(shared / "parity/beat_metrics_seed0.npz")
    rng = np.random.Generator(np.random.PCG64(8000))
    rng.standard_normal((8, 1, 9, 3))
    rng.standard_normal((8, 34, 9, 3))
    rng.uniform(0, 2.2, (8, 5))
    amplitude, rate = rng.uniform(0.01, 0.1, 165), rng.uniform(0.3, 1.5, 165)
    phase = rng.uniform(0, 2 * np.pi, 165)
    times = np.arange(300)[:, None] / 30
    positions = amplitude * np.sin(2 * np.pi * rate * times + phase)
    error = abs(l1_diversity(positions.reshape(300, 55, 3)) - float(golden["emage_l1div"]))
    print(error)
    assert error <= tolerances.BEATS


def body(frames=4):
    points = np.random.default_rng(1).uniform(0, 200, (frames, 33, 3))
    points[:, 11, :2], points[:, 12, :2] = (150, 100), (50, 100)
    return points


def test_landmark_distance_in_pixels_and_shoulders():
    true = body()
    moved = true + np.array([3.0, 4.0, 0])
    found = landmark_distance(moved, true)
    assert found.pixels == pytest.approx(5) and found.shoulders == pytest.approx(0.05)
    assert found.unknown == 0
    moved[:, 15] = np.nan
    assert landmark_distance(moved, true).unknown == pytest.approx(1 / 9)
    nothing = landmark_distance(np.full_like(true, np.nan), true)
    assert np.isnan(nothing.pixels) and nothing.unknown == 1
    with pytest.raises(UserError, match="4 frames of landmarks against 3"):
        landmark_distance(true, true[:3])


def test_missing_hands_are_those_that_only_the_true_frames_have():
    true = np.zeros((4, 2, 4))
    true[0, 1] = np.nan
    generated = true.copy()
    generated[:2] = np.nan
    found = missing_hands(generated, true)
    assert found.seen == 7 and found.rate == pytest.approx(3 / 7)
    assert np.isnan(missing_hands(generated, np.full_like(true, np.nan)).rate)
    with pytest.raises(UserError, match="4 frames of boxes against 2"):
        missing_hands(true, true[:2])
